//! What a container is doing, and cleaning up after a supervisor that was killed.

use std::fs;
use std::io;

use gantry_model::record::Status;
use gantry_model::{ContainerId, ContainerRecord, ContainerState};
use gantry_runtime::CgroupHandle;
use gantry_supervisor::{CGROUP_FILE, SOCKET_FILE, state};
use gantry_sys::cgroup::{Cgroup, Layout};

use super::error::{ContainerError, file};
use super::folders::Folders;
use super::removal::removal_of;
use super::spec::cgroup_path;
use crate::Engine;

/// The exit code of a container whose supervisor was killed: its processes were killed with it.
const KILLED: i32 = 137;

/// Whether the status says that a supervisor is there.
pub(crate) fn is_live(status: Status) -> bool {
    matches!(
        status,
        Status::Running | Status::Paused | Status::Restarting
    )
}

/// Whether this process is the supervisor of that container: it is called after it, so that
/// a number that went to another process is told apart. The lock is the truth; to ask it
/// would be to take it from those who need it.
pub(crate) fn supervisor_lives(state: &ContainerState, id: &str) -> bool {
    let Some(pid) = state.supervisor_pid else {
        return false;
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    is_supervisor(&stat, id)
}

/// Whether a process's `stat` line is that of the living supervisor of this container.
pub(super) fn is_supervisor(stat: &str, id: &str) -> bool {
    let named = format!("(gantry:{}) ", &id[..8]);
    stat.split_once(&named)
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// What the container is doing. One whose supervisor was killed is cleaned up first, and is
/// then exited; `None` when it was to be removed at its end and now is.
pub(crate) fn observe(
    engine: &Engine,
    record: &ContainerRecord,
) -> Result<Option<ContainerState>, ContainerError> {
    let folders = Folders::of(engine, &record.id);
    let read = || read_state(&folders);
    let mut seen = read()?;
    if !is_live(seen.status) || supervisor_lives(&seen, record.id.as_str()) {
        return Ok(Some(seen));
    }
    let Some(lock) = folders.try_lock()? else {
        return read().map(Some);
    };
    // Again, now that nobody else can be at it.
    seen = read()?;
    if is_live(seen.status) {
        bury(engine, record, &folders, &mut seen)?;
        if record.spec.auto_remove {
            let removal = removal_of(engine, record);
            removal.hide()?;
            engine.tell_of(record, "destroy", &[]);
            removal.delete()?;
            drop(lock);
            return Ok(None);
        }
    }
    drop(lock);
    Ok(Some(seen))
}

/// The state as last written. One that is damaged (nothing is synced on the way of a start, so a
/// power cut may leave anything) is that of a container of which only is known that it ran: it is
/// looked at as one whose supervisor was killed.
pub(super) fn read_state(folders: &Folders) -> Result<ContainerState, ContainerError> {
    match state::read(&folders.folder) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Ok(ContainerState {
                status: Status::Running,
                ..ContainerState::default()
            })
        }
        other => other.map_err(file("read the state of", &folders.folder)),
    }
}

/// Ends what a killed supervisor left; the caller holds the container's lock.
fn bury(
    engine: &Engine,
    record: &ContainerRecord,
    folders: &Folders,
    seen: &mut ContainerState,
) -> Result<(), ContainerError> {
    clear_remains(engine, &record.id, folders)?;
    seen.status = Status::Exited;
    seen.exit_code = KILLED;
    seen.error = "the container's supervisor was killed".into();
    seen.pid = None;
    seen.pid_start = None;
    seen.supervisor_pid = None;
    seen.network = None;
    seen.finished_at = Some(state::now());
    engine.tell_of(record, "die", &[("exitCode", &KILLED.to_string())]);
    state::write(&folders.folder, seen).map_err(file("write the state of", &folders.folder))
}

/// Takes away what a run left of processes and network; the caller holds the container's lock.
pub(super) fn clear_remains(
    engine: &Engine,
    id: &ContainerId,
    folders: &Folders,
) -> Result<(), ContainerError> {
    if let Some(cgroup) = cgroup_of(id, folders) {
        // A cgroup that does not go now holds nobody up: the next start finds it again.
        drop(cgroup.kill_all());
        drop(cgroup.remove());
    }
    let networks = super::networks(engine)?;
    drop(networks.detach(id.as_str()));
    drop(networks.teardown_if_idle());
    Ok(())
}

/// The same, where a supervisor was killed while it started a container. Its socket tells: one
/// that ends in order removes it.
pub(super) fn clear_killed_start(
    engine: &Engine,
    id: &ContainerId,
    folders: &Folders,
) -> Result<(), ContainerError> {
    if folders.run_folder.join(SOCKET_FILE).exists() {
        clear_remains(engine, id, folders)?;
    }
    Ok(())
}

/// The cgroup as the supervisor noted it, or where it was to be if it did not come to that.
pub(super) fn cgroup_of(id: &ContainerId, folders: &Folders) -> Option<Cgroup> {
    let noted = fs::read(folders.run_folder.join(CGROUP_FILE)).ok();
    let noted = noted.and_then(|text| serde_json::from_slice::<CgroupHandle>(&text).ok());
    if let Some(noted) = noted {
        return Some(noted.open());
    }
    let record = folders.record().ok().flatten();
    let parent = record.and_then(|record| record.spec.cgroup_parent);
    let path = cgroup_path(parent.as_deref(), id.as_str()).ok()?;
    Cgroup::at(&Layout::detect().ok()?, &path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_is_told_by_name_and_life() {
        let id = "0123456789abcdef";
        for (stat, want) in [
            ("12 (gantry:01234567) S 1 12", true),
            ("12 (gantry:01234567) Z 1 12", false),
            ("12 (gantry:76543210) S 1 12", false),
            ("12 (sh) S 1 12", false),
            ("", false),
        ] {
            assert_eq!(is_supervisor(stat, id), want, "{stat}");
        }
    }
}
