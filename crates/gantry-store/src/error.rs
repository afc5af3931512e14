//! What can go wrong in the store, and what a person can do about it.

use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{Digest, Fault, FaultKind, Shortage};

/// A failure of the store itself (unpacking and packing have their own enums).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A system call on a file of the store failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The database refused.
    #[error("cannot {action} in the store's database")]
    Database {
        /// What was tried.
        action: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The store was written by a newer Gantry.
    #[error("the store {} has schema version {found}, this gantry knows up to {known}", path.display())]
    SchemaTooNew {
        /// The database file.
        path: PathBuf,
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// A file of a layer belongs to a user or group that is to be nobody's.
    #[error(
        "a file of the image belongs to user {uid} and group {gid}, which the container's user namespace does not have"
    )]
    UnmappedOwner {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// The source of a blob failed while it was read.
    #[error("cannot read the content to be stored")]
    Source {
        /// Why.
        source: io::Error,
    },
    /// The content is not what its digest says.
    #[error("content has digest {actual}, expected {expected}")]
    DigestMismatch {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// The content has another length than announced.
    #[error("content of {digest} has {actual} bytes, expected {expected}")]
    SizeMismatch {
        /// The digest it should have.
        digest: Digest,
        /// The announced size.
        expected: u64,
        /// The real size (or the first size beyond the expected one).
        actual: u64,
    },
    /// A stored blob is longer than the reader allows.
    #[error("blob {digest} has {size} bytes, more than the {limit} allowed here")]
    BlobTooLarge {
        /// Which blob.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit of the reader.
        limit: u64,
    },
    /// A blob on disk no longer has the digest of its name.
    #[error("stored blob {digest} is damaged")]
    DamagedBlob {
        /// Which blob.
        digest: Digest,
    },
    /// There is no such blob.
    #[error("no such blob: {digest}")]
    NoBlob {
        /// Which blob.
        digest: Digest,
    },
    /// There is no such layer.
    #[error("no such layer: {diff_id}")]
    NoLayer {
        /// Its diff ID.
        diff_id: Digest,
    },
    /// There is no such image.
    #[error("no such image: {name}")]
    NoImage {
        /// As it was asked for.
        name: String,
    },
    /// A prefix fits several images.
    #[error("image id {prefix:?} is ambiguous: it fits {count} images")]
    AmbiguousId {
        /// The prefix.
        prefix: String,
        /// How many images it fits.
        count: usize,
    },
    /// An image configuration does not parse.
    #[error("image configuration {id} is malformed")]
    Config {
        /// Digest of the configuration.
        id: Digest,
        /// Why.
        source: serde_json::Error,
    },
    /// A recipe (what a layer's files do not say of its tar) is damaged.
    #[error("the recipe of layer {diff_id} is damaged: {reason}")]
    DamagedRecipe {
        /// The layer.
        diff_id: Digest,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A layer has a hard link to a file which no layer below it has.
    #[error(
        "layer {diff_id} has a hard link {path:?} to {target:?}, which neither it nor a layer below has"
    )]
    DanglingHardLink {
        /// The layer.
        diff_id: Digest,
        /// The link.
        path: String,
        /// What it should be linked to.
        target: String,
    },
}

impl StoreError {
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io {
            action,
            path: path.as_ref().to_owned(),
            source: source.into(),
        }
    }
}

/// The kind of failure that an errno means.
pub(crate) fn io_kind(error: &io::Error) -> FaultKind {
    match error.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::ReadOnlyFilesystem => FaultKind::Unavailable,
        io::ErrorKind::PermissionDenied => FaultKind::Forbidden,
        _ => FaultKind::Internal,
    }
}

/// What to do about an errno.
#[must_use]
pub fn io_hints(error: &io::Error) -> Vec<String> {
    if let Some(short) = Shortage::of(error) {
        return vec![short.hint().to_owned()];
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            vec!["run as the owner of the store, or choose another place with --root".to_owned()]
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            vec![
                "the disk fails (dmesg says how): gantry system check tells what of the store is damaged"
                    .to_owned(),
            ]
        }
        _ => Vec::new(),
    }
}

impl Fault for StoreError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Io { source, .. } => io_kind(source),
            Self::Database { source, .. } => match source.sqlite_error_code() {
                Some(
                    rusqlite::ErrorCode::DiskFull
                    | rusqlite::ErrorCode::DatabaseBusy
                    | rusqlite::ErrorCode::ReadOnly,
                ) => FaultKind::Unavailable,
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                    FaultKind::Corrupt
                }
                _ => FaultKind::Internal,
            },
            Self::SchemaTooNew { .. } => FaultKind::Unsupported,
            Self::Source { .. } => FaultKind::Unavailable,
            Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::DamagedBlob { .. }
            | Self::DamagedRecipe { .. }
            | Self::DanglingHardLink { .. }
            | Self::Config { .. } => FaultKind::Corrupt,
            Self::BlobTooLarge { .. } | Self::AmbiguousId { .. } | Self::UnmappedOwner { .. } => {
                FaultKind::Invalid
            }
            Self::NoBlob { .. } | Self::NoLayer { .. } | Self::NoImage { .. } => {
                FaultKind::NotFound
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Io { source, .. } => io_hints(source),
            Self::Database { source, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => vec![Shortage::Disk.hint().to_owned()],
                Some(rusqlite::ErrorCode::ReadOnly) => {
                    vec![Shortage::ReadOnly.hint().to_owned()]
                }
                _ => Vec::new(),
            },
            Self::SchemaTooNew { .. } => {
                vec!["use the newer gantry, or another store with --root".to_owned()]
            }
            Self::DamagedBlob { .. }
            | Self::DamagedRecipe { .. }
            | Self::NoBlob { .. }
            | Self::Config { .. } => {
                vec!["`gantry system check --repair` removes what is damaged; pull or build it again"
                    .to_owned()]
            }
            Self::UnmappedOwner { uid, gid } => {
                let most = (*uid).max(*gid);
                vec![format!(
                    "give it more users: --userns auto:size={}",
                    most.saturating_add(1)
                )]
            }
            Self::AmbiguousId { .. } => vec!["give more digits of the id".to_owned()],
            _ => Vec::new(),
        }
    }
}
