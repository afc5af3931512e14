//! Staying with a process in the foreground: its signals, its terminal, its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_runtime::Running;
use gantry_sys::signal::{self, SignalFd};
use gantry_sys::{fd, pty};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;

/// The signals of this process, which are the container's from now on.
#[derive(Debug)]
pub(crate) struct Attachment {
    signals: SignalFd,
}

/// What this process keeps for itself.
const OWN: [Signal; 6] = [
    Signal::KILL,
    Signal::STOP,
    Signal::CHILD,
    Signal::PIPE,
    Signal::URG,
    Signal::WINCH,
];

impl Attachment {
    /// Takes over the signals.
    pub(crate) fn new() -> io::Result<Attachment> {
        let all: Vec<i32> = (1..=signal::LAST)
            .filter(|number| *number == Signal::WINCH.as_raw() || !is_own(*number))
            .collect();
        Ok(Attachment {
            signals: SignalFd::new(&all)?,
        })
    }

    /// Forwards signals and the terminal until the process has ended; returns its exit code.
    pub(crate) fn stay(&self, running: &Running, terminal: Option<OwnedFd>) -> io::Result<i32> {
        let stdin = io::stdin();
        let raw = match &terminal {
            Some(master) => Some(show(master, stdin.as_fd())?),
            None => None,
        };
        let mut terminal = terminal;
        let mut input_open = terminal.is_some();
        loop {
            let mut interest = vec![
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::from_borrowed_fd(running.pidfd(), PollFlags::IN),
            ];
            if let Some(master) = &terminal {
                interest.push(PollFd::new(master, PollFlags::IN));
                if input_open {
                    interest.push(PollFd::new(&stdin, PollFlags::IN));
                }
            }
            match poll(&mut interest, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready: Vec<bool> = interest.iter().map(|fd| !fd.revents().is_empty()).collect();
            let is_ready = |index: usize| ready.get(index).copied().unwrap_or(false);
            if is_ready(0) {
                self.forward(running, terminal.as_ref())?;
            }
            if let Some(master) = &terminal {
                if is_ready(3) {
                    input_open = shift(stdin.as_fd(), master.as_fd())?;
                }
                if is_ready(2) && !shift(master.as_fd(), io::stdout().as_fd())? {
                    terminal = None;
                }
            }
            if is_ready(1) {
                if let Some(master) = &terminal {
                    fd::set_nonblocking(master, true)?;
                    while shift(master.as_fd(), io::stdout().as_fd())? {}
                }
                drop(raw);
                return Ok(running.wait()?.code());
            }
        }
    }

    fn forward(&self, running: &Running, terminal: Option<&OwnedFd>) -> io::Result<()> {
        while let Some(received) = self.signals.read()? {
            match terminal {
                Some(master) if received.signal == Signal::WINCH.as_raw() => {
                    resize(master, io::stdin().as_fd());
                }
                _ => running.kill(received.signal)?,
            }
        }
        Ok(())
    }
}

fn is_own(number: i32) -> bool {
    OWN.iter().any(|signal| signal.as_raw() == number)
}

/// Gives the process's terminal the size of this one's, and puts this one into raw mode.
fn show<'a>(master: &OwnedFd, stdin: BorrowedFd<'a>) -> io::Result<Option<pty::RawMode<'a>>> {
    if !rustix::termios::isatty(stdin) {
        return Ok(None);
    }
    resize(master, stdin);
    pty::RawMode::enter(stdin).map(Some)
}

fn resize(master: &OwnedFd, stdin: BorrowedFd<'_>) {
    // Where this process has no terminal there is no size to take over.
    if let Ok((rows, columns)) = pty::size(stdin) {
        pty::set_size(master, rows, columns).ok();
    }
}

/// Moves what is there. Says whether there can be more.
fn shift(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<bool> {
    let mut buffer = [0; 16 * 1024];
    match rustix::io::read(from, &mut buffer[..]) {
        // The other side of a terminal that has gone gives EIO.
        Ok(0) | Err(Errno::IO | Errno::AGAIN) => Ok(false),
        Ok(length) => fd::write_all(to, &buffer[..length]).map(|()| true),
        Err(Errno::INTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}
