//! Sends a signal to containers.

use clap::Args;

use crate::commands::each::{each, tell_ending};
use crate::context::Context;
use crate::failure::Outcome;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct KillArgs {
    /// Signal to send (default "KILL")
    #[arg(short, long)]
    pub(crate) signal: Option<String>,
    /// The containers.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: KillArgs) -> Outcome {
    let containers = context.engine()?.containers();
    let signal = args.signal.as_deref().unwrap_or("KILL");
    each(context, &args.operands, |name| {
        tell_ending(context, name, containers.kill(name, signal)?);
        context.ui.line(name)
    })
}
