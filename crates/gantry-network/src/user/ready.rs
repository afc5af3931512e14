//! Waiting for a helper: it is ready, or it has ended.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use gantry_sys::process::{Process, spawn_tied};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{UserProgram, end};
use crate::error::NetworkError;

/// A helper that says nothing for so long does not work.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};
/// Most of what a helper says that is shown.
const MOST: u64 = 4096;

/// Where a helper's complaints go: memory, because nobody reads them once it works.
pub(super) struct Complaints(OwnedFd);

impl Complaints {
    pub(super) fn new() -> io::Result<Complaints> {
        gantry_sys::fd::memory_file("complaints").map(Complaints)
    }

    pub(super) fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.0.try_clone()?.into())
    }

    /// What it said, on one line, without what is of no interest.
    fn text(self) -> String {
        let mut file = File::from(self.0);
        let mut bytes = Vec::new();
        // What cannot be read is not said.
        file.rewind().ok();
        file.take(MOST).read_to_end(&mut bytes).ok();
        tidy(&String::from_utf8_lossy(&bytes))
    }
}

fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains("to syslog"))
        .collect();
    lines.join("; ")
}

/// Starts a helper and waits until `ready` can be read.
pub(super) fn start(
    program: UserProgram,
    command: &mut Command,
    complaints: Complaints,
    ready: BorrowedFd<'_>,
) -> Result<Process, NetworkError> {
    let failed = |said: String, source: Option<io::Error>| NetworkError::UserProgram {
        program,
        said,
        source,
    };
    let helper = spawn_tied(command).map_err(|error| failed(String::new(), Some(error)))?;
    match wait(&helper, ready) {
        Ok(true) => Ok(helper),
        Ok(false) => {
            end(&helper);
            Err(failed(complaints.text(), None))
        }
        Err(error) => {
            end(&helper);
            Err(failed(complaints.text(), Some(error)))
        }
    }
}

/// Says whether it became ready rather than ended.
fn wait(helper: &Process, ready: BorrowedFd<'_>) -> io::Result<bool> {
    loop {
        let mut interest = [
            PollFd::from_borrowed_fd(ready, PollFlags::IN),
            PollFd::from_borrowed_fd(helper.as_fd(), PollFlags::IN),
        ];
        match poll(&mut interest, Some(&PATIENCE)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Err(rustix::io::Errno::INTR) => continue,
            other => other.map_err(io::Error::from)?,
        };
        if interest[0].revents().contains(PollFlags::IN) {
            return Ok(true);
        }
        if !interest[1].revents().is_empty() {
            return Ok(false);
        }
        // The other end of a pipe is closed by a helper that is about to end.
        let mut end = [PollFd::from_borrowed_fd(helper.as_fd(), PollFlags::IN)];
        if poll(&mut end, Some(&PATIENCE)).map_err(io::Error::from)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        return Ok(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_one_line() {
        let text = "Failed to send 5 bytes to syslog\nno route\n\n  giving up\n";
        assert_eq!(tidy(text), "no route; giving up");
    }

    #[test]
    fn a_helper_that_ends_is_noticed() {
        let (ready, writer) = gantry_sys::fd::pipe().expect("a pipe");
        let complaints = Complaints::new().expect("memory");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo 'no such thing' >&2; exit 3"])
            .stderr(complaints.stdio().expect("a file"));
        let failed = start(UserProgram::Pasta, &mut command, complaints, ready.as_fd());
        drop(writer);
        let text = failed.expect_err("it ended").to_string();
        assert!(text.ends_with("network: no such thing"), "{text}");
    }

    #[test]
    fn a_helper_that_is_ready_is_noticed() {
        let (ready, writer) = gantry_sys::fd::pipe().expect("a pipe");
        let complaints = Complaints::new().expect("memory");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo 1; exec sleep 100"])
            .stdout(Stdio::from(writer));
        let helper = start(UserProgram::Pasta, &mut command, complaints, ready.as_fd());
        end(&helper.expect("it is ready"));
    }
}
