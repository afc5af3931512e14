//! What can go wrong with the containers of a state folder.

use std::io;
use std::path::PathBuf;

use gantry_model::{Fault, FaultKind};
use gantry_runtime::hooks::HookError;
use gantry_runtime::{PlanError, StartError};
use gantry_sys::cgroup::CgroupError;
use gantry_sys::damage::is_damage;

/// An operation on a container failed. Some of the words are what dockerd, containerd and podman
/// look for in the messages of a runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// An identifier that could not be the name of a folder.
    #[error("invalid container ID {id:?}: use letters, digits and _+-. only")]
    InvalidId {
        /// The identifier.
        id: String,
    },
    /// There is no container of this name.
    #[error("container does not exist: {id}")]
    NotFound {
        /// The identifier.
        id: String,
    },
    /// There is a container of this name already.
    #[error("container with given ID already exists: {id}")]
    Exists {
        /// The identifier.
        id: String,
    },
    /// The operation needs a process that is not there any more.
    #[error("cannot {action} {id}: container not running")]
    NotRunning {
        /// The identifier.
        id: String,
        /// What was to be done.
        action: &'static str,
    },
    /// The container is not in a state for the operation.
    #[error("cannot {action} container {id}: it is {status}")]
    WrongState {
        /// The identifier.
        id: String,
        /// What was to be done.
        action: &'static str,
        /// What it is.
        status: &'static str,
    },
    /// The container is still there.
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped {
        /// The identifier.
        id: String,
        /// What it is.
        status: &'static str,
    },
    /// A file could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A document is not what it should be.
    #[error("{}: {field}: {reason}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// The field, as in the specification.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Options or fields that do not go together.
    #[error("{reason}")]
    Contradiction {
        /// Which, and why.
        reason: &'static str,
    },
    /// Something of the system could not be used.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The document asks for something that cannot be.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The container or the process could not be started.
    #[error("unable to start container process: {0}")]
    Start(#[source] StartError),
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The cgroup of the container could not be used.
    #[error("cannot {action} the container's cgroup")]
    Cgroup {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: CgroupError,
    },
    /// The container has no cgroup, so that there is nothing to do it with.
    #[error("cannot {action} container {id}: it has no cgroup of its own")]
    NoCgroup {
        /// The identifier.
        id: String,
        /// What was to be done.
        action: &'static str,
    },
    /// Another program is needed that is not there.
    #[error("{action} needs {program}, which is not installed")]
    MissingProgram {
        /// What was to be done.
        action: &'static str,
        /// The program.
        program: &'static str,
    },
    /// Another program failed.
    #[error("{program} failed: {said}")]
    Program {
        /// The program.
        program: &'static str,
        /// What it said.
        said: String,
    },
}

impl Fault for OciError {
    fn kind(&self) -> FaultKind {
        match self {
            OciError::InvalidId { .. }
            | OciError::Document { .. }
            | OciError::Contradiction { .. } => FaultKind::Invalid,
            OciError::NotFound { .. } => FaultKind::NotFound,
            OciError::Exists { .. }
            | OciError::NotRunning { .. }
            | OciError::WrongState { .. }
            | OciError::NotStopped { .. } => FaultKind::Conflict,
            OciError::NoCgroup { .. } | OciError::MissingProgram { .. } => FaultKind::Unsupported,
            OciError::Plan(error) => error.kind(),
            OciError::Start(error) => error.kind(),
            OciError::File { .. }
            | OciError::System { .. }
            | OciError::Hook(_)
            | OciError::Cgroup { .. }
            | OciError::Program { .. } => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            OciError::Plan(error) => error.hints(),
            OciError::Start(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl From<StartError> for OciError {
    fn from(error: StartError) -> OciError {
        match error {
            StartError::Plan(error) => OciError::Plan(error),
            other => OciError::Start(other),
        }
    }
}

impl OciError {
    /// Whether a document that was read is broken, and not the machine short of something.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            OciError::Document { .. } => true,
            OciError::File { source, .. } => is_damage(source),
            _ => false,
        }
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> OciError {
        let path = path.into();
        move |source| OciError::File {
            action,
            path,
            source,
        }
    }

    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> OciError {
        move |source| OciError::System { action, source }
    }

    pub(crate) fn cgroup(action: &'static str) -> impl FnOnce(CgroupError) -> OciError {
        move |source| OciError::Cgroup { action, source }
    }
}
