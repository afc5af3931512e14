//! Says which version the builder is.

use clap::Args;

use crate::commands::system::version::{BUILD, VERSION};
use crate::context::Context;
use crate::failure::{Exit, Outcome};

/// The words behind the command: none.
#[derive(Debug, Clone, Args)]
pub(crate) struct VersionArgs {}

pub(crate) fn run(context: &Context, _args: VersionArgs) -> Outcome {
    context.ui.line(&format!("gantry v{VERSION} {BUILD}"))?;
    Ok(Exit::SUCCESS)
}
