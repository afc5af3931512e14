//! Shows a manifest or a list of manifests.

use clap::Args;
use serde_json::Value;

use super::reference;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    /// Allow communication with an insecure registry; the configuration names those
    #[arg(long, hide = true)]
    pub(crate) insecure: bool,
    /// The list, or a list and an image of it.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: InspectArgs) -> Outcome {
    // A list in front of the image says where Docker looks first: here every list is looked for.
    let Some(name) = args.operands.last() else {
        return Err(Failure::invalid("a manifest is needed"));
    };
    let (_, bytes) = context.engine()?.images().document_of(&reference(name)?)?;
    context.ui.line(&indented(&bytes)?)?;
    Ok(Exit::SUCCESS)
}

/// A document, its fields in their order, indented as Docker shows manifests.
pub(crate) fn indented(bytes: &[u8]) -> Result<String, Failure> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Failure::invalid(format!("the document is malformed: {error}")))?;
    Ok(crate::output::go_json::indented(&value).replace("    ", "   "))
}
