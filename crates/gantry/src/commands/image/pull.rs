//! Downloads an image.

use clap::Args;
use gantry_engine::images::Pulled;
use gantry_model::Reference;

use super::fetch::{Wanted, fetch, platforms, status, summary};
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::flags::environment;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PullArgs {
    /// Download all tags of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Skip image verification; content is always verified
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    /// Download the images of all platforms
    #[arg(long, conflicts_with = "platform")]
    pub(crate) all_platforms: bool,
    /// Platform of the image, or several with commas between
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Print the name of the image only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, mut args: PullArgs) -> Outcome {
    if !args.all_platforms {
        args.platform = args.platform.or_else(environment::default_platform);
    }
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
    // Said before anything is asked of a registry.
    platforms(args.platform.as_deref())?;
    if args.all_tags {
        if tagged {
            return Err(Failure::invalid("tag can't be used with --all-tags/-a"));
        }
        return pull_all(context, &args, &reference);
    }
    if !args.quiet && !tagged {
        context.ui.status("Using default tag: latest");
    }
    let pulled = pull(context, &args, &reference)?;
    if !args.quiet {
        context.ui.line(&summary(&reference, &pulled))?;
    }
    context.ui.line(&reference.to_string())?;
    Ok(Exit::SUCCESS)
}

fn pull(context: &Context, args: &PullArgs, reference: &Reference) -> Result<Pulled, Failure> {
    let wanted = Wanted {
        reference,
        platform: args.platform.as_deref(),
        all_platforms: args.all_platforms,
        quiet: args.quiet,
    };
    fetch(context, wanted)
}

/// Every tag of a repository, one after the other.
fn pull_all(context: &Context, args: &PullArgs, repository: &Reference) -> Outcome {
    let tags = context.engine()?.images().remote_tags(repository)?;
    if tags.is_empty() {
        let message = format!("{} has no tags", repository.familiar_name());
        return Err(CommandError::NotFound(message).into());
    }
    let mut newer = false;
    for tag in &tags {
        let reference = repository
            .with_tag(tag)
            .map_err(|error| Failure::invalid(error.to_string()))?;
        let pulled = pull(context, args, &reference)?;
        newer |= pulled.newer;
        if !args.quiet {
            context.ui.line(&format!("Digest: {}", pulled.digest))?;
        }
    }
    if !args.quiet {
        let name = repository.familiar_name();
        context.ui.line(&status(&name, newer))?;
    }
    context.ui.line(&repository.name())?;
    Ok(Exit::SUCCESS)
}
