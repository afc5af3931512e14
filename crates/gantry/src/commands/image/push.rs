//! Uploads an image.

use clap::Args;
use gantry_model::{Platform, Reference};

use super::fetch::{Heading, Shown, platform};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PushArgs {
    /// Push every tag of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Skip image signing
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    /// Push only the image of this platform (e.g. "linux/amd64")
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Print the name of the image only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: PushArgs) -> Outcome {
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
    if args.all_tags && tagged {
        return Err(Failure::invalid("tag can't be used with --all-tags/-a"));
    }
    if !args.quiet && !args.all_tags && !tagged {
        context.ui.status("Using default tag: latest");
    }
    let names = if args.all_tags {
        context.engine()?.images().tags_of(&reference)?
    } else {
        vec![reference]
    };
    let wanted = platform(args.platform.as_deref())?;
    for reference in &names {
        push(context, reference, wanted.as_ref(), args.quiet)?;
    }
    Ok(Exit::SUCCESS)
}

fn push(
    context: &Context,
    reference: &Reference,
    platform: Option<&Platform>,
    quiet: bool,
) -> Result<(), Failure> {
    let shown = Shown::new(quiet, Heading::Push);
    let pushed = context.engine()?.images().push(reference, platform, &shown);
    shown.display.finish();
    let pushed = pushed?;
    if quiet {
        return context.ui.line(&reference.to_string());
    }
    context.ui.line(&format!(
        "{}: digest: {} size: {}",
        pushed.tag, pushed.digest, pushed.size
    ))
}
