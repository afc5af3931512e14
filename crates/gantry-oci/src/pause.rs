//! Freezing and thawing.

use gantry_runtime::Status;

use crate::container::Container;
use crate::error::OciError;
use crate::root::Root;

/// Stops every process of a container until [`resume`].
pub fn pause(root: &Root, id: &str) -> Result<(), OciError> {
    let container = expect(root, id, "pause", &[Status::Running, Status::Created])?;
    let cgroup = cgroup(&container, "pause")?;
    cgroup.freeze().map_err(OciError::cgroup("freeze"))
}

/// Lets the processes of a paused container go on.
pub fn resume(root: &Root, id: &str) -> Result<(), OciError> {
    let container = expect(root, id, "resume", &[Status::Paused])?;
    let cgroup = cgroup(&container, "resume")?;
    cgroup.thaw().map_err(OciError::cgroup("thaw"))
}

/// The container, when it is in one of these states.
fn expect(
    root: &Root,
    id: &str,
    action: &'static str,
    wanted: &[Status],
) -> Result<Container, OciError> {
    let container = root.take(id)?;
    match container.status() {
        status if wanted.contains(&status) => Ok(container),
        status => Err(OciError::WrongState {
            id: id.to_owned(),
            action,
            status: status.name(),
        }),
    }
}

/// The cgroup of a container, for what cannot be done without.
pub(crate) fn cgroup<'a>(
    container: &'a Container,
    action: &'static str,
) -> Result<&'a gantry_runtime::CgroupHandle, OciError> {
    let record = container.made(action)?;
    record.cgroup.as_ref().ok_or_else(|| OciError::NoCgroup {
        id: container.id().to_owned(),
        action,
    })
}
