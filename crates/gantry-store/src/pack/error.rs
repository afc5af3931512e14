//! Why a directory cannot be packed.

use std::io;

use gantry_model::{Fault, FaultKind};

use crate::error::{StoreError, io_hints, io_kind};
use crate::tar::WriteError;

/// A directory cannot be packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A system call on a file of the tree failed.
    #[error("cannot {action} {path:?}")]
    Entry {
        /// What was tried.
        action: &'static str,
        /// The path in the tree.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot pack the tree")]
    Write {
        /// Why.
        source: WriteError,
    },
    /// overlayfs renamed a directory of a lower layer: its content is not in this tree.
    #[error("{path:?} is a redirected directory of overlayfs, which no layer can express")]
    Redirect {
        /// The path in the tree.
        path: String,
    },
    /// overlayfs copied only the metadata of a file: its content is not in this tree.
    #[error("{path:?} is a metadata-only copy of overlayfs, which no layer can express")]
    Metacopy {
        /// The path in the tree.
        path: String,
    },
    /// A file is named as whiteouts are.
    #[error("{path:?} cannot be in a layer: names that start with \".wh.\" mean whiteouts there")]
    ReservedName {
        /// The path in the tree.
        path: String,
    },
    /// The tree is too deep.
    #[error("the tree is more than {limit} directories deep at {path:?}")]
    TooDeep {
        /// The path in the tree.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PackError {
    pub(super) fn entry(action: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Entry {
            action,
            path: String::from_utf8_lossy(path).into_owned(),
            source: source.into(),
        }
    }
}

impl Fault for PackError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Entry { source, .. }
            | Self::Write {
                source: WriteError::Stream(source) | WriteError::Content { source, .. },
            } => io_kind(source),
            Self::Write {
                source: WriteError::Shrunk { .. },
            } => FaultKind::Conflict,
            Self::Redirect { .. }
            | Self::Metacopy { .. }
            | Self::ReservedName { .. }
            | Self::TooDeep { .. } => FaultKind::Unsupported,
            Self::Store(error) => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Entry { source, .. }
            | Self::Write {
                source: WriteError::Stream(source) | WriteError::Content { source, .. },
            } => io_hints(source),
            Self::Store(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
