//! Removes all stopped containers.

use clap::Args;
use gantry_engine::containers::ContainersPruned;
use gantry_model::ContainerRecord;
use jiff::Timestamp;

use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::filter::{Filters, has_label};
use crate::output::{size, time};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PruneArgs {
    /// Filter by conditions (e.g. "until=24h")
    #[arg(long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// The filters of `container prune`.
pub(crate) const FILTERS: &[&str] = &["label", "label!", "until"];

pub(crate) fn run(context: &Context, args: PruneArgs) -> Outcome {
    let filters = Filters::parse(&args.filter, FILTERS)?;
    let until = until(&filters)?;
    if !args.force && !confirm("This will remove all stopped containers.")? {
        return Err(Failure::Said(1));
    }
    let containers = context.engine()?.containers();
    let pruned = containers.prune(&|record| spared(record, &filters, until))?;
    context.ui.data(&text(&pruned))?;
    context.ui.line(&format!(
        "Total reclaimed space: {}",
        size::long(pruned.reclaimed)
    ))?;
    Ok(Exit::SUCCESS)
}

/// The time that `until` names.
pub(crate) fn until(filters: &Filters) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = filters.values("until").last() else {
        return Ok(None);
    };
    match time::point(text, Timestamp::now()) {
        Some(time) => Ok(Some(time)),
        None => Err(Failure::invalid(format!(
            "invalid filter 'until={text}', expected a time or a duration"
        ))),
    }
}

/// Whether the filters leave a container alone.
pub(crate) fn spared(
    record: &ContainerRecord,
    filters: &Filters,
    until: Option<Timestamp>,
) -> bool {
    let labels = &record.process.labels;
    let young = until
        .is_some_and(|limit| time::parse(&record.created).is_none_or(|created| created >= limit));
    young
        || !filters.all("label", |label| has_label(labels, label))
        || !filters.all("label!", |label| !has_label(labels, label))
}

/// What was removed, in Docker's words.
pub(crate) fn text(pruned: &ContainersPruned) -> String {
    if pruned.deleted.is_empty() {
        return String::new();
    }
    let ids: String = pruned.deleted.iter().map(|id| format!("{id}\n")).collect();
    format!("Deleted Containers:\n{ids}\n")
}
