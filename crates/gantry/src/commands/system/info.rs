//! Shows the state of this installation.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InfoArgs {
    /// Format output by a Go template: 'json' or 'TEMPLATE'
    #[arg(short, long)]
    pub(crate) format: Option<String>,
}

pub(crate) fn run(_context: &Context, _args: InfoArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
