//! A process that runs, and its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_sys::cgroup::CgroupError;
use gantry_sys::process::{Exit, Process};

use super::{KILL, await_execution, failure, next_report, tell};
use crate::cgroup::CgroupHandle;
use crate::error::StartError;
use crate::exit::ExitStatus;
use crate::hooks::{Hooks, Turn};
use crate::listener::Listening;
use crate::plan::Listener;
use crate::protocol::{Channel, Order, Report};
use crate::state::{ContainerState, Status};

/// A process that has begun to execute. Dropping it does nothing to the process.
#[derive(Debug)]
pub struct Running {
    pub(super) process: Process,
    pub(super) terminal: Option<OwnedFd>,
    pub(super) cgroup: Option<CgroupHandle>,
    /// The hooks of a container, for its end; `None` for an exec'd process.
    pub(super) last: Option<(Hooks, ContainerState)>,
}

impl Running {
    /// An exec'd process: waits until it executes. On failure nothing of it is left.
    pub(crate) fn exec(
        process: Process,
        channel: &Channel,
        listening: Option<(&Listener, &ContainerState)>,
    ) -> Result<Running, StartError> {
        let started = next_report(channel, &process)
            .and_then(|(report, terminal)| match report {
                Report::Ready => Ok(terminal),
                other => Err(failure(other)),
            })
            .and_then(|terminal| {
                tell(channel, Order::Go)?;
                let listening = listening.map(|(listener, state)| Listening {
                    listener,
                    state,
                    pid: process.pid(),
                });
                await_execution(channel, &process, listening.as_ref())?;
                Ok(terminal)
            });
        match started {
            Ok(terminal) => Ok(Running {
                process,
                terminal,
                cgroup: None,
                last: None,
            }),
            Err(error) => {
                process.signal(KILL).ok();
                process.wait().ok();
                Err(error)
            }
        }
    }

    /// A child of this process that somebody else has made: the first process of a container that
    /// was brought back from disk.
    pub fn adopt(pid: i32, cgroup: Option<CgroupHandle>) -> io::Result<Running> {
        Ok(Running {
            process: Process::open(pid)?,
            terminal: None,
            cgroup,
            last: None,
        })
    }

    /// The process ID, seen from the caller.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// The pidfd: readable when the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// The cgroup of the container, when it has one of its own; `None` for an exec'd process.
    pub fn cgroup(&self) -> Option<&CgroupHandle> {
        self.cgroup.as_ref()
    }

    /// Takes the master side of the terminal.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Sends a signal to the process. One that has ended already is no error.
    pub fn kill(&self, signal: i32) -> io::Result<()> {
        self.process.signal(signal)
    }

    /// Waits until the process has ended, and reaps it.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        self.process.wait().map(ExitStatus::from)
    }

    /// Reaps the process if it has ended.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?.map(ExitStatus::from))
    }

    /// Whether the out-of-memory killer has killed a process of the container.
    pub fn oom_killed(&self) -> bool {
        self.cgroup
            .as_ref()
            .is_some_and(|cgroup| cgroup.oom_kills() > 0)
    }

    /// Kills every process of the container: through its cgroup if it has one, else its first
    /// process, which takes the others of its PID namespace along.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        match &self.cgroup {
            Some(cgroup) => cgroup.kill_all(),
            None => self.kill(KILL).map_err(|source| CgroupError::Io {
                action: "kill",
                path: format!("process {}", self.pid()).into(),
                source,
            }),
        }
    }

    /// Removes the cgroup and runs the last hooks. Call it after the end of the container.
    pub fn cleanup(&self) -> Vec<CgroupError> {
        let errors = self
            .cgroup
            .as_ref()
            .map(CgroupHandle::remove)
            .unwrap_or_default();
        if let Some((hooks, state)) = &self.last {
            // The specification has their failures be warnings, and nothing depends on them.
            hooks.run_all(Turn::Poststop, &state.at(Status::Stopped, 0));
        }
        errors
    }
}

impl From<Exit> for ExitStatus {
    fn from(exit: Exit) -> ExitStatus {
        match exit {
            Exit::Code(code) => ExitStatus::Exited { code },
            Exit::Signal {
                signal,
                core_dumped,
            } => ExitStatus::Signaled {
                signal,
                core_dumped,
            },
        }
    }
}
