//! Lists of manifests.

pub(crate) mod annotate;
pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod push;
pub(crate) mod rm;

use gantry_model::Reference;
use gantry_model::reference::ReferenceError;

use crate::failure::Failure;

/// The reference that a word is.
pub(super) fn reference(word: &str) -> Result<Reference, Failure> {
    word.parse()
        .map_err(|error: ReferenceError| Failure::invalid(error.to_string()))
}
