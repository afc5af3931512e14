//! Renames a container.

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct RenameArgs {
    /// The container and its new name.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: RenameArgs) -> Outcome {
    let [name, new] = args.operands.as_slice() else {
        return Err(Failure::invalid("a container and its new name are needed"));
    };
    context.engine()?.containers().rename(name, new)?;
    Ok(Exit::SUCCESS)
}
