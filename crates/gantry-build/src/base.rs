//! Where base images come from.

use std::error::Error;
use std::fmt;

use gantry_model::image::ImageConfig;
use gantry_model::layout::LayoutReference;
use gantry_model::{Digest, Fault, FaultKind, Platform, Reference};

/// When a base image is looked for in its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PullPolicy {
    /// Only when the store does not have it.
    #[default]
    Missing,
    /// Always (`--pull`).
    Always,
    /// Never.
    Never,
}

/// Which image is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseSource {
    /// The one of that name, in the store or its registry.
    Named(Reference),
    /// One of an OCI layout on this machine. It gets no name: its layers are kept for this build.
    Layout(LayoutReference),
}

impl fmt::Display for BaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(reference) => reference.fmt(f),
            Self::Layout(layout) => layout.fmt(f),
        }
    }
}

/// A base image whose layers are in the store.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// Image id: the digest of the configuration.
    pub id: Digest,
    /// Digest of the manifest or index that it has in its registry or layout, where known.
    pub manifest: Option<Digest>,
    /// The configuration; its diff IDs are the layers, base first, all in the store.
    pub config: ImageConfig,
}

/// What becomes known while a base image is being fetched; one line of a progress display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullStatus {
    /// What it is about: a digest, usually of a layer.
    pub id: String,
    /// Bytes done.
    pub current: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
    /// Whether this item is finished.
    pub done: bool,
}

/// Gives base images; implemented over the engine by the command line.
pub trait BaseImages: Sync {
    /// The image `source` for `platform`, its layers brought into the store if need be; with
    /// [`PullPolicy::Never`] those of a layout are left where they are. Called from several
    /// threads at once.
    ///
    /// # Errors
    /// The image does not exist, has no such platform, or cannot be fetched.
    fn resolve(
        &self,
        source: &BaseSource,
        platform: &Platform,
        policy: PullPolicy,
        status: &(dyn Fn(PullStatus) + Sync),
    ) -> Result<BaseImage, BaseImageError>;
}

/// Why a base image cannot be had: the error of whoever implements [`BaseImages`].
#[derive(Debug)]
pub struct BaseImageError(Box<dyn Fault>);

impl BaseImageError {
    /// Wraps an error.
    pub fn new(error: impl Fault) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for BaseImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for BaseImageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Fault for BaseImageError {
    fn kind(&self) -> FaultKind {
        self.0.kind()
    }

    fn hints(&self) -> Vec<String> {
        self.0.hints()
    }
}
