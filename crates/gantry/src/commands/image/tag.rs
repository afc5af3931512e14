//! Gives an image a further name.

use clap::Args;
use gantry_model::Reference;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct TagArgs {
    /// The image and its new name.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: TagArgs) -> Outcome {
    let [source, target] = args.operands.as_slice() else {
        return Err(Failure::invalid("an image and its new name are needed"));
    };
    let target: Reference =
        target
            .parse()
            .map_err(|error: gantry_model::reference::ReferenceError| {
                Failure::invalid(format!("{target:?} is not a valid repository/tag: {error}"))
            })?;
    context.engine()?.images().tag(source, &target)?;
    Ok(Exit::SUCCESS)
}
