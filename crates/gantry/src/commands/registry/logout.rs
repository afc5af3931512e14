//! Forgets the credentials of a registry.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogoutArgs {
    /// The registry.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(_context: &Context, _args: LogoutArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
