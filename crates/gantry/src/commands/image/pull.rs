//! Downloads an image.

use clap::Args;
use gantry_model::Reference;

use super::fetch::{Wanted, fetch, summary};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PullArgs {
    /// Skip image verification; content is always verified
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    /// Platform of the image
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Print the name of the image only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: PullArgs) -> Outcome {
    let name = &args.operands[0];
    let reference: Reference =
        name.parse()
            .map_err(|error: gantry_model::reference::ReferenceError| {
                Failure::invalid(error.to_string())
            })?;
    let tagged = name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains([':', '@']));
    if !args.quiet && !tagged {
        context.ui.status("Using default tag: latest");
    }
    let platform = args.platform.as_deref();
    let pulled = fetch(
        context,
        Wanted {
            reference: &reference,
            platform,
            quiet: args.quiet,
        },
    )?;
    if !args.quiet {
        context.ui.line(&summary(&reference, &pulled))?;
    }
    context.ui.line(&reference.to_string())?;
    Ok(Exit::SUCCESS)
}
