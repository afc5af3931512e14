//! How a build is stopped from outside.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A switch that stops a build: running steps are killed, what was begun is removed.
/// Clones share one state. Once set it stays set.
#[derive(Debug, Clone)]
pub struct Cancellation {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    set: AtomicBool,
    /// Becomes readable when the switch is set, and is never read: everybody who polls it wakes.
    event: OwnedFd,
}

impl Cancellation {
    /// A switch that is not set.
    ///
    /// # Errors
    /// The kernel gives no descriptor.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            shared: Arc::new(Shared {
                set: AtomicBool::new(false),
                event,
            }),
        })
    }

    /// Sets the switch.
    pub fn cancel(&self) {
        self.set();
    }

    /// Sets the switch; says whether it was not set before.
    pub(crate) fn set(&self) -> bool {
        let first = !self.shared.set.swap(true, Ordering::SeqCst);
        if first {
            // A counter of one cannot overflow, so this cannot fail.
            let _written = rustix::io::write(&self.shared.event, &1_u64.to_ne_bytes());
        }
        first
    }

    /// Whether the switch is set.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.shared.set.load(Ordering::SeqCst)
    }
}

impl AsFd for Cancellation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    #[test]
    fn setting_it_wakes_everybody_who_polls() {
        let switch = Cancellation::new().unwrap();
        let other = switch.clone();
        assert!(!other.is_canceled());
        switch.cancel();
        switch.cancel();
        assert!(other.is_canceled());
        for _ in 0..2 {
            let mut fds = [PollFd::new(&other, PollFlags::IN)];
            let none = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            assert_eq!(poll(&mut fds, Some(&none)).unwrap(), 1);
        }
    }
}
