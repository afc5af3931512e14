//! The one place where the supervisor sleeps.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

/// Who an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Signals of the supervisor itself, ends of children among them.
    Signals,
    /// A new client.
    Listener,
    /// A client's socket.
    Client(u32),
    /// Output (or the terminal) of a process.
    Stdout(u32),
    /// Error output of a process.
    Stderr(u32),
    /// Stdin of a process can take more.
    Stdin(u32),
    /// A question to the name server inside the container, or its answer.
    Relay,
    /// The process that carries the log takes more.
    Log,
    /// The connection of a health check.
    Contact,
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals => (0, 0),
            Self::Listener => (1, 0),
            Self::Client(index) => (2, index),
            Self::Stdout(index) => (3, index),
            Self::Stderr(index) => (4, index),
            Self::Stdin(index) => (5, index),
            Self::Relay => (6, 0),
            Self::Log => (7, 0),
            Self::Contact => (8, 0),
        };
        (kind << 32) | u64::from(index)
    }

    fn decode(data: u64) -> Option<Self> {
        let index = u32::try_from(data & 0xffff_ffff).ok()?;
        Some(match data >> 32 {
            0 => Self::Signals,
            1 => Self::Listener,
            2 => Self::Client(index),
            3 => Self::Stdout(index),
            4 => Self::Stderr(index),
            5 => Self::Stdin(index),
            6 => Self::Relay,
            7 => Self::Log,
            8 => Self::Contact,
            _ => return None,
        })
    }
}

/// What is waited for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Something to read.
    Read,
    /// Room to write.
    Write,
    /// Either.
    Both,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN,
            Self::Write => epoll::EventFlags::OUT,
            Self::Both => epoll::EventFlags::IN | epoll::EventFlags::OUT,
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    /// To whom.
    pub(super) token: Token,
    /// There is something to read, or the other side is gone.
    pub(super) readable: bool,
    /// There is room to write.
    pub(super) writable: bool,
}

/// An epoll instance.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        })
    }

    pub(super) fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token.encode());
        Ok(epoll::add(&self.epoll, fd, data, interest.flags())?)
    }

    pub(super) fn change(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token.encode());
        Ok(epoll::modify(&self.epoll, fd, data, interest.flags())?)
    }

    /// Forgets a descriptor; one that is not waited for is no error.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // ENOENT is the one errno possible here: it was not added, or paused.
        let _absent = epoll::delete(&self.epoll, fd);
    }

    /// Sleeps until something happens or `deadline` passes, in little memory; what happened is
    /// then to be asked for.
    pub(super) fn rest(&self, deadline: Option<Instant>) -> io::Result<()> {
        gantry_sys::memory::rest(self.epoll.as_fd(), deadline.map(left))
    }

    /// Sleeps until something happens or `deadline` passes.
    pub(super) fn wait(&self, deadline: Option<Instant>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let timeout = deadline.map(|at| {
            let left = left(at);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut buffer: Vec<epoll::Event> = Vec::with_capacity(16);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut buffer),
            timeout.as_ref(),
        ) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        for event in buffer {
            let (flags, data) = (event.flags, event.data);
            if let Some(token) = Token::decode(data.u64()) {
                let gone = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                ready.push(Ready {
                    token,
                    readable: flags.intersects(epoll::EventFlags::IN | gone),
                    writable: flags.intersects(epoll::EventFlags::OUT | gone),
                });
            }
        }
        Ok(())
    }
}

/// A millisecond more than is left: the kernel may round down, and a wake-up before the deadline
/// would spin.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
}
