//! The commands: one file each, `commands/<noun>/<verb>.rs`.

pub(crate) mod builder;
pub(crate) mod buildx;
pub(crate) mod confirm;
pub(crate) mod container;
pub(crate) mod each;
pub(crate) mod image;
pub(crate) mod inspected;
pub(crate) mod manifest;
pub(crate) mod network;
pub(crate) mod registry;
pub(crate) mod runtime;
pub(crate) mod system;
pub(crate) mod volume;
