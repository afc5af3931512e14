//! Forgets the credentials of a registry.

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogoutArgs {
    /// The registry.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: LogoutArgs) -> Outcome {
    let registry = args.operands.first().map_or("", String::as_str);
    let shown = if registry.is_empty() {
        "https://index.docker.io/v1/"
    } else {
        registry
    };
    if context.engine()?.images().logout(registry)? {
        context
            .ui
            .line(&format!("Removing login credentials for {shown}"))?;
    } else {
        context.ui.line(&format!("Not logged in to {shown}"))?;
    }
    Ok(Exit::SUCCESS)
}
