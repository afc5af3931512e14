//! Why something about the whole installation failed.

use gantry_model::{Fault, FaultKind};
use gantry_network::NetworkError;
use gantry_store::StoreError;

use crate::containers::ContainerError;
use crate::images::ImageError;
use crate::roots::RootsError;
use crate::volumes::VolumeError;

/// A failure of one of the verbs of [`System`](super::System): that of the part it was in.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// In the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// In an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// In a container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// In a volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// In the networks.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// What containers need is not known.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

impl Fault for SystemError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Store(source) => source.kind(),
            Self::Image(source) => source.kind(),
            Self::Container(source) => source.kind(),
            Self::Volume(source) => source.kind(),
            Self::Network(source) => source.kind(),
            Self::Roots(_) => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(source) => source.hints(),
            Self::Image(source) => source.hints(),
            Self::Container(source) => source.hints(),
            Self::Volume(source) => source.hints(),
            Self::Network(source) => source.hints(),
            Self::Roots(_) => Vec::new(),
        }
    }
}
