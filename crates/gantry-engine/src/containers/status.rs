//! What a container is doing, and cleaning up after a supervisor that was killed.

use std::fs;

use gantry_model::record::Status;
use gantry_model::{ContainerRecord, ContainerState};
use gantry_runtime::CgroupHandle;
use gantry_supervisor::{CGROUP_FILE, state};

use super::error::{ContainerError, file};
use super::folders::Folders;
use super::removal::removal_of;
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
fn is_supervisor(stat: &str, id: &str) -> bool {
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
    let read = || state::read(&folders.folder).map_err(file("read the state of", &folders.folder));
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
            removal.delete()?;
            drop(lock);
            return Ok(None);
        }
    }
    drop(lock);
    Ok(Some(seen))
}

/// Ends what a killed supervisor left; the caller holds the container's lock.
fn bury(
    engine: &Engine,
    record: &ContainerRecord,
    folders: &Folders,
    seen: &mut ContainerState,
) -> Result<(), ContainerError> {
    let note = folders.run_folder.join(CGROUP_FILE);
    if let Ok(text) = fs::read(&note)
        && let Ok(cgroup) = serde_json::from_slice::<CgroupHandle>(&text)
    {
        // A cgroup that does not go now holds nobody up: the next start finds it again.
        drop(cgroup.kill_all());
        drop(cgroup.remove());
    }
    let networks = super::networks(engine)?;
    drop(networks.detach(record.id.as_str()));
    drop(networks.teardown_if_idle());
    seen.status = Status::Exited;
    seen.exit_code = KILLED;
    seen.error = "the container's supervisor was killed".into();
    seen.pid = None;
    seen.pid_start = None;
    seen.supervisor_pid = None;
    seen.network = None;
    seen.finished_at = Some(state::now());
    state::write(&folders.folder, seen).map_err(file("write the state of", &folders.folder))
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
