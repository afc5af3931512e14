//! Why an installation cannot be opened.

use std::io;
use std::path::PathBuf;

use gantry_model::{Fault, FaultKind};

/// A failure before any command has done anything.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A configuration file is there but cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A configuration file does not say what it may say.
    #[error("the configuration file {} is not valid", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value in a configuration file is well-formed but impossible.
    #[error("the configuration file {} sets {key} to {value:?}, {reason}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// What it says.
        value: String,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// A state folder's path cannot be made absolute.
    #[error("cannot use {} as a state folder", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Fault for OpenError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }
}
