//! Images of registries.

pub(crate) mod create;
pub(crate) mod inspect;
