//! Builds.

pub(crate) mod build;
pub(crate) mod lint;
pub(crate) mod prune;
