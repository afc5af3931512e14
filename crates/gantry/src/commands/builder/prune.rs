//! Removes the build cache.

use clap::Args;
use gantry_build::{CacheKind, CacheRow, Keep, PrunedCache};
use gantry_engine::Engine;
use gantry_model::EventType;
use gantry_model::quantity::parse_bytes;
use jiff::Timestamp;

use super::cache::{self, CacheFilters};
use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::flags::value::{FlagError, wrong};
use crate::output::size;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PruneArgs {
    /// Remove also what images have, and what is kept for explanations and pushes
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter by conditions (e.g. "until=24h")
    #[arg(long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Size that is always kept: the least recently used goes first
    #[arg(long, alias = "keep-storage", value_name = "bytes")]
    pub(crate) reserved_space: Option<String>,
    /// Most that is kept
    #[arg(long, value_name = "bytes")]
    pub(crate) max_used_space: Option<String>,
    /// Space of the file system that is to be free afterwards
    #[arg(long, value_name = "bytes")]
    pub(crate) min_free_space: Option<String>,
    /// Show everything of each row
    #[arg(long)]
    pub(crate) verbose: bool,
}

pub(crate) fn run(context: &Context, args: PruneArgs) -> Outcome {
    let filters = CacheFilters::parse(&args.filter)?;
    let keep = keep(&args)?;
    let warning = if args.all {
        "This will remove all build cache. The next builds run their steps again."
    } else {
        "This will remove all dangling build cache. The next builds may run steps again."
    };
    if !args.force && !confirm(warning)? {
        return Err(Failure::Said(1));
    }
    let engine = context.engine()?;
    let now = Timestamp::now();
    let which = |row: &CacheRow| (args.all || is_dangling(row)) && filters.fits(row, now);
    let pruned = prune(engine, &which, keep)?;
    let mut text = String::new();
    if args.verbose {
        let each = pruned
            .rows
            .iter()
            .map(|row| cache::paragraph(row, now) + "\n");
        text.extend(each);
    } else if !pruned.rows.is_empty() {
        text.push_str("ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n");
        text.extend(pruned.rows.iter().map(|row| cache::columns(row, now)));
    }
    text.push_str(&format!("Total:\t{}\n", size::long(pruned.bytes)));
    context.ui.data(&text)?;
    Ok(Exit::SUCCESS)
}

/// What goes unless all is to go: what no image has, and what is not kept for something else.
pub(crate) fn is_dangling(row: &CacheRow) -> bool {
    !row.shared && row.kind != CacheKind::Internal
}

/// Removes what `which` takes, and what killed builds have left.
pub(crate) fn prune(
    engine: &Engine,
    which: &dyn Fn(&CacheRow) -> bool,
    keep: Keep,
) -> Result<PrunedCache, Failure> {
    let pruned = cache::of(engine)?.prune(&cache::roots(engine)?, which, keep)?;
    engine.tell_prune(EventType::Builder, pruned.bytes);
    let failed = CommandError::file("clear", engine.run_root().display());
    gantry_build::sweep(engine.run_root()).map_err(failed)?;
    Ok(pruned)
}

fn keep(args: &PruneArgs) -> Result<Keep, FlagError> {
    let bytes = |flag, text: &Option<String>| {
        let text = text.as_deref().unwrap_or("0");
        parse_bytes(text).map_err(wrong(flag, text))
    };
    Ok(Keep {
        reserved: bytes("--reserved-space", &args.reserved_space)?,
        max_used: bytes("--max-used-space", &args.max_used_space)?,
        min_free: bytes("--min-free-space", &args.min_free_space)?,
    })
}
