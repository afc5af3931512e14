//! Verifies everything that is stored.

use clap::Args;
use gantry_store::CheckOptions;
use gantry_store::check::Finding;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::progress::screen::harmless;
use crate::output::size;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// Mend what can be mended: remove what is damaged or belongs to nothing
    #[arg(long)]
    pub(crate) repair: bool,
    /// Do not read the content of layers and blobs again
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

pub(crate) fn run(context: &Context, args: CheckArgs) -> Outcome {
    let options = CheckOptions {
        quick: args.quick,
        repair: args.repair,
    };
    let report = context.engine()?.system().check(options)?;
    for finding in &report.findings {
        context.ui.line(&harmless(&sentence(finding)))?;
    }
    if !args.quiet {
        context.ui.status(&format!(
            "{} images, {} layers, {} blobs, {} read: {}",
            report.images,
            report.layers,
            report.blobs,
            size::long(report.bytes),
            verdict(&report.findings, report.repaired)
        ));
    }
    let left = match report.repaired {
        true => report.findings.iter().any(|finding| !is_mended(finding)),
        false => !report.findings.is_empty(),
    };
    if left {
        Err(Failure::Said(1))
    } else {
        Ok(Exit::SUCCESS)
    }
}

fn verdict(findings: &[Finding], repaired: bool) -> String {
    let count = match findings.len() {
        0 => return "all is well".to_owned(),
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    };
    match (repaired, findings.iter().all(is_mended)) {
        (true, true) => format!("{count}, mended"),
        (true, false) => format!("{count}, not all of them could be mended"),
        (false, _) => format!("{count}, mend them with --repair"),
    }
}

/// Whether a repair does away with it; what a container lacks only its owner can bring back.
fn is_mended(finding: &Finding) -> bool {
    !matches!(
        finding,
        Finding::RootLacks { .. } | Finding::Database { .. }
    )
}

fn sentence(finding: &Finding) -> String {
    match finding {
        Finding::CorruptBlob { digest } => format!("blob {digest} is not what its name says"),
        Finding::CorruptLayer { diff_id, reason } => format!("layer {diff_id} changed: {reason}"),
        Finding::MissingLayer { diff_id } => format!("layer {diff_id} is not on the disk"),
        Finding::ImageLacksBlob { image, digest } => format!("image {image} lacks blob {digest}"),
        Finding::ImageLacksLayer { image, diff_id } => {
            format!("image {image} lacks layer {diff_id}")
        }
        Finding::DanglingName { name, image } => {
            format!("{name} names image {image}, which is not there")
        }
        Finding::StaleRecord { kind, key } => {
            format!("build record {kind} {key} needs what is not there")
        }
        Finding::RootLacks { digest } => format!("a container needs {digest}, which is not there"),
        Finding::Orphan { path } => format!("{path} belongs to nothing"),
        Finding::StaleIngest { path } => format!("{path} was left by a command that was killed"),
        Finding::Database { reason } => format!("the database is damaged: {reason}"),
        other => format!("{other:?}"),
    }
}
