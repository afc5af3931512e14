//! Removes containers.

use clap::Args;
use gantry_engine::containers::{ContainerError, RemoveOptions};

use crate::commands::each::{each, tell_ending};
use crate::context::Context;
use crate::failure::Outcome;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct RmArgs {
    /// Remove a running container too (uses SIGKILL)
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove the container's anonymous volumes with it
    #[arg(short, long)]
    pub(crate) volumes: bool,
    /// The containers.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: RmArgs) -> Outcome {
    let containers = context.engine()?.containers();
    let options = RemoveOptions {
        force: args.force,
        volumes: args.volumes,
    };
    each(context, &args.operands, |name| {
        let name = name.strip_prefix('/').unwrap_or(name);
        match containers.remove(name, options) {
            Ok(ending) => {
                tell_ending(context, name, ending);
                context.ui.line(name)
            }
            // What is not there is removed: scripts clean up with `rm -f`.
            Err(error @ ContainerError::NotFound { .. }) if args.force => {
                context.ui.status(&error.to_string());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    })
}
