//! Stops containers.

use clap::Args;

use crate::commands::each::{each, tell_ending};
use crate::context::Context;
use crate::failure::Outcome;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct StopArgs {
    /// Signal to send first
    #[arg(short, long)]
    pub(crate) signal: Option<String>,
    /// Seconds to wait before SIGKILL
    #[arg(short, long, alias = "time", value_name = "int")]
    pub(crate) timeout: Option<i64>,
    /// The containers.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: StopArgs) -> Outcome {
    let containers = context.engine()?.containers();
    each(context, &args.operands, |name| {
        let ending = containers.stop(name, args.signal.as_deref(), args.timeout)?;
        tell_ending(context, name, ending);
        context.ui.line(name)
    })
}
