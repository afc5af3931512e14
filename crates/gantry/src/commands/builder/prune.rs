//! Removes the build cache.

use clap::Args;
use gantry_engine::Engine;
use gantry_engine::system::PruneCache;
use gantry_model::quantity::parse_bytes;

use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::flags::filter::Filters;
use crate::flags::value::wrong;
use crate::output::{size, time};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PruneArgs {
    /// Remove all of the cache; it always does
    #[arg(short, long, hide = true)]
    pub(crate) all: bool,
    /// Filter by conditions (e.g. "until=24h")
    #[arg(long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Size to keep: the least recently used goes first
    #[arg(long, alias = "reserved-space", value_name = "bytes")]
    pub(crate) keep_storage: Option<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

pub(crate) fn run(context: &Context, args: PruneArgs) -> Outcome {
    let which = which(&args)?;
    let warning = "This will remove the build cache. The next builds run their steps again.";
    if !args.force && !confirm(warning)? {
        return Err(Failure::Said(1));
    }
    let engine = context.engine()?;
    let pruned = engine.system().prune_build_cache(which)?;
    sweep(engine)?;
    if pruned.records > 0 {
        context.ui.line(&format!(
            "Deleted build cache objects: {}\n",
            pruned.records
        ))?;
    }
    context
        .ui
        .line(&format!("Total: {}", size::long(pruned.bytes)))?;
    Ok(Exit::SUCCESS)
}

/// Takes away what killed builds have left under way.
pub(crate) fn sweep(engine: &Engine) -> Result<(), Failure> {
    let failed = CommandError::file("clear", engine.run_root().display());
    Ok(gantry_build::sweep(engine.run_root()).map_err(failed)?)
}

fn which(args: &PruneArgs) -> Result<PruneCache, Failure> {
    let filters = Filters::parse(&args.filter, &["until", "unused-for"])?;
    let age = filters
        .values("until")
        .chain(filters.values("unused-for"))
        .last();
    match (age, args.keep_storage.as_deref()) {
        (Some(_), Some(_)) => Err(Failure::invalid(
            "conflicting options: a filter and --keep-storage cannot both be set",
        )),
        (Some(text), None) => match time::go_duration(text) {
            Some(age) => Ok(PruneCache::UnusedFor(age.as_secs())),
            None => Err(Failure::invalid(format!(
                "invalid filter 'until={text}', expected a duration"
            ))),
        },
        (None, Some(text)) => Ok(PruneCache::DownTo(
            parse_bytes(text).map_err(wrong("--keep-storage", text))?,
        )),
        (None, None) => Ok(PruneCache::All),
    }
}
