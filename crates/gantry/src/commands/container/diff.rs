//! Shows what a container changed of its image's files.

use clap::Args;
use gantry_engine::containers::ChangeKind;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct DiffArgs {
    /// The container.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: DiffArgs) -> Outcome {
    let name = args.operands[0].as_str();
    if name.is_empty() {
        return Err(Failure::invalid("Container name cannot be empty"));
    }
    let changes = context.engine()?.containers().changes(name)?;
    context.ui.names(changes.iter().map(|change| {
        let letter = match change.kind {
            ChangeKind::Added => "A ",
            ChangeKind::Changed => "C ",
            ChangeKind::Deleted => "D ",
        };
        (letter, change.path.as_os_str())
    }))?;
    Ok(Exit::SUCCESS)
}
