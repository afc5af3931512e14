//! Builds.

pub(crate) mod build;
pub(crate) mod prune;
