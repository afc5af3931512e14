//! checkpoint, restore.

use super::Call;
use crate::failure::{Failure, Outcome};

pub(super) fn checkpoint(_call: &Call<'_>) -> Outcome {
    Err(refused("checkpoint"))
}

pub(super) fn restore(_call: &Call<'_>) -> Outcome {
    Err(refused("restore"))
}

fn refused(action: &str) -> Failure {
    Failure::unsupported(format!("{action} is not supported by this runtime"))
}
