//! The processes of a container.

use crate::error::OciError;
use crate::pause::cgroup;
use crate::root::Root;

/// The process IDs of a container, seen from the caller.
pub fn processes(root: &Root, id: &str) -> Result<Vec<i32>, OciError> {
    let container = root.look(id)?;
    let cgroup = cgroup(&container, "list the processes of")?;
    cgroup.pids().map_err(OciError::cgroup("list"))
}
