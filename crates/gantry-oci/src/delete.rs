//! Deleting a container.

use std::time::Duration;

use gantry_runtime::Status;
use gantry_runtime::hooks::{HookError, Hooks, Turn};
use gantry_sys::process::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::container::Container;
use crate::damage::end_unrecorded;
use crate::error::OciError;
use crate::kill::{KILL, thaw};
use crate::root::Root;

/// How long a killed process may take to end.
const LONGEST_END: Duration = Duration::from_secs(10);

/// Deletes a container that has ended, one that was never started, or with `force` any; one that
/// is not there is then no error either. Returns the hooks that failed afterwards.
pub fn delete(root: &Root, id: &str, force: bool) -> Result<Vec<HookError>, OciError> {
    let container = match root.take(id) {
        Err(OciError::NotFound { .. }) if force => return Ok(Vec::new()),
        Err(error) if force && error.is_damage() => {
            let container = root.take_unread(id)?;
            end_unrecorded(&container)?;
            container.forget()?;
            return Ok(Vec::new());
        }
        other => other?,
    };
    match container.status() {
        Status::Stopped => {}
        // Its creator has died, or holds the lock that this process has.
        Status::Creating => {}
        Status::Created => end(&container)?,
        _ if force => end(&container)?,
        other => {
            return Err(OciError::NotStopped {
                id: id.to_owned(),
                status: other.name(),
            });
        }
    }
    destroy(&container)
}

/// Kills the first process and waits for its end.
fn end(container: &Container) -> Result<(), OciError> {
    let Some(first) = container.first_process() else {
        return Ok(());
    };
    first
        .signal(KILL)
        .map_err(OciError::system("kill the container"))?;
    if container.status() == Status::Paused {
        thaw(container)?;
    }
    wait(&first)
}

fn wait(process: &Process) -> Result<(), OciError> {
    let limit = Timespec {
        tv_sec: i64::try_from(LONGEST_END.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    let mut interest = [PollFd::new(process, PollFlags::IN)];
    let failed = OciError::system("wait for the end of the container");
    match rustix::io::retry_on_intr(|| poll(&mut interest, Some(&limit))) {
        Ok(0) => Err(failed(std::io::ErrorKind::TimedOut.into())),
        Ok(_) => Ok(()),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Removes what is left of a container that has ended, and runs its last hooks.
pub(crate) fn destroy(container: &Container) -> Result<Vec<HookError>, OciError> {
    let Some(record) = container.record() else {
        // Whoever made it has died before it could write one, or it was lost.
        end_unrecorded(container)?;
        container.forget()?;
        return Ok(Vec::new());
    };
    if let Some(cgroup) = &record.cgroup {
        // Without a PID namespace of its own, processes of it may be left.
        if !record.own_pids {
            cgroup.kill_all().map_err(OciError::cgroup("kill"))?;
        }
        if let Some(error) = cgroup.remove().into_iter().next() {
            return Err(OciError::cgroup("remove")(error));
        }
    }
    let hooks = container
        .spec()
        .and_then(|spec| Ok(Hooks::of(spec.hooks().as_ref())?))?;
    let state = record.state.at(Status::Stopped, 0);
    container.forget()?;
    Ok(hooks.run_all(Turn::Poststop, &state))
}
