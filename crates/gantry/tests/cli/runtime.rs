//! `gantry runtime`: the OCI runtime's command line on real bundles, and under its callers.

mod bundles;
mod callers;
mod document;
mod hooks;
mod life;
