//! Mounts, by the mount API that works on descriptors: a file system or a copy of a tree is made
//! detached, gets its attributes, and is then attached to a place that is itself an open
//! descriptor, so that no path is looked up twice.

mod attributes;
mod context;
mod overlay;
mod program;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};

use crate::path::Directory;

pub use attributes::{Attributes, Change, Propagation};
pub use context::FsContext;
pub use overlay::{MOST_LOWERS, Overlay};

/// A mount operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}{}", Log(log))]
pub struct MountError {
    /// What was being done.
    pub action: &'static str,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
    /// What the kernel logged about it, if anything.
    pub log: Vec<String>,
}

impl MountError {
    fn new(action: &'static str, source: impl Into<io::Error>) -> MountError {
        MountError {
            action,
            source: source.into(),
            log: Vec::new(),
        }
    }

    /// The errno of the kernel.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(libc::EIO)
    }
}

struct Log<'a>(&'a [String]);

impl std::fmt::Display for Log<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.0.join("; "))
    }
}

/// A mount, held by a descriptor: detached until it is attached somewhere, and gone with its last
/// descriptor if it never is.
#[derive(Debug)]
pub struct Mount(OwnedFd);

impl AsFd for Mount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A mount that was received from another process.
impl From<OwnedFd> for Mount {
    fn from(fd: OwnedFd) -> Mount {
        Mount(fd)
    }
}

impl From<Mount> for OwnedFd {
    fn from(mount: Mount) -> OwnedFd {
        mount.0
    }
}

/// What is mounted, from its root.
impl From<Mount> for Directory {
    fn from(mount: Mount) -> Directory {
        Directory::from(mount.0)
    }
}

impl Mount {
    /// A detached copy of the mount at `path` of the host, with the mounts below it if `recursive`.
    pub fn copy_of(path: &Path, recursive: bool) -> Result<Mount, MountError> {
        Mount::copy(CWD, path.as_os_str(), recursive)
    }

    /// A detached copy of the mount of an open file or directory, rooted in it.
    pub fn copy_of_fd(file: impl AsFd, recursive: bool) -> Result<Mount, MountError> {
        Mount::copy(file.as_fd(), OsStr::new(""), recursive)
    }

    fn copy(from: BorrowedFd<'_>, path: &OsStr, recursive: bool) -> Result<Mount, MountError> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_NO_AUTOMOUNT;
        flags.set(OpenTreeFlags::AT_EMPTY_PATH, path.is_empty());
        flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
        rustix::mount::open_tree(from, path, flags)
            .map(Mount)
            .map_err(|errno| MountError::new("copy the mount", errno))
    }

    /// A second descriptor of the same mount.
    pub fn try_clone(&self) -> Result<Mount, MountError> {
        self.0
            .try_clone()
            .map(Mount)
            .map_err(|error| MountError::new("keep the mount", error))
    }

    /// Attaches it on an open file or directory.
    pub fn attach(&self, target: impl AsFd) -> Result<(), MountError> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(&self.0, "", target, "", flags)
            .map_err(|errno| MountError::new("attach the mount", errno))
    }

    /// Changes its attributes, with those of the mounts below it if `recursive`.
    pub fn change(&self, change: &Change<'_>, recursive: bool) -> Result<(), MountError> {
        attributes::apply(self.0.as_fd(), change, recursive)
    }
}

/// Changes the attributes of the mount that an open directory is the root of.
pub fn change(root: impl AsFd, change: &Change<'_>, recursive: bool) -> Result<(), MountError> {
    attributes::apply(root.as_fd(), change, recursive)
}

/// Sets how mount events spread between this namespace's whole tree and others.
pub fn change_everything(propagation: Propagation) -> Result<(), MountError> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, rustix::fs::Mode::empty())
        .map_err(|errno| MountError::new("open the root", errno))?;
    let change = Change {
        propagation: Some(propagation),
        ..Change::default()
    };
    attributes::apply(root.as_fd(), &change, true)
}

/// Takes the mount at `path` out of the namespace at once; it ends when nobody uses it any more.
pub fn detach(path: &Path) -> Result<(), MountError> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|errno| MountError::new("detach the mount", errno))
}

/// Takes the mount of an open directory out of the namespace at once.
pub fn detach_fd(mount: impl AsFd) -> Result<(), MountError> {
    let path = format!("/proc/self/fd/{}", mount.as_fd().as_raw_fd());
    rustix::mount::unmount(path, UnmountFlags::DETACH)
        .map_err(|errno| MountError::new("detach the mount", errno))
}

/// Makes an attached mount the root of this mount namespace and detaches the old root with
/// everything below it. The working directory is the new root afterwards.
pub fn pivot_root(new_root: impl AsFd) -> Result<(), MountError> {
    let failed = |errno| MountError::new("change the root", errno);
    rustix::process::fchdir(&new_root).map_err(failed)?;
    // The old root comes to lie on top of the new one (pivot_root(2), "pivot_root(".", ".")").
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    // What happens to the old root must not spread to the host.
    let slave = rustix::mount::MountPropagationFlags::DOWNSTREAM
        | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change(".", slave).map_err(failed)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}

/// Moves an attached mount over the root of this mount namespace and makes it the root: for a root
/// that cannot be exchanged, such as an initial RAM disk. What else was mounted is detached as far
/// as possible before, since it stays below. The working directory is the new root afterwards.
pub fn move_to_root(new_root: impl AsFd) -> Result<(), MountError> {
    let failed = |errno| MountError::new("move to the root", errno);
    rustix::process::fchdir(&new_root).map_err(failed)?;
    let here = rustix::process::getcwd(Vec::new()).map_err(failed)?;
    let here = Path::new(OsStr::from_bytes(here.as_bytes()));
    let table = crate::system::mounts()
        .map_err(|source| MountError::new("read the mount table", source))?;
    for mount in table.iter().rev() {
        let other = !mount.mount_point.starts_with(here) && !here.starts_with(&mount.mount_point);
        if other {
            // One that another hides cannot be reached, from here or from the container.
            detach(&mount.mount_point).ok();
        }
    }
    rustix::mount::mount_move(".", "/").map_err(failed)?;
    rustix::process::chroot(".").map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}

#[cfg(test)]
mod tests;
