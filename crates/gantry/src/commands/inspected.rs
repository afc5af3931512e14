//! What all `inspect` commands do: show what was found, then say what was not.

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::documents::{self, Document};

/// Shows the document of each of `names`; those that are not there are told of after it.
pub(crate) fn inspected(
    context: &Context,
    format: Option<&str>,
    names: &[String],
    mut find: impl FnMut(&str) -> Result<Document, Failure>,
) -> Outcome {
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match find(name) {
            Ok(document) => found.push(document),
            Err(failure) => failures.push(failure),
        }
    }
    context.ui.data(&documents::render(format, &found)?)?;
    for failure in &failures {
        context.ui.failure(failure);
    }
    if failures.is_empty() {
        Ok(Exit::SUCCESS)
    } else {
        Err(Failure::Said(1))
    }
}
