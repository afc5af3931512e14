//! Verifies everything that is stored.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

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

pub(crate) fn run(_context: &Context, _args: CheckArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
