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
    let mut text = Vec::new();
    for change in context.engine()?.containers().changes(name)? {
        let letter = match change.kind {
            ChangeKind::Added => b'A',
            ChangeKind::Changed => b'C',
            ChangeKind::Deleted => b'D',
        };
        text.extend([letter, b' ']);
        text.extend(change.path.as_encoded_bytes());
        text.push(b'\n');
    }
    context.ui.bytes(&text)?;
    Ok(Exit::SUCCESS)
}
