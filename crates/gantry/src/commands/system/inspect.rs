//! Shows all there is to know of containers, images and volumes.

use clap::Args;
use gantry_model::FaultKind;

use crate::commands::inspected::inspected;
use crate::commands::{network, volume};
use crate::context::Context;
use crate::failure::{CommandError, Failure, Outcome};
use crate::output::documents::Document;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    /// Format output by a Go template: 'json' or 'TEMPLATE'
    #[arg(short, long)]
    pub(crate) format: Option<String>,
    /// Show sizes of containers
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Inspect only objects of this type (container|image|network|volume)
    #[arg(long = "type")]
    pub(crate) kind: Option<String>,
    /// The objects.
    pub(crate) operands: Vec<String>,
}

const KINDS: [&str; 4] = ["container", "image", "network", "volume"];

pub(crate) fn run(context: &Context, args: InspectArgs) -> Outcome {
    let kind = args.kind.as_deref().unwrap_or_default();
    if !kind.is_empty() && !KINDS.contains(&kind) {
        return Err(Failure::invalid(format!(
            "unknown type: {kind:?}: must be one of {}",
            KINDS.map(|kind| format!("{kind:?}")).join(", ")
        )));
    }
    let kinds = if kind.is_empty() {
        &KINDS[..]
    } else {
        std::slice::from_ref(&kind)
    };
    inspected(context, args.format.as_deref(), &args.operands, |name| {
        for one in kinds {
            match find(context, one, name, args.size) {
                // A name that cannot be one of this kind may be one of the next.
                Err(failure) if kinds.len() > 1 && is_another(&failure) => {}
                other => return other,
            }
        }
        Err(CommandError::NotFound(format!("No such object: {name}")).into())
    })
}

fn is_another(failure: &Failure) -> bool {
    matches!(
        failure.kind(),
        Some(FaultKind::NotFound | FaultKind::Invalid)
    )
}

fn find(context: &Context, kind: &str, name: &str, size: bool) -> Result<Document, Failure> {
    let engine = context.engine()?;
    Ok(match kind {
        "container" => Document::new(&engine.containers().inspect(name, size)?),
        "image" => Document::new(&engine.images().inspect(name, None)?),
        "volume" => Document::new(&volume::inspect::document(&engine.volumes().inspect(name)?)),
        _ => Document::new(&network::inspect::document(
            &engine.networks().inspect(name)?,
        )),
    })
}
