//! Registers the host's emulators.

use clap::Args;

use super::ls;
use crate::context::Context;
use crate::failure::Outcome;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InstallArgs {
    /// The architectures; all without.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: InstallArgs) -> Outcome {
    let system = context.engine()?.system();
    ls::show(context, &system.install_emulators(&args.operands)?, None)
}
