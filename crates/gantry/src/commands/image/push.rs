//! Uploads an image.

use clap::Args;
use gantry_engine::images::ImageFilters;
use gantry_model::Reference;

use super::fetch::{Heading, Shown};
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PushArgs {
    /// Push every tag of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Skip image signing
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
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
        all_tags(context, &reference)?
    } else {
        vec![reference]
    };
    for reference in &names {
        push(context, reference, args.quiet)?;
    }
    Ok(Exit::SUCCESS)
}

fn push(context: &Context, reference: &Reference, quiet: bool) -> Result<(), Failure> {
    let shown = Shown::new(quiet, Heading::Push);
    let pushed = context.engine()?.images().push(reference, &shown);
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

/// Every name that the repository has here.
fn all_tags(context: &Context, reference: &Reference) -> Result<Vec<Reference>, Failure> {
    let repository = reference.familiar_name();
    let filters = ImageFilters {
        reference: vec![repository.clone()],
        ..ImageFilters::default()
    };
    let rows = context.engine()?.images().list(&filters)?;
    let tags = rows
        .iter()
        .filter(|row| row.repository.as_ref() == Some(&repository));
    let names: Vec<Reference> = tags
        .filter_map(|row| reference.with_tag(row.tag.as_deref()?).ok())
        .collect();
    if names.is_empty() {
        let message = format!("An image does not exist locally with the tag: {repository}");
        return Err(CommandError::NotFound(message).into());
    }
    Ok(names)
}
