//! `gantry runtime`: the OCI runtime's command line on real bundles, and under its callers.

mod bundles;
pub(crate) mod callers;
mod checkpoint;
mod document;
mod hooks;
mod life;
