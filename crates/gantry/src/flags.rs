//! Flags that several commands share, and what they mean to the engine.

pub(crate) mod build;
pub(crate) mod container;
pub(crate) mod detach_keys;
pub(crate) mod devices;
pub(crate) mod environment;
pub(crate) mod filter;
pub(crate) mod gpus;
pub(crate) mod hosts;
pub(crate) mod limits;
pub(crate) mod mounts;
pub(crate) mod refused;
pub(crate) mod spec;
pub(crate) mod value;
