//! Owners and modes of what a layer holds, and how messages call it.

use std::ffi::OsStr;
use std::io;

use gantry_sys::path::Directory;
use rustix::fs::Timespec;

use crate::tree::Facts;

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

pub(crate) fn timespec((seconds, nanoseconds): (i64, u32)) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: i64::from(nanoseconds),
    }
}

/// A path of the image, absolute, as messages show it.
pub(crate) fn absolute(path: &OsStr) -> String {
    format!("/{}", path.to_string_lossy())
}
