//! Control groups, version 1, version 2 and both at once.
//!
//! [`Layout`] says what is mounted, [`Settings`] what a group may use, [`Cgroup`] is one group in all
//! the hierarchies it lives in. Which file gets which value is decided by pure functions
//! ([`Settings::v1_writes`], [`Settings::v2_writes`]).

mod delegated;
mod devices;
mod entrance;
mod group;
mod layout;
mod processes;
mod settings;
mod stats;
mod tree;

use std::io;
use std::path::PathBuf;

pub use delegated::delegated;
pub use devices::{DeviceAccess, DeviceKind, DeviceRule};
pub use entrance::Entrance;
pub use group::{Cgroup, Directory};
pub use layout::{Layout, V1Hierarchy, V2Hierarchy};
pub use settings::{BlockDevice, HugePages, Settings, Throttle, Write, io_weight_of_blkio};
pub use stats::Stats;

/// A cgroup could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup hierarchy is mounted.
    #[error("no cgroup hierarchy is mounted")]
    NotMounted,
    /// A limit was asked for whose controller this system does not have.
    #[error("cannot set {file}: this system has no {controller} cgroup controller")]
    MissingController {
        /// The controller.
        controller: String,
        /// The file that should have been written.
        file: String,
    },
    /// The path of a cgroup must be absolute and without `..`.
    #[error("{path:?} is not an absolute cgroup path without ..")]
    InvalidPath {
        /// The path.
        path: PathBuf,
    },
    /// An operation on a file or directory of the hierarchy failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A value was refused.
    #[error("cannot write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl CgroupError {
    fn io(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        CgroupError::Io {
            action,
            path: path.into(),
            source: source.into(),
        }
    }
}
