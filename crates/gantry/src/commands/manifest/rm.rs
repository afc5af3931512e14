//! Removes lists of manifests.

use clap::Args;

use super::reference;
use crate::commands::each::each;
use crate::context::Context;
use crate::failure::{CommandError, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct RmArgs {
    /// The lists.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: RmArgs) -> Outcome {
    let engine = context.engine()?;
    each(context, &args.operands, |name| {
        let list = reference(name)?;
        if engine.store()?.images().index_of(&list)?.is_none() {
            return Err(CommandError::NotFound(format!("No such manifest: {list}")).into());
        }
        engine.images().remove(name, Default::default())?;
        Ok(())
    })
}
