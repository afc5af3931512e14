//! A process held by a descriptor, so that its number cannot come to mean another.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

/// A process held by a descriptor, which polls as readable when the process has ended. Dropping it
/// does nothing to the process.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with a code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
}

impl Process {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Process {
        Process { pid, pidfd }
    }

    /// Takes hold of a process by its ID.
    pub fn open(pid: i32) -> io::Result<Process> {
        let number = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Process {
            pid,
            pidfd: pidfd_open(number, PidfdFlags::empty())?,
        })
    }

    /// Its process ID.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its process ID and its descriptor.
    pub fn into_parts(self) -> (i32, OwnedFd) {
        (self.pid, self.pidfd)
    }

    /// Sends it a signal. A process that has ended already is no error.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        signal_pidfd(&self.pidfd, signal)
    }

    /// Waits until this child has ended, and reaps it.
    pub fn wait(&self) -> io::Result<Exit> {
        wait_pidfd(&self.pidfd)
    }

    /// Reaps this child if it has ended.
    pub fn try_wait(&self) -> io::Result<Option<Exit>> {
        wait_with(&self.pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Sends a signal through a pidfd. A process that has ended already is no error.
pub fn signal_pidfd(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: no information structure is passed, so that there is no memory to be valid.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ESRCH) {
            return Err(error);
        }
    }
    Ok(())
}

/// Waits until a child has ended, and reaps it.
pub fn wait_pidfd(pidfd: impl AsFd) -> io::Result<Exit> {
    loop {
        match wait_with(pidfd.as_fd(), WaitIdOptions::EXITED) {
            Ok(Some(exit)) => return Ok(exit),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait_with(pidfd: impl AsFd, options: WaitIdOptions) -> io::Result<Option<Exit>> {
    let Some(status) = waitid(WaitId::PidFd(pidfd.as_fd()), options)? else {
        return Ok(None);
    };
    let exit = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal {
            signal,
            core_dumped: status.dumped(),
        },
        (None, None) => return Ok(None),
    };
    Ok(Some(exit))
}
