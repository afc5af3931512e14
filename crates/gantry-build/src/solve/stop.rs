//! Whether a build goes on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};

use crate::cancel::Cancellation;

/// Two reasons to stop: the client wants it, or a step failed.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    client: Cancellation,
    failure: Cancellation,
}

impl Stop {
    pub(crate) fn new(client: Cancellation) -> io::Result<Self> {
        Ok(Self {
            client,
            failure: Cancellation::new()?,
        })
    }

    /// A step failed: the others are of no use any more. Says whether it is the first.
    pub(crate) fn fail(&self) -> bool {
        self.failure.set()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.client.is_canceled() || self.failure.is_canceled()
    }

    /// Whether it was the client.
    pub(crate) fn is_canceled(&self) -> bool {
        self.client.is_canceled()
    }

    /// Two descriptors, one of which becomes readable when the build is to stop.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.client.as_fd(), self.failure.as_fd()]
    }

    /// Waits until `event` is set or the build is to stop.
    pub(crate) fn wait_for(&self, event: &Cancellation) -> io::Result<()> {
        let [client, failure] = self.descriptors();
        let mut fds = [
            PollFd::new(event, PollFlags::IN),
            PollFd::from_borrowed_fd(client, PollFlags::IN),
            PollFd::from_borrowed_fd(failure, PollFlags::IN),
        ];
        loop {
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map(drop).map_err(io::Error::from),
            }
        }
    }
}
