//! Owners, modes and times of what a layer holds, and how a copy changes them.

use std::io;

use gantry_dockerfile::mode::Mode;
use gantry_sys::path::Directory;
use rustix::fs::{FileType, Timespec};

use crate::tree::{Entry, Facts};

/// Seconds since 1970 and nanoseconds.
pub(crate) type Time = (i64, u32);

/// Owner and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl From<&Facts> for Permissions {
    fn from(facts: &Facts) -> Self {
        Self {
            mode: facts.mode,
            uid: facts.uid,
            gid: facts.gid,
        }
    }
}

impl Permissions {
    /// Those of a directory.
    pub(crate) fn of(directory: &Directory) -> io::Result<Self> {
        Ok(Self::from(&Facts::new(&directory.status()?)))
    }

    /// Those that the root directory of a layer over `lower` has.
    pub(crate) fn of_root(lower: Option<&Directory>) -> io::Result<Self> {
        let nothing = Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        lower.map_or(Ok(nothing), Self::of)
    }

    /// Sets those of a directory. Owner first: changing it takes special bits away.
    pub(crate) fn apply(&self, directory: &Directory) -> io::Result<()> {
        use rustix::fs::{Gid, Mode, Uid};
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::fs::fchown(directory, Some(uid), Some(gid))?;
        rustix::fs::fchmod(directory, Mode::from_raw_mode(self.mode))?;
        Ok(())
    }
}

/// A time as the kernel takes it.
pub(crate) fn timespec((seconds, nanoseconds): Time) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: i64::from(nanoseconds),
    }
}

/// How what is copied is changed on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// `--chown`.
    pub(crate) owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub(crate) mode: Option<Mode>,
    /// Whether the tree's owners mean something.
    pub(crate) keep_owners: bool,
    /// `--parents`.
    pub(crate) parents: bool,
}

impl Change {
    /// Nothing is changed, and files belong to root.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self {
        owner: None,
        mode: None,
        keep_owners: false,
        parents: false,
    };

    /// The permissions of a copy.
    pub(crate) fn permissions(&self, entry: &Entry) -> Permissions {
        let kept = if self.keep_owners {
            (entry.stat.uid, entry.stat.gid)
        } else {
            (0, 0)
        };
        let (uid, gid) = self.owner.unwrap_or(kept);
        let is_directory = entry.kind == FileType::Directory;
        let mode = match &self.mode {
            Some(mode) if entry.kind != FileType::Symlink => {
                mode.apply(entry.stat.mode, is_directory)
            }
            _ => entry.stat.mode,
        };
        Permissions { mode, uid, gid }
    }

    /// The permissions of a directory that is made on the way.
    pub(crate) fn made(&self) -> Permissions {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let mode = self
            .mode
            .as_ref()
            .map_or(0o755, |mode| mode.apply(0o755, true));
        Permissions { mode, uid, gid }
    }
}
