//! Builds.

pub(crate) mod bake;
pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod du;
pub(crate) mod lint;
pub(crate) mod prune;
pub(crate) mod verify;
