//! Shows the builder.

use clap::Args;

use super::platforms;
use crate::cli::builder;
use crate::commands::system::version::VERSION;
use crate::context::Context;
use crate::failure::{Exit, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    /// Ensure the builder has booted; it always has
    #[arg(long, hide = true)]
    pub(crate) bootstrap: bool,
    /// The builder.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: InspectArgs) -> Outcome {
    if let Some(name) = args.operands.first() {
        builder::check(name)?;
    }
    let platforms = platforms(context)?.join(", ");
    context.ui.data(&format!(
        "Name:   default\nDriver: gantry\n\nNodes:\nName:             default\n\
         Endpoint:         default\nStatus:           running\nBuildKit version: v{VERSION}\n\
         Platforms:        {platforms}\n"
    ))?;
    Ok(Exit::SUCCESS)
}
