//! Waits for the end of containers.

use clap::Args;

use crate::commands::each::each;
use crate::context::Context;
use crate::failure::Outcome;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// The containers.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: WaitArgs) -> Outcome {
    let containers = context.engine()?.containers();
    each(context, &args.operands, |name| {
        let exit = containers.wait(name)?;
        context.ui.line(&exit.code.to_string())
    })
}
