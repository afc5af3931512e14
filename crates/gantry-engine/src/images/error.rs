//! Why something cannot be done with an image.

use std::io;
use std::path::PathBuf;

use gantry_model::reference::ReferenceError;
use gantry_model::{Digest, Fault, FaultKind, Platform, Reference};
use gantry_registry::RegistryError;
use gantry_store::{PackError, StoreError, UnpackError};

use crate::roots::RootsError;

use super::archive::ArchiveError;
use super::change::ChangeError;

/// A failure of one of the verbs of [`Images`](super::Images).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// There is no such image here.
    #[error("No such image: {name}")]
    NotFound {
        /// As it was asked for.
        name: String,
    },
    /// What was written is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A layer cannot be unpacked.
    #[error("cannot unpack layer {layer}")]
    Unpack {
        /// Digest of the layer as it was announced.
        layer: String,
        /// Why.
        source: UnpackError,
    },
    /// A layer's tar cannot be made again.
    #[error("cannot pack layer {diff_id}")]
    Pack {
        /// The layer.
        diff_id: Digest,
        /// Why.
        source: PackError,
    },
    /// The files of a cache mount cannot be packed.
    #[error("cannot pack the cache mount {id}")]
    PackMount {
        /// Its id.
        id: String,
        /// Why.
        source: PackError,
    },
    /// The index has nothing for this platform.
    #[error("no image for {} in {reference}, there {}", wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "), available(.offered))]
    NoPlatform {
        /// What was pulled.
        reference: String,
        /// The platform that was wanted.
        wanted: Vec<Platform>,
        /// The platforms that there are.
        offered: Vec<Platform>,
    },
    /// The image is made for another platform than the one that was asked for.
    #[error("image {reference} is for {found}, not for {wanted}")]
    OtherPlatform {
        /// The image.
        reference: String,
        /// What was asked for.
        wanted: Box<Platform>,
        /// What it is made for.
        found: Box<Platform>,
    },
    /// The reference names something that is no image.
    #[error("{reference} is no image that can be run but {what}")]
    NotAnImage {
        /// The reference.
        reference: String,
        /// What it is.
        what: String,
    },
    /// A manifest or configuration does not say what it must.
    #[error("the {what} {digest} is malformed: {reason}")]
    Document {
        /// `manifest`, `index`, `image configuration`.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
    /// A layer is of a type that cannot be unpacked.
    #[error("layer {digest} has the media type {media_type:?}, which is not supported")]
    LayerType {
        /// The layer.
        digest: Digest,
        /// Its type.
        media_type: String,
    },
    /// The image is not here and may not be pulled.
    #[error("image {reference} is not here and was not to be pulled")]
    Missing {
        /// The image.
        reference: String,
    },
    /// There is no tag to push.
    #[error("An image does not exist locally with the tag: {name}")]
    NothingToPush {
        /// Repository, with the tag where one was given.
        name: String,
    },
    /// A digest cannot be pushed to or tagged.
    #[error("refusing to {verb} {reference}: a digest cannot be chosen")]
    ByDigest {
        /// `tag`, `push`.
        verb: &'static str,
        /// The reference.
        reference: Box<Reference>,
    },
    /// Removal by id of an image with names in several repositories.
    #[error(
        "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
    )]
    SeveralNames {
        /// Short id.
        id: String,
    },
    /// Removal of an image that a stopped container needs.
    #[error(
        "conflict: unable to delete {id} (must be forced) - image is being used by stopped container {container}"
    )]
    UsedByStopped {
        /// Short id.
        id: String,
        /// Short id of the container.
        container: String,
    },
    /// Removal of an image that a running container needs.
    #[error(
        "conflict: unable to delete {id} (cannot be forced) - image is being used by running container {container}"
    )]
    UsedByRunning {
        /// Short id.
        id: String,
        /// Short id of the container.
        container: String,
    },
    /// Removal of the last name of an image that a container needs.
    #[error(
        "conflict: unable to remove repository reference {name:?} (must force) - container {container} is using its referenced image {id}"
    )]
    NameUsed {
        /// The name as written.
        name: String,
        /// Short id of the container.
        container: String,
        /// Short id of the image.
        id: String,
    },
    /// A filter that images do not have, or a value it cannot have.
    #[error("invalid filter '{filter}'")]
    Filter {
        /// `name=value`.
        filter: String,
    },
    /// An image cannot leave in the form that was asked for.
    #[error("cannot export the image: {reason}")]
    Form {
        /// Why not.
        reason: String,
    },
    /// A list of manifests of that name is there.
    #[error("refusing to amend an existing manifest list with no --amend flag")]
    ListExists,
    /// What containers need is not known.
    #[error(transparent)]
    Containers(#[from] RootsError),
    /// An archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An OCI layout in a folder has no such image, or not what it says.
    #[error("cannot take an image out of the OCI layout {}", folder.display())]
    Layout {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: Box<ImageError>,
    },
    /// An OCI layout has several images, none of that name.
    #[error("{}", no_entry(tag, *count, names))]
    NoEntry {
        /// The name that was looked for.
        tag: String,
        /// How many there are.
        count: usize,
        /// What they are called.
        names: String,
    },
    /// A `--change` cannot be applied.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// What is read from or written to the caller failed.
    #[error("cannot {action}")]
    Stream {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A file of the store's folder failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn no_entry(tag: &str, count: usize, names: &str) -> String {
    let there = match names {
        "" => "no name stands there".to_owned(),
        names => format!("there is: {names}"),
    };
    match count {
        1 => format!("its only image is not called {tag:?} ({there})"),
        count => format!("none of its {count} images is called {tag:?} ({there})"),
    }
}

fn available(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "is none".to_owned();
    }
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    format!("are {}", names.join(", "))
}

impl ImageError {
    pub(crate) fn stream(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Stream { action, source }
    }
}

impl Fault for ImageError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::NotFound { .. }
            | Self::NoPlatform { .. }
            | Self::Missing { .. }
            | Self::NoEntry { .. }
            | Self::NothingToPush { .. } => FaultKind::NotFound,
            Self::Layout { source, .. } => source.kind(),
            Self::Store(source) => source.kind(),
            Self::Registry(source) => source.kind(),
            Self::Unpack { source, .. } => source.kind(),
            Self::Pack { source, .. } | Self::PackMount { source, .. } => source.kind(),
            Self::Archive(source) => source.kind(),
            Self::NotAnImage { .. } | Self::LayerType { .. } => FaultKind::Unsupported,
            Self::Document { .. } => FaultKind::Corrupt,
            Self::SeveralNames { .. }
            | Self::UsedByStopped { .. }
            | Self::UsedByRunning { .. }
            | Self::ListExists
            | Self::NameUsed { .. } => FaultKind::Conflict,
            Self::Reference(_)
            | Self::OtherPlatform { .. }
            | Self::ByDigest { .. }
            | Self::Filter { .. }
            | Self::Form { .. }
            | Self::Change(_) => FaultKind::Invalid,
            Self::Stream { .. } | Self::File { .. } | Self::Containers(_) => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(source) => source.hints(),
            Self::Registry(source) => source.hints(),
            Self::Unpack { source, .. } => source.hints(),
            Self::Pack { source, .. } | Self::PackMount { source, .. } => source.hints(),
            Self::Archive(source) => source.hints(),
            Self::Layout { source, .. } => source.hints(),
            Self::NoEntry { .. } => {
                vec!["name one with PATH:TAG or PATH@DIGEST".to_owned()]
            }
            Self::NoPlatform { offered, .. } if !offered.is_empty() => {
                vec!["choose one of them with --platform".to_owned()]
            }
            Self::Missing { .. } => vec!["leave out --pull=never".to_owned()],
            Self::SeveralNames { .. } | Self::UsedByStopped { .. } | Self::NameUsed { .. } => {
                vec!["remove the container first, or use --force".to_owned()]
            }
            Self::UsedByRunning { .. } => vec!["stop and remove the container first".to_owned()],
            _ => Vec::new(),
        }
    }
}
