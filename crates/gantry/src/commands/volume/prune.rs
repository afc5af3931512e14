//! Removes unused volumes.

use clap::Args;
use gantry_engine::volumes::{Volume, VolumesPruned};

use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::filter::{Filters, has_label};
use crate::output::size;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PruneArgs {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter by conditions (e.g. "label=name")
    #[arg(long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

pub(crate) fn run(context: &Context, args: PruneArgs) -> Outcome {
    let filters = Filters::parse(&args.filter, &["all", "label", "label!"])?;
    let all = args.all || filters.truth("all")? == Some(true);
    let which = if all {
        "local volumes"
    } else {
        "anonymous local volumes"
    };
    let warning = format!("This will remove {which} not used by at least one container.");
    if !args.force && !confirm(&warning)? {
        return Err(Failure::Said(1));
    }
    let pruned = context
        .engine()?
        .volumes()
        .prune(all, &|volume| spared(volume, &filters))?;
    context.ui.data(&text(&pruned))?;
    context.ui.line(&format!(
        "Total reclaimed space: {}",
        size::long(pruned.reclaimed)
    ))?;
    Ok(Exit::SUCCESS)
}

/// Whether the filters leave a volume alone.
pub(crate) fn spared(volume: &Volume, filters: &Filters) -> bool {
    !filters.all("label", |label| has_label(&volume.labels, label))
        || !filters.all("label!", |label| !has_label(&volume.labels, label))
}

/// What was removed, in Docker's words.
pub(crate) fn text(pruned: &VolumesPruned) -> String {
    if pruned.deleted.is_empty() {
        return String::new();
    }
    format!("Deleted Volumes:\n{}\n\n", pruned.deleted.join("\n"))
}
