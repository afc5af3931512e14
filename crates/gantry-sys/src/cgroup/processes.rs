//! The processes of a cgroup: listing, freezing and killing them, and removing what they leave.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::stats::keyed;
use super::tree::{DEADLINE, is_busy, is_gone, remove_tree, visit, wait_for_event, write_value};
use super::{Cgroup, CgroupError};

/// How long version 1 may take to freeze.
const LONGEST_FREEZE: Duration = Duration::from_secs(2);

impl Cgroup {
    /// The process IDs in the cgroup and its children.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        let directory = self
            .v2()
            .or_else(|| self.v1_of("pids"))
            .or_else(|| self.directories().first().map(|first| first.path.as_path()));
        let mut pids = Vec::new();
        if let Some(directory) = directory {
            visit(directory, &mut |directory| {
                let file = directory.join("cgroup.procs");
                match fs::read_to_string(&file) {
                    Ok(text) => {
                        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
                        Ok(())
                    }
                    Err(error) if is_gone(&error) => Ok(()),
                    Err(error) => Err(CgroupError::io("read", file, error)),
                }
            })?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Kills every process of the cgroup and its children.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        if let Some(directory) = self.v2() {
            let file = directory.join("cgroup.kill");
            match fs::write(&file, "1") {
                Ok(()) => return Ok(()),
                // Linux before 5.14, or a cgroup that is gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(CgroupError::io("write", file, error)),
            }
        }
        // Frozen processes cannot fork away from the list. They die when thawed.
        let frozen = self.freeze();
        let killed = self.pids().map(|pids| {
            for pid in pids {
                signal(pid, Signal::KILL);
            }
        });
        if frozen.is_ok() {
            self.thaw()?;
        }
        killed
    }

    /// Stops every process of the cgroup until [`Cgroup::thaw`]; returns when all have stopped.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(true)
    }

    /// Lets the processes of the cgroup go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen(false)
    }

    /// Whether the cgroup is frozen.
    pub fn is_frozen(&self) -> bool {
        if let Some(text) = self
            .v2()
            .and_then(|directory| fs::read_to_string(directory.join("cgroup.events")).ok())
            && keyed(&text, "frozen") == Some(1)
        {
            return true;
        }
        let state = self.v1_of("freezer").map(|own| own.join("freezer.state"));
        state
            .and_then(|file| fs::read_to_string(file).ok())
            .is_some_and(|state| state.trim() != "THAWED")
    }

    /// The directory that processes are frozen by; `None` when no hierarchy can.
    pub fn freezer(&self) -> Option<&Path> {
        self.v2_freezer().or_else(|| self.v1_of("freezer"))
    }

    fn v2_freezer(&self) -> Option<&Path> {
        self.v2()
            .filter(|directory| directory.join("cgroup.freeze").exists())
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        if let Some(directory) = self.v2_freezer() {
            let file = directory.join("cgroup.freeze");
            write_value(&file, if frozen { "1" } else { "0" })?;
            return wait_for_event(directory, "frozen", u64::from(frozen));
        }
        let Some(directory) = self.v1_of("freezer") else {
            return Err(CgroupError::MissingController {
                controller: "freezer".to_owned(),
                file: "freezer.state".to_owned(),
            });
        };
        let file = directory.join("freezer.state");
        let wish = if frozen { "FROZEN" } else { "THAWED" };
        // Version 1 gives no event, and a process in the middle of a fork can keep the group in
        // FREEZING until it is asked again.
        let begin = Instant::now();
        while begin.elapsed() < LONGEST_FREEZE {
            write_value(&file, wish)?;
            let state =
                fs::read_to_string(&file).map_err(|error| CgroupError::io("read", &file, error))?;
            if state.trim() == wish {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(CgroupError::io(
            "freeze",
            directory,
            io::Error::from(io::ErrorKind::TimedOut),
        ))
    }

    /// How many processes the out-of-memory killer has killed here; 0 when nobody counts.
    pub fn oom_kills(&self) -> u64 {
        let text = if self.has_v1("memory") {
            self.read("memory", "memory.oom_control")
        } else {
            self.read("memory", "memory.events")
        };
        text.and_then(|text| keyed(&text, "oom_kill"))
            .unwrap_or_default()
    }

    /// Removes the cgroup and its children from every hierarchy. What is gone already is no error.
    /// Processes that are about to end are waited for, those that stay make it fail.
    pub fn remove(&self) -> Vec<CgroupError> {
        let mut errors = Vec::new();
        for directory in self.directories().iter().rev() {
            let mut removed = remove_tree(&directory.path);
            if matches!(&removed, Err(error) if is_busy(error)) {
                removed = self
                    .wait_until_empty()
                    .and_then(|()| remove_tree(&directory.path));
            }
            errors.extend(removed.err());
        }
        errors
    }

    /// Waits until every process of the cgroup has ended, up to a deadline.
    fn wait_until_empty(&self) -> Result<(), CgroupError> {
        if let Some(directory) = self.v2() {
            return wait_for_event(directory, "populated", 0);
        }
        for pid in self.pids()? {
            let opened = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
            if let Some(Ok(pidfd)) = opened {
                let mut interest = [PollFd::new(&pidfd, PollFlags::IN)];
                // A process that outlives the deadline shows in the removal that follows.
                poll(&mut interest, Some(&DEADLINE)).ok();
            }
        }
        Ok(())
    }
}

fn signal(pid: i32, signal: Signal) {
    // A process that is gone by now is what the caller wanted.
    if let Some(Ok(pidfd)) = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        pidfd_send_signal(&pidfd, signal).ok();
    }
}
