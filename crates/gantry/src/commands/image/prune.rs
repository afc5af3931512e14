//! Removes unused images.

use clap::Args;
use gantry_engine::images::{PruneOptions, Pruned};
use jiff::Timestamp;

use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::filter::of_images;
use crate::output::size;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PruneArgs {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter by conditions (e.g. "until=24h")
    #[arg(long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

pub(crate) fn run(context: &Context, args: PruneArgs) -> Outcome {
    let filters = of_images(&args.filter, Timestamp::now())?;
    let warning = if args.all || filters.dangling == Some(false) {
        "This will remove all images without at least one container associated to them."
    } else {
        "This will remove all dangling images."
    };
    if !args.force && !confirm(warning)? {
        return Err(Failure::Said(1));
    }
    let pruned = context.engine()?.images().prune(&PruneOptions {
        all: args.all,
        filters,
    })?;
    context.ui.data(&text(&pruned))?;
    context.ui.line(&format!(
        "Total reclaimed space: {}",
        size::long(pruned.bytes)
    ))?;
    Ok(Exit::SUCCESS)
}

/// What was removed, in Docker's words.
pub(crate) fn text(pruned: &Pruned) -> String {
    if pruned.untagged.is_empty() && pruned.deleted.is_empty() {
        return String::new();
    }
    let mut text = String::from("Deleted Images:\n");
    text.extend(
        pruned
            .untagged
            .iter()
            .map(|name| format!("untagged: {name}\n")),
    );
    text.extend(pruned.deleted.iter().map(|id| format!("deleted: {id}\n")));
    text.push('\n');
    text
}
