//! `--on-failure`: what is done when a `RUN` fails.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

use gantry_build::FailureShell;
use gantry_sys::signal::SignalFd;
use gantry_sys::{fd, pty};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::failure::{CommandError, Failure};
use crate::output::progress::build::Mode;
use crate::stream::terminal::{self, RawMode};

/// The size of the window has changed, as every Linux numbers it.
const SIGWINCH: i32 = 28;
/// Most bytes carried at once.
const CHUNK: usize = 4096;
/// The size of a terminal that does not tell it.
const USUAL_SIZE: (u16, u16) = (24, 80);

/// What the flag chooses.
#[derive(Debug)]
pub(super) enum OnFailure {
    /// The build ends.
    Fail,
    /// A person looks around first.
    Shell(Person),
}

/// The person at the terminal of this process.
#[derive(Debug)]
pub(super) struct Person {
    /// Tells of a new size of the window.
    resized: SignalFd,
}

impl OnFailure {
    /// What `--on-failure` asks for beside `--progress`. Threads that are started later have the
    /// signal of the window blocked.
    pub(super) fn choose(flag: Option<&str>, progress: Option<&str>) -> Result<Self, Failure> {
        match flag {
            None | Some("" | "fail") => return Ok(Self::Fail),
            Some("shell") => {}
            Some(other) => {
                return Err(Failure::invalid(format!(
                    "--on-failure={other} is not known: fail and shell are"
                )));
            }
        }
        if !terminal::stdin_is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::invalid(
                "--on-failure=shell needs a terminal at STDIN and STDERR: run the build in one, or \
                 leave the flag out",
            ));
        }
        if progress == Some("tty") {
            return Err(Failure::invalid(
                "--progress=tty leaves no room for the shell of --on-failure=shell: choose \
                 --progress=plain",
            ));
        }
        let resized = SignalFd::new(&[SIGWINCH]).map_err(|source| CommandError::Terminal {
            action: "watch signals of",
            source,
        })?;
        Ok(Self::Shell(Person { resized }))
    }

    /// How the build is shown: line by line, where a shell may come between.
    pub(super) fn mode(&self, mode: Mode) -> Mode {
        match (self, mode) {
            (Self::Shell(_), Mode::Live) => Mode::Plain,
            _ => mode,
        }
    }

    /// Who looks around.
    pub(super) fn shell(&self) -> Option<&dyn FailureShell> {
        match self {
            Self::Fail => None,
            Self::Shell(person) => Some(person),
        }
    }
}

impl FailureShell for Person {
    fn size(&self) -> (u16, u16) {
        terminal::size().unwrap_or(USUAL_SIZE)
    }

    fn converse(
        &self,
        notice: &str,
        terminal: BorrowedFd<'_>,
        stop: BorrowedFd<'_>,
    ) -> io::Result<()> {
        self.refuse(notice);
        fd::set_nonblocking(terminal, true)?;
        let raw = RawMode::enter().map_err(io::Error::other)?;
        let carried = self.carry(terminal, stop);
        drop(raw);
        carried
    }

    fn refuse(&self, notice: &str) {
        let text = format!("{notice}\n");
        // Nobody is left to tell where the terminal is gone.
        let _gone = fd::write_all(io::stderr(), text.as_bytes());
    }
}

impl Person {
    fn carry(&self, terminal: BorrowedFd<'_>, stop: BorrowedFd<'_>) -> io::Result<()> {
        let stdin = io::stdin();
        let mut chunk = [0; CHUNK];
        let mut typed = Vec::new();
        loop {
            // Reading on while the shell takes nothing would only fill memory.
            let (to_shell, from_person) = if typed.is_empty() {
                (PollFlags::IN, PollFlags::IN)
            } else {
                (PollFlags::IN | PollFlags::OUT, PollFlags::empty())
            };
            let mut fds = [
                PollFd::from_borrowed_fd(stop, PollFlags::IN),
                PollFd::new(&self.resized, PollFlags::IN),
                PollFd::from_borrowed_fd(terminal, to_shell),
                PollFd::from_borrowed_fd(stdin.as_fd(), from_person),
            ];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let [stopped, resized, shell, person] = fds.map(|fd| fd.revents());
            if !stopped.is_empty() {
                return Ok(());
            }
            if !resized.is_empty() {
                while self.resized.read()?.is_some() {}
                let (rows, columns) = self.size();
                pty::set_size(terminal, rows, columns)?;
            }
            if shell.contains(PollFlags::OUT) {
                let count = rustix::io::write(terminal, &typed)?;
                typed.drain(..count);
            }
            if !(shell & !PollFlags::OUT).is_empty() {
                match read(terminal, &mut chunk)? {
                    Some(0) => return Ok(()),
                    Some(count) => fd::write_all(io::stderr(), &chunk[..count])?,
                    None => {}
                }
            } else if !person.is_empty() {
                match read(stdin.as_fd(), &mut chunk)? {
                    // The window was closed.
                    Some(0) => return Ok(()),
                    Some(count) => typed.extend_from_slice(&chunk[..count]),
                    None => {}
                }
            }
        }
    }
}

/// Reads from a terminal: 0 when its other side is gone, nothing when there is nothing yet.
fn read(terminal: BorrowedFd<'_>, chunk: &mut [u8]) -> io::Result<Option<usize>> {
    match rustix::io::read(terminal, chunk) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::IO) => Ok(Some(0)),
        Err(Errno::INTR | Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
