//! Shows all there is to know of images.

use clap::Args;

use super::fetch::platform;
use crate::commands::inspected::inspected;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::documents::Document;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    /// Format output by a Go template: 'json' or 'TEMPLATE'
    #[arg(short, long)]
    pub(crate) format: Option<String>,
    /// Show the images of this platform (e.g. "linux/amd64")
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// The images.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: InspectArgs) -> Outcome {
    let images = context.engine()?.images();
    let wanted = platform(args.platform.as_deref())?;
    inspected(context, args.format.as_deref(), &args.operands, |name| {
        Ok(Document::new(&images.inspect(name, wanted.as_ref())?))
    })
}
