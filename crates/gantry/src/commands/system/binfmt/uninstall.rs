//! Takes registered emulators away.

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct UninstallArgs {
    /// The architectures; all without.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: UninstallArgs) -> Outcome {
    let system = context.engine()?.system();
    for name in system.uninstall_emulators(&args.operands)? {
        context.ui.line(&name)?;
    }
    Ok(Exit::SUCCESS)
}
