//! Removes unused data.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

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

pub(crate) fn run(_context: &Context, _args: PruneArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
