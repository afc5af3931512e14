//! What the operations do.

pub(crate) mod archive;
pub(crate) mod copy;
pub(crate) mod files;
pub(crate) mod identity;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod view;
pub(crate) mod write;
