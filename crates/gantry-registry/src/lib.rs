//! The registry client: OCI distribution-spec 1.1, the pull and the push side.
//!
//! Synchronous: a command is a short process, and a layer is a plain [`std::io::Read`] from the
//! socket. The store is not known here; whoever pulls hands the reader to it, and the store
//! verifies what comes. Manifests are verified here, since they are read whole.
//!
//! This crate never knows containers, the store, or where credentials come from beyond Docker's
//! `config.json`, whose text it is given.

pub mod client;
pub mod credentials;
mod error;
mod secret;

pub use client::{BlobReader, Client, ClientConfig, FetchedManifest, RegistrySettings};
pub use error::RegistryError;
pub use secret::Secret;
