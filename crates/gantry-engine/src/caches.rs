//! Build caches that leave and come: in a registry, in a folder, within an image.
//!
//! The format is BuildKit's (`application/vnd.buildkit.cacheconfig.v0`): a document that lists
//! layers and, for each step, a digest and the layer it made. Each step stands there twice: under
//! the key of Gantry's own cache, complete in itself, and as BuildKit names it, by a digest of the
//! operation and by links to what it works on ([`gantry_model::StepRecord`]). So each finds its
//! steps in the other's caches.
//!
//! What comes is verified as far as it can be: documents by digest and shape, layers by digest, size
//! and diff ID. That a step really made the layer that stands under its key cannot be known; who
//! names a cache trusts whoever may write to it, for the builds that name it.

mod config;
mod export;
mod import;
mod mounts;

use std::path::PathBuf;

use gantry_model::{Digest, Reference};

pub use export::{CacheForm, inline};
pub use import::{Borrowed, ImportedCache};
pub use mounts::{CacheMountFacts, LeavingMount, OfferedMount, PackedMount};

use crate::Engine;

/// A step as it stands in a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheStep {
    /// The key of the step.
    pub key: [u8; 32],
    /// The layers of what it made, base first; the last one is its own.
    pub layers: Vec<Digest>,
    /// When it was made, RFC 3339.
    pub created: String,
}

/// Where a cache is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// Under a name in a registry: a cache, or an image that has one within.
    Registry(Reference),
    /// In an OCI layout in a folder.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The name it has there.
        tag: String,
        /// The very one; the one of that name without.
        digest: Option<Digest>,
    },
}

/// The handle of build caches.
#[derive(Debug, Clone, Copy)]
pub struct Caches<'a> {
    engine: &'a Engine,
}

impl<'a> Caches<'a> {
    pub(crate) const fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }
}
