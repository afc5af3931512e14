//! Thaws containers.

use clap::Args;

use crate::commands::each::each;
use crate::context::Context;
use crate::failure::Outcome;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct UnpauseArgs {
    /// The containers.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: UnpauseArgs) -> Outcome {
    let containers = context.engine()?.containers();
    each(context, &args.operands, |name| {
        containers.unpause(name)?;
        context.ui.line(name)
    })
}
