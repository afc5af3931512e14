//! Making entries in a directory that others may be changing at this moment. Every call takes
//! one name in a directory held open, and follows no link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use gantry_model::userns::IdRanges;
use gantry_sys::path::Directory;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, StatxFlags, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

use super::CopyError;
use super::error::show;
use super::place::Found;

/// Who the copies belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Whoever copies.
    Caller,
    /// The owner of the source, by number.
    Source,
    /// This user and group.
    Of(u32, u32),
}

/// Who the copies belong to on the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ownership<'a> {
    /// In the words of the container.
    pub(super) owner: Owner,
    /// The container's users, where what is copied to shows them by the host's numbers.
    pub(super) users: Option<&'a IdRanges>,
}

impl Ownership<'_> {
    /// Whoever copies.
    pub(super) const CALLER: Ownership<'static> = Ownership {
        owner: Owner::Caller,
        users: None,
    };

    /// Of a source that belongs to this user and group. What belongs to nobody whom the container
    /// has becomes its root's.
    pub(super) fn of(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        let (uid, gid) = match self.owner {
            Owner::Caller => return None,
            Owner::Source => (uid, gid),
            Owner::Of(uid, gid) => (uid, gid),
        };
        match self.users {
            None => Some((uid, gid)),
            Some(users) => users.outside(uid, gid).or_else(|| users.outside(0, 0)),
        }
    }
}

/// What an entry is to look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) mode: u32,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) modified: Timespec,
}

impl Look {
    /// As the source looks.
    pub(super) fn of(status: &Stat, ownership: Ownership<'_>) -> Self {
        Self {
            mode: status.st_mode & 0o7777,
            owner: ownership.of(status.st_uid, status.st_gid),
            modified: Timespec {
                tv_sec: status.st_mtime,
                tv_nsec: i64::try_from(status.st_mtime_nsec).unwrap_or(0),
            },
        }
    }

    fn timestamps(&self) -> Timestamps {
        Timestamps {
            last_access: self.modified,
            last_modification: self.modified,
        }
    }

    /// Dresses an open file or directory: the owner first, whose change clears other bits.
    pub(super) fn apply(&self, file: impl std::os::fd::AsFd) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(self.mode))?;
        Ok(rustix::fs::futimens(&file, &self.timestamps())?)
    }

    /// Dresses an entry that cannot be opened.
    pub(super) fn apply_to(&self, parent: &Directory, name: &OsStr, link: bool) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            parent.set_owner(name, uid, gid)?;
        }
        if !link {
            parent.set_mode(name, self.mode)?;
        }
        parent.set_times(name, self.modified, self.modified)
    }
}

/// The directory `name`, made unless it is there. What is there and is none is not replaced.
pub(super) fn directory(
    parent: &Directory,
    name: &OsStr,
    path: &[u8],
) -> Result<Directory, CopyError> {
    if name == "." {
        return parent
            .directory_beneath(name)
            .map_err(CopyError::entry("open", path));
    }
    match parent.make_directory(name, 0o700) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let status = parent
                .status_of(name)
                .map_err(CopyError::entry("look at", path))?;
            if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
                return Err(CopyError::OverNonDirectory { path: show(path) });
            }
        }
        Err(error) => return Err(CopyError::entry("make", path)(error)),
    }
    parent
        .directory_beneath(name)
        .map_err(CopyError::entry("open", path))
}

/// Takes away what is there, unless it is a directory, or something is mounted on it: seen from
/// here the kernel would let go of a mount in the container's namespace.
pub(super) fn clear(parent: &Directory, name: &OsStr, path: &[u8]) -> Result<(), CopyError> {
    let found = match parent.open_entry(name, OFlags::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.and_then(Found::new),
    }
    .map_err(CopyError::entry("look at", path))?;
    if found.is_directory() {
        return Err(CopyError::OverDirectory { path: show(path) });
    }
    if mount_of(&found.file)
        .and_then(|own| Ok(own != mount_of(parent)?))
        .map_err(CopyError::entry("look at", path))?
    {
        return Err(CopyError::entry("replace", path)(Errno::BUSY.into()));
    }
    match parent.remove_entry(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(CopyError::entry("replace", path)),
    }
}

/// The number of the mount that something was opened through.
fn mount_of(file: impl std::os::fd::AsFd) -> io::Result<u64> {
    let status = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(status.stx_mnt_id)
}

/// A new empty file.
pub(super) fn file(parent: &Directory, name: &OsStr, path: &[u8]) -> Result<File, CopyError> {
    clear(parent, name, path)?;
    parent
        .create_file(name, 0o600)
        .map(File::from)
        .map_err(CopyError::entry("make", path))
}

/// Whether something new can be made in this directory at all.
pub(super) fn is_read_only(directory: &Directory) -> io::Result<bool> {
    let status = rustix::fs::fstatvfs(directory)?;
    Ok(status
        .f_flag
        .contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// A directory opened for listing.
pub(super) fn listed(file: &std::os::fd::OwnedFd) -> io::Result<Directory> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(file, c".", flags, Mode::empty())?.into())
}
