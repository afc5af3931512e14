//! Lists networks.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// Filter by conditions (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Do not shorten output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show only network IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

pub(crate) fn run(_context: &Context, _args: LsArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
