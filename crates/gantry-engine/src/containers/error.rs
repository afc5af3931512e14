//! Why something about containers failed; texts are Docker's where it has one.

use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{Fault, FaultKind};
use gantry_supervisor::client::ClientError;
use gantry_supervisor::removal::RemovalError;

use super::spec::SpecError;
use super::user::UserError;
use crate::volumes::VolumeError;

/// Why something about containers failed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// No container of that name or id.
    #[error("No such container: {name}")]
    NotFound {
        /// As asked for.
        name: String,
    },
    /// A prefix of several ids.
    #[error("Multiple IDs found with provided prefix: {prefix}")]
    Ambiguous {
        /// As asked for.
        prefix: String,
    },
    /// A name that is taken.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        id: String,
    },
    /// A name that is none.
    #[error("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    Name {
        /// As asked for.
        name: String,
    },
    /// No image of that name here: pull it and try again.
    #[error("No such image: {name}")]
    NoImage {
        /// As asked for.
        name: String,
    },
    /// Neither user nor image say what to run.
    #[error("no command specified")]
    NoCommand,
    /// It does not run.
    #[error("container {name} is not running")]
    NotRunning {
        /// As asked for.
        name: String,
    },
    /// It runs.
    #[error("cannot {action} container {name:?}: container is {status}: {advice}")]
    Running {
        /// What was to be done.
        action: &'static str,
        /// As asked for.
        name: String,
        /// Its status.
        status: &'static str,
        /// What to do before.
        advice: &'static str,
    },
    /// It runs already.
    #[error("container {name} is already running")]
    AlreadyRunning {
        /// As asked for.
        name: String,
    },
    /// Another command is at it.
    #[error("container {name} is being worked on by another command")]
    Busy {
        /// As asked for.
        name: String,
    },
    /// A signal that is none.
    #[error("Invalid signal: {signal}")]
    Signal {
        /// As asked for.
        signal: String,
    },
    /// A wish that cannot be granted.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A user or group that cannot be told.
    #[error(transparent)]
    User(#[from] UserError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The images.
    #[error(transparent)]
    Store(#[from] gantry_store::StoreError),
    /// The supervisor, or what it says.
    #[error(transparent)]
    Supervisor(#[from] ClientError),
    /// The networks of this installation.
    #[error(transparent)]
    Network(#[from] gantry_network::NetworkError),
    /// What is left of it.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// A bind mount's source that is not there.
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {}", path.display())]
    BindSource {
        /// The path.
        path: PathBuf,
    },
    /// Two mounts at one place.
    #[error("Duplicate mount point: {target}")]
    DuplicateMount {
        /// The place.
        target: String,
    },
    /// A time for `--since` or `--until` that is none.
    #[error("invalid value for time: {text:?}")]
    Time {
        /// As asked for.
        text: String,
    },
    /// A file or folder of a container.
    #[error("cannot {task} {}", path.display())]
    File {
        /// What was to be done.
        task: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it could not.
        #[source]
        source: io::Error,
    },
}

/// For `map_err`: what was being done with a file when it failed.
pub(crate) fn file(task: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContainerError {
    let path = path.to_owned();
    move |source| ContainerError::File { task, path, source }
}

impl Fault for ContainerError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::NotFound { .. } | Self::NoImage { .. } => FaultKind::NotFound,
            Self::Ambiguous { .. }
            | Self::Name { .. }
            | Self::NoCommand
            | Self::Signal { .. }
            | Self::BindSource { .. }
            | Self::DuplicateMount { .. }
            | Self::Time { .. }
            | Self::User(_) => FaultKind::Invalid,
            Self::NameTaken { .. }
            | Self::NotRunning { .. }
            | Self::Running { .. }
            | Self::AlreadyRunning { .. }
            | Self::Busy { .. } => FaultKind::Conflict,
            Self::Spec(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Supervisor(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Removal(_) | Self::File { .. } => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NameTaken { name, .. } => vec![
                format!("remove it: gantry rm -f {name}"),
                format!("or rename it: gantry rename {name} NEW_NAME"),
            ],
            Self::Ambiguous { .. } => vec!["give more digits of the id, or the name".into()],
            Self::NoImage { name } => vec![format!("pull it: gantry pull {name}")],
            Self::Running { name, action, .. } if *action == "remove" => {
                vec![format!("force it: gantry rm -f {name}")]
            }
            Self::Volume(error) => error.hints(),
            Self::Store(error) => error.hints(),
            Self::Supervisor(error) => error.hints(),
            Self::Network(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
