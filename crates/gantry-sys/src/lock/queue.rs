//! Waiting for a lock beside other things that may happen.
//!
//! `flock` has no descriptor to poll, and a thread that sleeps in it cannot be called back. A
//! child can: its lock is its parent's, because both share the open file description, and its end
//! is an event.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::process::{Exit, Process, clone3};

/// A place in the queue for an exclusive lock. Dropping it leaves the queue.
#[derive(Debug)]
pub struct Queued<'a> {
    /// Open as long as the child, which has no descriptors of its own, may come to use it.
    _file: BorrowedFd<'a>,
    waiter: Process,
    reaped: bool,
}

/// Queues for the exclusive lock of `file`. Poll the result for reading: then ask
/// [`Queued::is_held`]. A lock that came while the queue was left dies with `file`.
///
/// # Errors
/// When the child that waits cannot be made.
pub fn queue(file: BorrowedFd<'_>) -> io::Result<Queued<'_>> {
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    // With a table of its own the child would hold every lock of this process a little longer.
    let flags = libc::CLONE_FILES.cast_unsigned().into();
    // SAFETY: the child makes nothing but system calls.
    match unsafe { clone3(flags, None) }? {
        // SAFETY: this is the child of that call.
        None => unsafe { wait_for(file.as_raw_fd(), parent) },
        Some(waiter) => Ok(Queued {
            _file: file,
            waiter,
            reaped: false,
        }),
    }
}

/// The child: takes the lock and ends, with 0 when it has it.
///
/// # Safety
/// Only in a fresh child. Other threads of the parent may have held any lock of the C library, so
/// that nothing but system calls is made here.
unsafe fn wait_for(file: libc::c_int, parent: libc::pid_t) -> ! {
    let no_path = c"".as_ptr();
    // SAFETY: system calls with numbers only; the one pointer is to a constant.
    unsafe {
        libc::syscall(
            libc::SYS_prctl,
            libc::PR_SET_PDEATHSIG,
            libc::SIGKILL,
            no_path,
            0,
            0,
        );
        // A parent that ended before that call sent no signal.
        if libc::syscall(libc::SYS_getppid) != libc::c_long::from(parent) {
            libc::_exit(1);
        }
        let outcome = libc::syscall(libc::SYS_flock, file, libc::LOCK_EX);
        libc::_exit(i32::from(outcome != 0))
    }
}

impl AsFd for Queued<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waiter.as_fd()
    }
}

impl Queued<'_> {
    /// Whether the lock is held now, once this is readable; waits for that.
    ///
    /// # Errors
    /// Those of waiting.
    pub fn is_held(mut self) -> io::Result<bool> {
        let end = self.waiter.wait()?;
        self.reaped = true;
        Ok(end == Exit::Code(0))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if !self.reaped {
            // A child that already ended is only to be reaped.
            let _ended = self.waiter.signal(libc::SIGKILL);
            let _code = self.waiter.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::lock::{Kind, try_lock, unlock};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_ready(queued: &Queued<'_>, seconds: i64) -> bool {
        let mut fds = [PollFd::new(queued, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&timeout)).unwrap() == 1
    }

    #[test]
    fn the_lock_comes_when_it_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let holder = File::create(&path).unwrap();
        let wanted = File::options().write(true).open(&path).unwrap();
        let third = File::options().write(true).open(&path).unwrap();
        assert!(try_lock(&holder, Kind::Exclusive).unwrap());
        let queued = queue(wanted.as_fd()).unwrap();
        assert!(!is_ready(&queued, 0));
        unlock(&holder).unwrap();
        assert!(is_ready(&queued, 60));
        assert!(queued.is_held().unwrap());
        assert!(!try_lock(&third, Kind::Exclusive).unwrap());
        drop(wanted);
        assert!(try_lock(&third, Kind::Exclusive).unwrap());
    }

    #[test]
    fn the_queue_can_be_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let holder = File::create(&path).unwrap();
        let wanted = File::options().write(true).open(&path).unwrap();
        assert!(try_lock(&holder, Kind::Exclusive).unwrap());
        let queued = queue(wanted.as_fd()).unwrap();
        drop(queued);
        drop(wanted);
        drop(holder);
        let third = File::options().write(true).open(&path).unwrap();
        assert!(try_lock(&third, Kind::Exclusive).unwrap());
    }
}
