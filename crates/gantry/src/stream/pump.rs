//! Carries stdin, stdout, stderr, signals and the size of the terminal between the caller and a
//! process in a container: one poll loop in one thread.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use gantry_supervisor::client::{Event, Session};
use gantry_supervisor::protocol::WindowSize;
use gantry_sys::signal::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};

use super::terminal::{self, RawMode};
use crate::exit;
use crate::failure::{CommandError, Failure, written};
use crate::flags::detach_keys::DetachKeys;

/// Most bytes of stdin read at once.
const CHUNK: usize = 32 * 1024;

/// What is carried.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    /// Whether the caller's stdin is sent.
    pub(crate) stdin: bool,
    /// Whether the process has a terminal.
    pub(crate) tty: bool,
    /// Whether signals go to the process rather than to this one.
    pub(crate) proxy_signals: bool,
    /// The keys that leave the process alone.
    pub(crate) detach_keys: DetachKeys,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The process ended with this exit code.
    Exited(i32),
    /// The person left it running.
    Detached,
    /// A signal told this process to go; the container goes on.
    Signalled(i32),
}

impl Streams {
    /// Refuses what cannot work: a terminal in the container without one here.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.tty && self.stdin && !terminal::stdin_is_terminal() {
            return Err(Failure::invalid(
                "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
            )
            .with_code(exit::BAD_USAGE));
        }
        Ok(())
    }

    /// Carries until the process ends, the person detaches or a signal tells us to go.
    pub(crate) fn carry(self, session: &mut Session) -> Result<End, Failure> {
        let raw = match self.tty && self.stdin && terminal::stdin_is_terminal() {
            true => Some(RawMode::enter()?),
            false => None,
        };
        let signals =
            SignalFd::new(&self.watched()).map_err(terminal_failed("watch signals of"))?;
        let mut pump = Pump {
            session,
            stdin: if self.stdin {
                Stdin::Open
            } else {
                Stdin::Closed
            },
            typed: Vec::new(),
            streams: self,
        };
        let end = pump.run(&signals);
        // Before anything is printed: a line end in raw mode does not return the carriage.
        drop(raw);
        if matches!(end, Ok(End::Detached)) {
            io::stderr().lock().write_all(b"\n").map_err(written)?;
        }
        end
    }

    /// The signals this process takes from the kernel's hands.
    fn watched(&self) -> Vec<i32> {
        let mut all = vec![SIGWINCH];
        if self.proxy_signals && !self.tty {
            all.extend((1..=31).filter(|n| !UNTOUCHED.contains(n)));
        } else if self.tty {
            all.extend(FATAL);
        }
        all
    }
}

/// Signals that mean this process itself, or that the kernel sends for its own doing.
const UNTOUCHED: [i32; 16] = [
    4, 5, 6, 7, 8, 9, 11, 13, // ILL TRAP ABRT BUS FPE KILL SEGV PIPE
    17, 18, 19, 20, 21, 22, // CHLD CONT STOP TSTP TTIN TTOU
    23, SIGWINCH, // URG, and the size of the window which is told on its own
];
const SIGWINCH: i32 = 28;
/// What ends this process while the terminal is raw: HUP INT QUIT TERM.
const FATAL: [i32; 4] = [1, 2, 3, 15];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stdin {
    Open,
    /// Ended, with bytes still to be sent.
    Ending,
    Closed,
}

struct Pump<'a> {
    session: &'a mut Session,
    stdin: Stdin,
    /// What was read from stdin and not sent yet.
    typed: Vec<u8>,
    streams: Streams,
}

fn terminal_failed(action: &'static str) -> impl FnOnce(io::Error) -> CommandError {
    move |source| CommandError::Terminal { action, source }
}

impl Pump<'_> {
    fn run(&mut self, signals: &SignalFd) -> Result<End, Failure> {
        if self.streams.tty {
            self.resize()?;
        }
        loop {
            if let Some(end) = self.output()? {
                return Ok(end);
            }
            self.send()?;
            let ready = self.wait(signals)?;
            if ready.signals
                && let Some(end) = self.signals(signals)?
            {
                return Ok(end);
            }
            if ready.stdin && self.read()? {
                return Ok(End::Detached);
            }
        }
    }

    /// Writes all output that arrived.
    fn output(&mut self) -> Result<Option<End>, Failure> {
        loop {
            match self.session.read()? {
                Event::Stdout(bytes) => write_all(io::stdout().as_fd(), bytes)?,
                Event::Stderr(bytes) => write_all(io::stderr().as_fd(), bytes)?,
                Event::Lost(count) => {
                    let text = format!("\r\n[{count} bytes of output were lost]\r\n");
                    write_all(io::stderr().as_fd(), text.as_bytes())?;
                }
                Event::Exited(exit) => return Ok(Some(End::Exited(exit.code))),
                Event::Failed(failure) => return Err(failure.into()),
                Event::Pending => return Ok(None),
                Event::Closed => {
                    return Err(CommandError::Conflict(
                        "the container's supervisor ended without saying how the process did"
                            .to_owned(),
                    )
                    .into());
                }
            }
        }
    }

    /// Sends what was typed as far as the other side takes it.
    fn send(&mut self) -> Result<(), Failure> {
        while !self.typed.is_empty() {
            let sent = self.session.write_stdin(&self.typed)?;
            if sent == 0 {
                return Ok(());
            }
            self.typed.drain(..sent);
        }
        if self.stdin == Stdin::Ending {
            self.session.close_stdin()?;
            self.stdin = Stdin::Closed;
        }
        Ok(())
    }

    fn wait(&self, signals: &SignalFd) -> Result<Ready, Failure> {
        let input = io::stdin();
        // Reading on while the other side takes nothing would only fill memory.
        let reads =
            self.stdin == Stdin::Open && self.typed.is_empty() && self.session.stdin_window() > 0;
        let mut fds = vec![
            PollFd::new(&*self.session, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        if reads {
            fds.push(PollFd::new(&input, PollFlags::IN));
        }
        loop {
            match poll(&mut fds, None) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(terminal_failed("wait for")(errno.into()).into()),
            }
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready {
            signals: ready(1),
            stdin: ready(2),
        })
    }

    /// Reads stdin once; says whether the person detached.
    fn read(&mut self) -> Result<bool, Failure> {
        let mut chunk = [0_u8; CHUNK];
        let window = self.session.stdin_window().min(CHUNK);
        let count = match rustix::io::read(io::stdin(), &mut chunk[..window]) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(false),
            // The terminal is gone, or we are in the background: nothing more will be typed.
            Err(rustix::io::Errno::IO) => 0,
            Err(errno) => return Err(terminal_failed("read from")(errno.into()).into()),
        };
        if count == 0 {
            self.stdin = Stdin::Ending;
            return Ok(false);
        }
        if self.streams.tty {
            return Ok(self
                .streams
                .detach_keys
                .scan(&chunk[..count], &mut self.typed));
        }
        self.typed.extend_from_slice(&chunk[..count]);
        Ok(false)
    }

    fn signals(&mut self, signals: &SignalFd) -> Result<Option<End>, Failure> {
        while let Some(received) = signals
            .read()
            .map_err(terminal_failed("watch signals of"))?
        {
            let signal = received.signal;
            if signal == SIGWINCH {
                self.resize()?;
            } else if self.streams.tty || !self.streams.proxy_signals {
                return Ok(Some(End::Signalled(signal)));
            } else {
                self.session.signal(signal)?;
            }
        }
        Ok(None)
    }

    fn resize(&mut self) -> Result<(), Failure> {
        if let (true, Some((rows, columns))) = (self.streams.tty, terminal::size()) {
            self.session.resize(WindowSize { rows, columns })?;
        }
        Ok(())
    }
}

struct Ready {
    signals: bool,
    stdin: bool,
}

/// Writes everything, also to a descriptor that somebody made non-blocking.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Failure> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                match poll(&mut fds, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(written(errno.into())),
                }
            }
            Err(errno) => return Err(written(errno.into())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(tty: bool, proxy_signals: bool) -> Streams {
        Streams {
            stdin: true,
            tty,
            proxy_signals,
            detach_keys: DetachKeys::default(),
        }
    }

    #[test]
    fn signals_are_taken_only_where_they_go_somewhere() {
        assert_eq!(streams(false, false).watched(), [SIGWINCH]);
        assert_eq!(streams(true, true).watched(), [SIGWINCH, 1, 2, 3, 15]);
        let all = streams(false, true).watched();
        for signal in [1, 2, 3, 10, 12, 14, 15, 28] {
            assert!(all.contains(&signal), "{signal}");
        }
        for signal in [9, 11, 13, 17, 19, 20] {
            assert!(!all.contains(&signal), "{signal}");
        }
    }
}
