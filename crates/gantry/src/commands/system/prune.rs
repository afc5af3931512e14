//! Removes unused data.

use clap::Args;
use gantry_build::{CacheRow, Keep, PrunedCache};
use gantry_engine::Engine;
use gantry_engine::system::{PruneOptions, Pruned};
use jiff::Timestamp;

use crate::commands::confirm::confirm;
use crate::commands::{builder, image};
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
    /// Remove anonymous volumes too
    #[arg(long)]
    pub(crate) volumes: bool,
}

pub(crate) fn run(context: &Context, args: PruneArgs) -> Outcome {
    let filters = of_images(&args.filter, Timestamp::now())?;
    if !args.force && !confirm(&warning(&args))? {
        return Err(Failure::Said(1));
    }
    let options = PruneOptions {
        all: args.all,
        volumes: args.volumes,
        filters,
    };
    let engine = context.engine()?;
    let pruned = engine.system().prune(&options)?;
    let cache = prune_cache(engine, &options)?;
    context.ui.data(&text(&pruned, &cache))?;
    context.ui.line(&format!(
        "Total reclaimed space: {}",
        size::long(pruned.bytes + cache.bytes)
    ))?;
    Ok(Exit::SUCCESS)
}

/// The build cache: what no image has, or all of it.
fn prune_cache(engine: &Engine, options: &PruneOptions) -> Result<PrunedCache, Failure> {
    let filters = &options.filters;
    // The cache knows no labels: a label filter leaves it alone, as Docker does.
    if !filters.label.is_empty() || !filters.without_label.is_empty() {
        return Ok(PrunedCache::default());
    }
    let until = filters.until.map(Timestamp::as_second);
    let which = |row: &CacheRow| {
        (options.all || builder::prune::is_dangling(row))
            && until.is_none_or(|until| row.last_used < until)
    };
    builder::prune::prune(engine, &which, Keep::default())
}

fn warning(args: &PruneArgs) -> String {
    let mut text = String::from("This will remove:\n  - all stopped containers\n");
    if args.volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(if args.all {
        "  - all images without at least one container associated to them\n  - all build cache\n"
    } else {
        "  - all dangling images\n  - unused build cache\n"
    });
    text
}

/// What was removed, in Docker's words.
fn text(pruned: &Pruned, cache: &PrunedCache) -> String {
    let mut text = String::new();
    if !pruned.containers.is_empty() {
        text.push_str("Deleted Containers:\n");
        text.extend(pruned.containers.iter().map(|id| format!("{id}\n")));
        text.push('\n');
    }
    if !pruned.volumes.is_empty() {
        text.push_str(&format!(
            "Deleted Volumes:\n{}\n\n",
            pruned.volumes.join("\n")
        ));
    }
    text.push_str(&image::prune::text(&pruned.images));
    if !cache.rows.is_empty() {
        text.push_str("Deleted build cache objects:\n");
        text.extend(cache.rows.iter().map(|row| format!("{}\n", row.id)));
        text.push('\n');
    }
    text
}
