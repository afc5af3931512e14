//! Removes the build cache.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PruneArgs {
    /// Remove all of the cache, not just what no image uses
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter by conditions (e.g. "until=24h")
    #[arg(long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

pub(crate) fn run(_context: &Context, _args: PruneArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
