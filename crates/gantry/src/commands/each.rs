//! One thing done to each of several names.

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// Does `work` for each of `names`; one that fails is told of and does not stop the others.
pub(crate) fn each(
    context: &Context,
    names: &[String],
    mut work: impl FnMut(&str) -> Result<(), Failure>,
) -> Outcome {
    let mut failed = false;
    for name in names {
        match work(name) {
            Ok(()) => {}
            Err(Failure::BrokenPipe) => return Err(Failure::BrokenPipe),
            Err(failure) => {
                context.ui.failure(&failure);
                failed = true;
            }
        }
    }
    if failed {
        Err(Failure::Said(1))
    } else {
        Ok(Exit::SUCCESS)
    }
}
