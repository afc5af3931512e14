//! What the machine ran out of, told from an error: whichever operation met it, the person can
//! do the same about it.

use std::error::Error;

/// A resource that a system call did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// `EMFILE`: open files of this process.
    OpenFiles,
    /// `ENFILE`: open files of the machine.
    OpenFilesOfAll,
    /// `ENOSPC`: blocks or inodes of a file system.
    Disk,
    /// `EDQUOT`: what a user may have of a file system.
    Quota,
    /// `ENOMEM`.
    Memory,
    /// `EAGAIN` where a process or thread was to be started.
    Processes,
    /// `EROFS`: a file system that takes nothing.
    ReadOnly,
}

impl Shortage {
    /// What this error, or one below it, says is short.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let code = error
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::raw_os_error);
            if let Some(found) = told(code, &error.to_string()) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::OpenFiles => {
                "too few files may be open at once: raise the limit (ulimit -n 4096) and try again"
            }
            Self::OpenFilesOfAll => {
                "too few files may be open on this machine: raise it (sysctl fs.file-max)"
            }
            Self::Disk => {
                "the file system is full (df -h and df -i say of what): see what Gantry takes with gantry system df, free it with gantry builder prune or gantry system prune, or choose another place with --root"
            }
            Self::Quota => {
                "the quota of this file system is used up: free some of it, or choose another place with --root"
            }
            Self::Memory => {
                "the machine, or the cgroup this runs in, is out of memory: free some and try again"
            }
            Self::Processes => {
                "no further process may be started: raise the limit (ulimit -u, or pids.max of the cgroup this runs in)"
            }
            Self::ReadOnly => {
                "the file system is mounted read-only: choose another place with --root and --run-root"
            }
        }
    }
}

/// By the number of the system's error, or by its text where only that has come through.
fn told(code: Option<i32>, text: &str) -> Option<Shortage> {
    let number = text
        .rsplit_once("(os error ")
        .and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    let text = text.to_ascii_lowercase();
    let says = |words: &str| text.contains(words);
    match code.or(number) {
        Some(24) => Some(Shortage::OpenFiles),
        Some(23) => Some(Shortage::OpenFilesOfAll),
        Some(28) => Some(Shortage::Disk),
        Some(122) => Some(Shortage::Quota),
        Some(12) => Some(Shortage::Memory),
        Some(30) => Some(Shortage::ReadOnly),
        Some(11)
            if ["start", "clone", "fork", "spawn", "thread"]
                .into_iter()
                .any(says) =>
        {
            Some(Shortage::Processes)
        }
        Some(_) => None,
        None if says("too many open files in system") => Some(Shortage::OpenFilesOfAll),
        None if says("too many open files") => Some(Shortage::OpenFiles),
        None if says("no space left on device") || says("disk is full") => Some(Shortage::Disk),
        None if says("disk quota exceeded") => Some(Shortage::Quota),
        None if says("cannot allocate memory") => Some(Shortage::Memory),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_by_number_or_words() {
        for (code, text, want) in [
            (Some(24), "x", Some(Shortage::OpenFiles)),
            (
                None,
                "cannot make a pipe: Too many open files (os error 24)",
                Some(Shortage::OpenFiles),
            ),
            (
                None,
                "cannot write: no space left on device",
                Some(Shortage::Disk),
            ),
            (None, "database or disk is full", Some(Shortage::Disk)),
            (Some(11), "cannot start a thread", Some(Shortage::Processes)),
            (Some(11), "cannot read", None),
            (Some(2), "no space left on device", None),
            (None, "no such file", None),
        ] {
            assert_eq!(told(code, text), want, "{code:?} {text}");
        }
    }

    #[test]
    fn it_is_found_below_what_it_broke() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot pull")]
        struct Outer(#[source] std::io::Error);
        let outer = Outer(std::io::Error::from_raw_os_error(28));
        assert_eq!(Shortage::of(&outer), Some(Shortage::Disk));
        assert!(Shortage::Disk.hint().contains("gantry system prune"));
    }
}
