//! What the state folder remembers of a container.

use std::path::PathBuf;

use gantry_runtime::{CgroupHandle, ContainerState};
use serde::{Deserialize, Serialize};

/// What is remembered of a container, in `state.json`. The status that it holds is that of the
/// moment it was written; the true one is found out each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What hooks are told.
    #[serde(flatten)]
    pub state: ContainerState,
    /// When its first process started, in ticks since the machine did: with the process ID it
    /// names one process for ever.
    #[serde(default)]
    pub start_time: u64,
    /// The root file system.
    pub rootfs: PathBuf,
    /// When it was created.
    pub created: String,
    /// The user who created it.
    pub owner: u32,
    /// Its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupHandle>,
    /// Its group in the file system of resource control, if it was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<PathBuf>,
    /// Whether its processes have a PID namespace of their own, which ends with the first.
    pub own_pids: bool,
}
