//! Containers whose supervisor does not answer any more, though no signal has stopped it: a
//! debugger holds it, its cgroup is frozen, or it hangs.

use std::fs;
use std::io;
use std::time::Duration;

use gantry_model::ContainerRecord;
use gantry_supervisor::client::{ClientError, Session};
use gantry_supervisor::state;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::error::{ContainerError, file};
use super::folders::Folders;
use super::status::{cgroup_of, is_supervisor, observe, read_state};
use crate::Engine;

/// What a supervisor may take beyond the time that it was given: it waits itself for processes
/// that do not go, and for its log.
const MARGIN: Duration = Duration::from_secs(10);
/// How long one that lives takes for an answer at once.
pub(super) const AT_ONCE: Duration = Duration::from_secs(10);
/// How long a killed supervisor takes to end.
const DYING: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// How a container was brought to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By its supervisor, or it had ended before.
    Orderly,
    /// Together with its supervisor, which did not answer.
    Forced,
}

/// Has an answer that takes `grace` waited for no longer than it can be on its way.
pub(super) fn expect_answer(session: &mut Session, grace: Duration) {
    session.answer_within(grace.saturating_add(MARGIN));
}

/// Whether a supervisor that one answer is missing of gives no others either: if it does, it waits
/// itself, for a process that does not go.
pub(super) fn answers_nothing(mut other: Session) -> bool {
    other.answer_within(AT_ONCE);
    // No signal: the answer is that it is none.
    matches!(other.kill(0), Err(ClientError::Silent { .. }))
}

/// Kills the supervisor with this number, and the container with it.
pub(super) fn end(
    engine: &Engine,
    record: &ContainerRecord,
    pid: i32,
) -> Result<Ending, ContainerError> {
    let folders = Folders::of(engine, &record.id);
    let killed = kill(pid, record.id.as_str());
    if !killed.map_err(file("kill the supervisor of", &folders.folder))? {
        if let Some(cgroup) = cgroup_of(&record.id, &folders) {
            drop(cgroup.kill_all());
        }
        return Err(ContainerError::SupervisorStays {
            name: record.name.clone(),
            pid,
        });
    }
    if let Some(lock) = folders.lock_unless(|| false)? {
        // No restart at the next boot: somebody wanted the end.
        let mut seen = read_state(&folders)?;
        seen.stopped_by_user = true;
        state::write(&folders.folder, &seen)
            .map_err(file("write the state of", &folders.folder))?;
        drop(lock);
    }
    observe(engine, record)?;
    Ok(Ending::Forced)
}

/// Kills the supervisor of this container; false when it does not die of it.
fn kill(pid: i32, id: &str) -> io::Result<bool> {
    let Some(number) = Pid::from_raw(pid) else {
        return Ok(true);
    };
    let process = match pidfd_open(number, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(true),
        other => other?,
    };
    // Looked at while the number is held: it may have gone to another process.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    if !is_supervisor(&stat, id) {
        return Ok(true);
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Err(Errno::SRCH) => return Ok(true),
        other => other?,
    }
    loop {
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&DYING)) {
            Err(Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}
