//! Keeps credentials of a registry.

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoginArgs {
    /// Password or access token
    #[arg(short, long)]
    pub(crate) password: Option<String>,
    /// Take the password or token from STDIN
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// User name
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// The registry.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(_context: &Context, _args: LoginArgs) -> Outcome {
    Err(Failure::unsupported("not wired"))
}
