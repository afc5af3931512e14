//! Shows all there is to know of networks.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    /// Format output by a Go template: 'json' or 'TEMPLATE'
    #[arg(short, long)]
    pub(crate) format: Option<String>,
    /// The networks.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(_context: &Context, _args: InspectArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
