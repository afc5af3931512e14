//! Removes volumes.

use clap::Args;

use crate::commands::each::each;
use crate::context::Context;
use crate::failure::Outcome;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct RmArgs {
    /// Do not complain of volumes that are not there
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The volumes.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: RmArgs) -> Outcome {
    let volumes = context.engine()?.volumes();
    each(context, &args.operands, |name| {
        volumes.remove(name, args.force)?;
        context.ui.line(name)
    })
}
