//! The state of a container as hooks and callers of a runtime are told it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

/// How far a container is in its life (OCI runtime-spec, `runtime.md`, "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    Creating,
    /// It is there, its command has not begun.
    Created,
    /// Its command runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its command has ended.
    Stopped,
}

impl Status {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// The state of a container, as hooks read it from their standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerState {
    /// The version of the specification that the container's document follows.
    pub oci_version: String,
    /// The identifier of the container.
    pub id: String,
    /// How far it is in its life.
    pub status: Status,
    /// The process ID of its first process; 0 or absent when there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pid: i32,
    /// The absolute path of its bundle.
    pub bundle: PathBuf,
    /// The annotations of its document.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(pid: &i32) -> bool {
    *pid == 0
}

impl ContainerState {
    /// The state of a container that is being made from a document.
    pub fn creating(id: &str, bundle: PathBuf, spec: &Spec) -> ContainerState {
        let annotations = spec.annotations().iter().flatten();
        ContainerState {
            oci_version: spec.version().clone(),
            id: id.to_owned(),
            status: Status::Creating,
            pid: 0,
            bundle,
            annotations: annotations
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        }
    }

    /// The same container further on.
    #[must_use]
    pub fn at(&self, status: Status, pid: i32) -> ContainerState {
        ContainerState {
            status,
            pid,
            ..self.clone()
        }
    }
}
