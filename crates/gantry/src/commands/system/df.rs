//! Shows how much disk is used.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct DfArgs {
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Show each image, container and volume
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

pub(crate) fn run(_context: &Context, _args: DfArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
