//! Why a copy failed; texts are Docker's where it has one.

use std::io;

use gantry_model::{Fault, FaultKind};
use gantry_store::tar::{ReadError, WriteError};

use crate::containers::ContainerError;

/// Why something could not be copied in or out of a container.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Nothing there.
    #[error("Could not find the file {path} in container {container}")]
    NotInContainer {
        /// As asked for.
        path: String,
        /// As asked for.
        container: String,
    },
    /// The path is none.
    #[error("bad parameter: path cannot be empty")]
    EmptyPath,
    /// A directory in the place of a file.
    #[error("cannot copy directory")]
    DirectoryOverFile,
    /// The destination says it is a directory, and is not there.
    #[error("no such directory")]
    NoSuchDirectory,
    /// Where a local file was to go.
    #[error("invalid output path: directory {folder:?} does not exist")]
    OutputFolder {
        /// The folder.
        folder: String,
    },
    /// A local destination that is neither a directory nor a regular file.
    #[error("invalid output path: {path:?} must be a directory or a regular file: got a device")]
    OutputDevice {
        /// The path.
        path: String,
    },
    /// The same in a container.
    #[error("destination \"{container}:{path}\" must be a directory or a regular file")]
    Device {
        /// As asked for.
        path: String,
        /// As asked for.
        container: String,
    },
    /// An archive goes into a directory.
    #[error("destination \"{container}:{path}\" must be a directory")]
    NotDirectory {
        /// As asked for.
        path: String,
        /// As asked for.
        container: String,
    },
    /// `--read-only`.
    #[error("container rootfs is marked read-only")]
    ReadOnlyRoot,
    /// A volume mounted read-only.
    #[error("mounted volume is marked read-only")]
    ReadOnlyMount,
    /// A directory is not replaced by what is none.
    #[error("cannot overwrite directory {path:?} with non-directory")]
    OverDirectory {
        /// Below the destination.
        path: String,
    },
    /// Nor the other way round.
    #[error("cannot overwrite non-directory {path:?} with directory")]
    OverNonDirectory {
        /// Below the destination.
        path: String,
    },
    /// procfs and its like hold no files.
    #[error("cannot copy into {path:?}: it is in a file system of the kernel")]
    KernelFiles {
        /// Below the destination.
        path: String,
    },
    /// Deeper than descriptors reach.
    #[error("cannot copy {path:?}: more than {limit} directories deep")]
    TooDeep {
        /// Where.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// An archive's entry that leads out of the destination.
    #[error("invalid path {path:?} in the archive")]
    Escapes {
        /// As written.
        path: String,
    },
    /// The archive is malformed.
    #[error("cannot read the archive")]
    Read(#[from] ReadError),
    /// The archive's stream failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The archive's stream failed.
    #[error("cannot read the archive")]
    Stream(#[source] io::Error),
    /// One file.
    #[error("cannot {action} {path}")]
    Entry {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl CopyError {
    /// For `map_err`: what was being done with one file.
    pub(super) fn entry(action: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> Self {
        let path = show(path);
        move |source| Self::Entry {
            action,
            path,
            source,
        }
    }
}

/// A path as messages show it.
pub(super) fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl Fault for CopyError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Container(error) => error.kind(),
            Self::NotInContainer { .. } => FaultKind::NotFound,
            Self::Entry { .. } | Self::Write(_) | Self::Stream(_) => FaultKind::Internal,
            _ => FaultKind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Container(error) => error.hints(),
            Self::EmptyPath => vec!["the root is written CONTAINER:/".into()],
            _ => Vec::new(),
        }
    }
}
