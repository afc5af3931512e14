//! Makes a list of manifests.

use clap::Args;

use super::reference;
use crate::commands::image::fetch::{Heading, Shown};
use crate::context::Context;
use crate::failure::{Exit, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// Amend an existing manifest list
    #[arg(short, long)]
    pub(crate) amend: bool,
    /// Allow communication with an insecure registry; the configuration names those
    #[arg(long, hide = true)]
    pub(crate) insecure: bool,
    /// The list and its images.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: CreateArgs) -> Outcome {
    let list = reference(&args.operands[0])?;
    let images = context.engine()?.images();
    let shown = Shown::new(false, Heading::Pull);
    let made = images.create_list(&list, &args.operands[1..], args.amend, &shown);
    shown.display.finish();
    made?;
    context.ui.line(&format!("Created manifest list {list}"))?;
    Ok(Exit::SUCCESS)
}
