//! Makes an image of a container.

use clap::{ArgAction, Args};
use gantry_engine::containers::CommitOptions;
use gantry_model::Reference;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommitArgs {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long)]
    pub(crate) author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long)]
    pub(crate) change: Vec<String>,
    /// Commit message
    #[arg(short, long)]
    pub(crate) message: Option<String>,
    /// Pause container during commit (default true)
    #[arg(short, long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    pub(crate) pause: Option<bool>,
    /// The container and the name of the image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: CommitArgs) -> Outcome {
    let reference = match args.operands.get(1).filter(|name| !name.is_empty()) {
        Some(name) => Some(
            name.parse::<Reference>()
                .map_err(|error| Failure::invalid(error.to_string()))?,
        ),
        None => None,
    };
    if reference
        .as_ref()
        .is_some_and(|reference| reference.digest().is_some())
    {
        return Err(Failure::invalid(
            "cannot commit to a digest: name a repository and a tag",
        ));
    }
    let options = CommitOptions {
        reference,
        author: args.author,
        message: args.message,
        changes: args.change,
        pause: args.pause,
    };
    let id = context
        .engine()?
        .containers()
        .commit(&args.operands[0], &options)?;
    context.ui.line(&id.to_string())?;
    Ok(Exit::SUCCESS)
}
