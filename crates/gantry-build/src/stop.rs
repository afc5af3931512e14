//! Whether a build goes on.

use std::error::Error;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};

use crate::cancel::Cancellation;

/// What long work ends with when the build is to stop.
#[derive(Debug, thiserror::Error)]
#[error("the build is being stopped")]
struct Stopped;

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

    /// Asked between the pieces of long work: an error ends it, by which [`Stop::is_cause`] knows it.
    pub(crate) fn goes_on(&self) -> io::Result<()> {
        match self.is_stopped() {
            true => Err(io::Error::other(Stopped)),
            false => Ok(()),
        }
    }

    /// A reader that ends with an error when the build is to stop.
    pub(crate) fn reading<R: Read>(&self, from: R) -> Reading<'_, R> {
        Reading { from, stop: self }
    }

    /// Whether something failed because it was not to go on.
    pub(crate) fn is_cause(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let inner = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            if inner.is_some_and(|inner| inner.is::<Stopped>()) || error.is::<Stopped>() {
                return true;
            }
            cause = error.source();
        }
        false
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

/// Reads as long as the build goes on.
#[derive(Debug)]
pub(crate) struct Reading<'s, R> {
    from: R,
    stop: &'s Stop,
}

impl<R: Read> Read for Reading<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.goes_on()?;
        self.from.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StepError;
    use gantry_store::Store;

    #[test]
    fn a_large_layer_is_not_made_when_the_build_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let store = Store::open(&root).unwrap();
        let draft = store.layers().draft().unwrap();
        std::fs::write(draft.upper().join("large"), vec![1; 4 << 20]).unwrap();
        let client = Cancellation::new().unwrap();
        let stop = Stop::new(client.clone()).unwrap();
        // In the middle of the file, whose pieces are 16.
        let asked = std::cell::Cell::new(0);
        let goes_on = || {
            asked.set(asked.get() + 1);
            if asked.get() == 10 {
                client.cancel();
            }
            stop.goes_on()
        };
        let error = StepError::from(draft.commit_while(&goes_on).unwrap_err());
        assert!(Stop::is_cause(&error), "{error:?}");
        assert_eq!(asked.get(), 10);
        for place in ["ingest", "layers"] {
            let left = std::fs::read_dir(root.join(place)).unwrap().count();
            assert_eq!(left, 0, "{place}");
        }
        let other = StepError::io("read", "/x", io::Error::other("broken"));
        assert!(!Stop::is_cause(&other));
    }
}
