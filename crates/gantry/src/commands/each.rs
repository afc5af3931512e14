//! One thing done to each of several names.

use gantry_engine::containers::Ending;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// Tells of a container that could only be ended together with its supervisor.
pub(crate) fn tell_ending(context: &Context, name: &str, ending: Ending) {
    if ending == Ending::Forced {
        context.ui.warning(&format!(
            "the supervisor of {name} did not answer: it was killed, and the container with it"
        ));
    }
}

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
