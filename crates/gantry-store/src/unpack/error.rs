//! Why an archive cannot be unpacked.

use std::io;

use gantry_model::{Digest, Fault, FaultKind};

use crate::compression::StreamError;
use crate::error::{StoreError, io_hints, io_kind};
use crate::limits::Limit;
use crate::tar::{ReadError, ReadErrorKind};

/// A layer or archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The archive is malformed or truncated.
    #[error("the archive is not usable")]
    Archive {
        /// Where and why.
        #[from]
        source: ReadError,
    },
    /// More than is accepted.
    #[error("the archive has more than {limit} {what}")]
    Limit {
        /// Which limit.
        what: Limit,
        /// Its value.
        limit: u64,
    },
    /// The compressed stream is malformed.
    #[error("the compressed stream is damaged")]
    Compression {
        /// Why.
        source: io::Error,
    },
    /// The stream failed (network, file).
    #[error("the layer cannot be read")]
    Source {
        /// Why.
        source: io::Error,
    },
    /// The compressed stream has another digest.
    #[error("the layer's blob has digest {actual}, expected {expected}")]
    BlobDigest {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// The compressed stream has another size.
    #[error("the layer's blob {digest} has {actual} bytes, expected {expected}")]
    BlobSize {
        /// The digest it should have.
        digest: Digest,
        /// The size it should have.
        expected: u64,
        /// The size it has, or where reading stopped.
        actual: u64,
    },
    /// The uncompressed tar has another digest.
    #[error("the layer has diff ID {actual}, expected {expected}")]
    DiffId {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// A name that leads out of the directory.
    #[error("the entry {path:?} points out of the archive")]
    Escape {
        /// The path of the entry.
        path: String,
    },
    /// A hard link to a target outside of the directory, or to a directory.
    #[error("the hard link {path:?} to {target:?} points out of the archive")]
    LinkEscape {
        /// The path of the link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A hard link to what is not there.
    #[error("the hard link {path:?} has no target {target:?}")]
    LinkTarget {
        /// The path of the link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A whiteout whose name hides nothing that can exist.
    #[error("the whiteout {path:?} points out of the archive or hides nothing")]
    Whiteout {
        /// The path of the whiteout.
        path: String,
    },
    /// An entry lies in something that is no directory.
    #[error("the entry {path:?} lies in {parent:?}, which is no directory")]
    NotDirectory {
        /// The path of the entry.
        path: String,
        /// What is no directory.
        parent: String,
    },
    /// Too many symbolic links on the way to an entry.
    #[error("the entry {path:?} lies behind too many symbolic links")]
    LinkLoop {
        /// The path of the entry.
        path: String,
    },
    /// The root of the archive is something else than a directory.
    #[error("the archive's root is not a directory")]
    Root,
    /// An entry cannot be made.
    #[error("cannot {action} {path:?}")]
    Entry {
        /// What was tried.
        action: &'static str,
        /// The path of the entry.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A path as a person reads it.
pub(crate) fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl UnpackError {
    pub(crate) fn entry(action: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Entry {
            action,
            path: show(path),
            source: source.into(),
        }
    }

    /// An error of the reader; what the stream below said comes to the surface.
    pub(crate) fn archive(error: ReadError) -> Self {
        match error.kind {
            ReadErrorKind::TooMuch { what, limit } => Self::Limit { what, limit },
            ReadErrorKind::Stream(source) => Self::stream(source),
            kind => Self::Archive {
                source: ReadError {
                    offset: error.offset,
                    kind,
                },
            },
        }
    }

    pub(crate) fn stream(error: io::Error) -> Self {
        match error.downcast::<StreamError>() {
            Ok(StreamError::Limit { what, limit }) => Self::Limit { what, limit },
            Ok(StreamError::Compression { source }) => Self::Compression { source },
            Ok(StreamError::Source { source }) => Self::Source { source },
            Ok(StreamError::Digest { expected, actual }) => Self::BlobDigest { expected, actual },
            Ok(StreamError::Size {
                digest,
                expected,
                actual,
            }) => Self::BlobSize {
                digest,
                expected,
                actual,
            },
            Err(source) => Self::Source { source },
        }
    }
}

impl Fault for UnpackError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Entry { source, .. } => match io_kind(source) {
                // A name too long, a loop, a link where none can be: the archive's fault.
                FaultKind::Internal => FaultKind::Corrupt,
                kind => kind,
            },
            Self::Source { source } => match io_kind(source) {
                FaultKind::Internal => FaultKind::Unavailable,
                kind => kind,
            },
            Self::Limit { .. } => FaultKind::Invalid,
            Self::Store(error) => error.kind(),
            _ => FaultKind::Corrupt,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Limit { what, .. } => vec![what.hint()],
            Self::Entry { source, .. } | Self::Source { source } => io_hints(source),
            Self::Store(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
