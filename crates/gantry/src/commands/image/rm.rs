//! Removes images.

use clap::Args;
use gantry_engine::images::RemoveOptions;
use gantry_model::{Fault, FaultKind};

use super::fetch::platform;
use crate::commands::each::each;
use crate::context::Context;
use crate::failure::Outcome;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct RmArgs {
    /// Remove an image that stopped containers use, or that has several names
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Keep untagged parents; Gantry makes none
    #[arg(long)]
    pub(crate) no_prune: bool,
    /// Remove only the image of this platform (e.g. "linux/amd64")
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// The images.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: RmArgs) -> Outcome {
    let images = context.engine()?.images();
    let wanted = platform(args.platform.as_deref())?;
    let options = RemoveOptions { force: args.force };
    each(context, &args.operands, |name| {
        let removed = match &wanted {
            Some(wanted) => images.remove_platform(name, wanted, options),
            None => images.remove(name, options),
        };
        let removed = match removed {
            Ok(removed) => removed,
            // What is not there is removed: scripts clean up with `rmi -f`.
            Err(error) if args.force && error.kind() == FaultKind::NotFound => {
                context.ui.status(&error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut text: String = removed
            .untagged
            .iter()
            .map(|name| format!("Untagged: {name}\n"))
            .collect();
        text.extend(removed.deleted.iter().map(|id| format!("Deleted: {id}\n")));
        context.ui.data(&text)
    })
}
