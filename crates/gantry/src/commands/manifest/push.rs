//! Uploads a list of manifests with its images.

use clap::Args;

use super::reference;
use crate::commands::image::fetch::{Heading, Shown};
use crate::context::Context;
use crate::failure::{CommandError, Exit, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PushArgs {
    /// Allow push to an insecure registry; the configuration names those
    #[arg(long, hide = true)]
    pub(crate) insecure: bool,
    /// Remove the local manifest list after push
    #[arg(short, long)]
    pub(crate) purge: bool,
    /// The list.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: PushArgs) -> Outcome {
    let list = reference(&args.operands[0])?;
    let engine = context.engine()?;
    if engine.store()?.images().index_of(&list)?.is_none() {
        return Err(CommandError::NotFound(format!("No such manifest: {list}")).into());
    }
    let shown = Shown::new(false, Heading::Push);
    let pushed = engine.images().push(&list, None, &shown);
    shown.display.finish();
    context.ui.line(&pushed?.digest.to_string())?;
    if args.purge {
        engine
            .images()
            .remove(&list.to_string(), Default::default())?;
    }
    Ok(Exit::SUCCESS)
}
