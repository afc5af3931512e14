//! Verifies everything that is stored.

use clap::Args;
use gantry_model::quantity::counted;
use gantry_store::CheckOptions;
use gantry_store::check::Finding;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
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
    let mut tally = Tally::default();
    for (damaged, mended) in &report.containers {
        tally.count(*mended);
        context.ui.line(&damaged.to_string())?;
        if !mended {
            context
                .ui
                .line(&format!("  {}", damaged.hints().join("; ")))?;
        }
    }
    if let Some((damage, mended)) = &report.network {
        tally.count(*mended);
        context.ui.line(damage)?;
    }
    let report = report.store;
    for finding in &report.findings {
        tally.count(report.repaired && is_mended(finding));
        context.ui.line(&sentence(finding))?;
    }
    if !args.quiet {
        context.ui.status(&format!(
            "{}, {}, {}, {} read: {}",
            counted(report.images, "image"),
            counted(report.layers, "layer"),
            counted(report.blobs, "blob"),
            size::long(report.bytes),
            tally.verdict(args.repair)
        ));
    }
    if tally.left > 0 {
        Err(Failure::Said(1))
    } else {
        Ok(Exit::SUCCESS)
    }
}

/// How many findings there are, and how many of them are still so.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    found: usize,
    left: usize,
}

impl Tally {
    fn count(&mut self, mended: bool) {
        self.found += 1;
        self.left += usize::from(!mended);
    }

    fn verdict(self, repair: bool) -> String {
        let count = match self.found {
            0 => return "all is well".to_owned(),
            n => counted(n, "finding"),
        };
        match (repair, self.left) {
            (true, 0) => format!("{count}, mended"),
            (true, _) => format!("{count}, not all of them could be mended"),
            (false, _) => format!("{count}, mend them with --repair"),
        }
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
