//! Advisory locks on open files.
//!
//! `flock` locks belong to the open file description: they die with the last descriptor of it, so
//! that a killed process never leaves one behind.

pub mod folder;
mod queue;

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;

pub use queue::{Queued, queue};

/// How a file is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any number of holders at once.
    Shared,
    /// One holder.
    Exclusive,
}

/// Locks the file, waiting for other holders. The lock ends when the file is closed, or with
/// [`unlock`].
pub fn lock(file: impl AsFd, kind: Kind) -> io::Result<()> {
    let operation = match kind {
        Kind::Shared => FlockOperation::LockShared,
        Kind::Exclusive => FlockOperation::LockExclusive,
    };
    Ok(rustix::io::retry_on_intr(|| flock(&file, operation))?)
}

/// Locks the file if nobody is in the way; says whether it did.
pub fn try_lock(file: impl AsFd, kind: Kind) -> io::Result<bool> {
    let operation = match kind {
        Kind::Shared => FlockOperation::NonBlockingLockShared,
        Kind::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives a lock back.
pub fn unlock(file: impl AsFd) -> io::Result<()> {
    Ok(flock(file, FlockOperation::Unlock)?)
}

/// Takes an exclusive POSIX record lock on the whole file if nobody is in the way; says whether it
/// did. Unlike the others it belongs to the process, and works on file systems without `flock`.
pub fn try_lock_record(file: impl AsFd) -> io::Result<bool> {
    match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusive_excludes_and_shared_shares() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let first = std::fs::File::create(&path).expect("a file");
        let second = std::fs::File::open(&path).expect("a file");
        lock(&first, Kind::Shared).expect("free");
        assert!(try_lock(&second, Kind::Shared).expect("shared"));
        assert!(!try_lock(&second, Kind::Exclusive).expect("held"));
        drop(first);
        assert!(try_lock(&second, Kind::Exclusive).expect("alone"));
        unlock(&second).expect("held");
        let third = std::fs::File::create(&path).expect("a file");
        assert!(try_lock_record(&third).expect("free"));
    }
}
