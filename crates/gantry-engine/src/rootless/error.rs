//! Why an ordinary user cannot work on this machine.

use std::io;
use std::path::PathBuf;

use gantry_model::{Fault, FaultKind};

use super::knobs::Knob;

/// The user namespace of an installation cannot be entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootlessError {
    /// The kernel refused.
    #[error("cannot {action}, which every command without root needs")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The kernel parameter that forbids it, where one does.
        knob: Option<Knob>,
        /// What the kernel said.
        source: io::Error,
    },
    /// A helper program failed.
    #[error("{program} cannot map the subordinate IDs of this user: {said}")]
    Helper {
        /// Which one.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot use {}", path.display())]
    Folder {
        /// It.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder is somebody else's.
    #[error("{} belongs to user {owner}", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The IDs that the store was written with are not this user's any more.
    #[error(
        "the files of {} belong to subordinate IDs ({written}) that this user does not have now",
        root.display()
    )]
    LostIds {
        /// The store.
        root: PathBuf,
        /// Those IDs.
        written: String,
    },
}

impl Fault for RootlessError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Refused { .. } => FaultKind::Unsupported,
            Self::ForeignFolder { .. } => FaultKind::Forbidden,
            Self::Helper { .. } | Self::LostIds { .. } | Self::Folder { .. } => FaultKind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused {
                knob: Some(knob), ..
            } => vec![format!(
                "the kernel parameter {} forbids it: as root, sysctl {}={}",
                knob.name, knob.name, knob.wanted
            )],
            Self::Helper { .. } => vec![
                "check /etc/subuid and /etc/subgid, and that newuidmap and newgidmap are setuid root"
                    .to_owned(),
            ],
            Self::ForeignFolder { .. } => {
                vec!["choose another one by XDG_RUNTIME_DIR or --run-root".to_owned()]
            }
            Self::LostIds { .. } => vec![
                "give this user the old ranges back in /etc/subuid and /etc/subgid, or move the \
                 folder away"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}
