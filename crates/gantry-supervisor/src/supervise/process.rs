//! One process of the container (its first, or an `exec`) with the ends of its stdio.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_runtime::Stdio;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::stdin::{StdinQueue, Taken};
use crate::launch::Stdin;
use crate::log::Stream;
use crate::protocol::WindowSize;

/// The process's own ends, needed until it is started.
#[derive(Debug)]
pub(super) enum TheirEnds {
    /// Pipes, or nothing to read.
    Files {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A terminal that the runtime opens.
    Terminal(WindowSize),
}

impl TheirEnds {
    pub(super) fn stdio(&self) -> Stdio<'_> {
        match self {
            Self::Files {
                stdin,
                stdout,
                stderr,
            } => Stdio::Files {
                stdin: stdin.as_fd(),
                stdout: stdout.as_fd(),
                stderr: stderr.as_fd(),
            },
            Self::Terminal(size) => Stdio::Terminal {
                rows: size.rows,
                columns: size.columns,
            },
        }
    }
}

/// Our ends.
#[derive(Debug)]
pub(super) struct Streams {
    terminal: Option<OwnedFd>,
    /// The other side of the terminal, held open so that the master never reports an end
    /// while the process lives, even when nobody has the terminal open for a moment.
    _peer: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// Where stdin is written: a pipe, or the terminal's master once more (under a number of
    /// its own, so that waiting for room and for output do not get in each other's way).
    sink: Option<OwnedFd>,
    pub(super) stdin: StdinQueue,
}

/// What reading a stream gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at the moment.
    Pending,
    /// Nothing ever again.
    End,
}

impl Streams {
    /// Pipes for a process without a terminal.
    pub(super) fn pipes(stdin: Stdin) -> io::Result<(Self, TheirEnds)> {
        let (out_reader, out_writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (err_reader, err_writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (in_reader, in_writer) = if stdin == Stdin::Closed {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            (
                rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty())?,
                None,
            )
        } else {
            let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            nonblocking(&writer)?;
            (reader, Some(writer))
        };
        nonblocking(&out_reader)?;
        nonblocking(&err_reader)?;
        let streams = Self {
            terminal: None,
            _peer: None,
            stdout: Some(out_reader),
            stderr: Some(err_reader),
            sink: in_writer,
            stdin: StdinQueue::default(),
        };
        let theirs = TheirEnds::Files {
            stdin: in_reader,
            stdout: out_writer,
            stderr: err_writer,
        };
        Ok((streams, theirs))
    }

    /// Nothing to read, nowhere to write: for a process that nobody follows.
    pub(super) fn null() -> io::Result<(Self, TheirEnds)> {
        let open =
            |flags| rustix::fs::openat(CWD, "/dev/null", flags | OFlags::CLOEXEC, Mode::empty());
        let theirs = TheirEnds::Files {
            stdin: open(OFlags::RDONLY)?,
            stdout: open(OFlags::WRONLY)?,
            stderr: open(OFlags::WRONLY)?,
        };
        let (streams, _) = Self::terminal(None);
        Ok((streams, theirs))
    }

    /// A terminal, whose master the runtime gives later.
    pub(super) fn terminal(size: Option<WindowSize>) -> (Self, TheirEnds) {
        let streams = Self {
            terminal: None,
            _peer: None,
            stdout: None,
            stderr: None,
            sink: None,
            stdin: StdinQueue::default(),
        };
        (streams, TheirEnds::Terminal(size.unwrap_or_default()))
    }

    /// Takes the master of the terminal.
    pub(super) fn set_terminal(&mut self, master: OwnedFd) -> io::Result<()> {
        nonblocking(&master)?;
        let flags = rustix::pty::OpenptFlags::RDWR
            | rustix::pty::OpenptFlags::NOCTTY
            | rustix::pty::OpenptFlags::CLOEXEC;
        self._peer = Some(rustix::pty::ioctl_tiocgptpeer(&master, flags)?);
        self.sink = Some(rustix::io::fcntl_dupfd_cloexec(&master, 0)?);
        self.terminal = Some(master);
        Ok(())
    }

    /// Whether there is a terminal.
    pub(super) fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// The descriptor a stream is read from.
    pub(super) fn source(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match stream {
            Stream::Stdout => self
                .terminal
                .as_ref()
                .or(self.stdout.as_ref())
                .map(AsFd::as_fd),
            Stream::Stderr => self.stderr.as_ref().map(AsFd::as_fd),
        }
    }

    /// The descriptor stdin is written to.
    pub(super) fn sink(&self) -> Option<BorrowedFd<'_>> {
        self.sink.as_ref().map(AsFd::as_fd)
    }

    /// Reads a stream; closes it at its end.
    pub(super) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Read {
        let Some(source) = self.source(stream) else {
            return Read::End;
        };
        match rustix::io::read(source, &mut *buffer) {
            Ok(0) => Read::End,
            Ok(count) => Read::Bytes(count),
            Err(Errno::AGAIN | Errno::INTR) => Read::Pending,
            // EIO: the other side of a terminal is closed.
            Err(_) => Read::End,
        }
    }

    /// Closes a stream that ended.
    pub(super) fn close(&mut self, stream: Stream) {
        match stream {
            Stream::Stdout if self.terminal.is_none() => self.stdout = None,
            Stream::Stdout => {}
            Stream::Stderr => self.stderr = None,
        }
    }

    /// Writes queued stdin as far as there is room. What nobody will read counts as taken.
    pub(super) fn flush_stdin(&mut self) -> Vec<Taken> {
        let Self {
            terminal,
            sink,
            stdin,
            ..
        } = self;
        let Some(open) = sink.as_ref() else {
            return stdin.discard();
        };
        let written = stdin.flush(|bytes| match rustix::io::write(open, bytes) {
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        });
        let taken = written.unwrap_or_else(|_nobody_reads| {
            if terminal.is_none() {
                *sink = None;
            }
            stdin.discard()
        });
        if stdin.ended && !stdin.is_waiting() {
            *sink = None;
        }
        taken
    }

    /// Sets the size of the terminal.
    pub(super) fn resize(&self, size: WindowSize) -> io::Result<()> {
        let Some(master) = &self.terminal else {
            return Ok(());
        };
        let size = rustix::termios::Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(rustix::termios::tcsetwinsize(master, size)?)
    }
}

fn nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}
