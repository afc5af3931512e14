//! Shows all there is to know of containers.

use clap::Args;

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
    /// Show sizes
    #[arg(short, long)]
    pub(crate) size: bool,
    /// The containers.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: InspectArgs) -> Outcome {
    let containers = context.engine()?.containers();
    inspected(context, args.format.as_deref(), &args.operands, |name| {
        Ok(Document::new(&containers.inspect(name, args.size)?))
    })
}
