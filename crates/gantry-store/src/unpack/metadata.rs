//! Owners, modes, attributes and times.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    self, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::directories::{Known, Parent, Spot};
use super::unpacker::Unpacker;
use super::{OverlayNames, Owners, RootListing, UnpackError};
use crate::tar::{Entry, Timestamp, Xattr};
use crate::tree;

/// What an entry says of a file beside its content.
#[derive(Debug, Clone, Default)]
pub(super) struct Metadata {
    mode: u32,
    owner: Option<(u32, u32)>,
    mtime: Timestamp,
    xattrs: Vec<Xattr>,
}

/// Where attributes are set: an open file, or a name in a directory (which may be a link).
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    File(BorrowedFd<'a>),
    Name(&'a Parent, &'a [u8]),
}

impl Unpacker<'_> {
    pub(super) fn metadata_of(&self, entry: &mut Entry) -> Metadata {
        let owner = match self.options.owners {
            Owners::Archived => Some((entry.uid, entry.gid)),
            Owners::Fixed(uid, gid) => Some((uid, gid)),
            Owners::Caller => None,
        };
        Metadata {
            mode: entry.mode,
            owner: owner.filter(|owner| *owner != self.caller),
            mtime: entry.mtime,
            xattrs: std::mem::take(&mut entry.xattrs),
        }
    }

    /// Sets everything on a regular file that was just made with `made_with` as its mode.
    pub(super) fn finish_file(
        &mut self,
        file: BorrowedFd<'_>,
        metadata: &Metadata,
        made_with: u32,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        self.set_open(file, metadata, made_with, path)?;
        fs::futimens(file, &timestamps(metadata.mtime))
            .map_err(|errno| UnpackError::entry("set the time of", path, errno))
    }

    /// Owner, attributes, mode: in this order, because changing the owner takes setuid bits and
    /// capabilities away.
    fn set_open(
        &mut self,
        file: BorrowedFd<'_>,
        metadata: &Metadata,
        made_with: u32,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        if let Some((uid, gid)) = metadata.owner {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            self.owned(fs::fchown(file, uid, gid), path)?;
        }
        self.set_xattrs(Place::File(file), &metadata.xattrs, path)?;
        // An access control list may have changed the group's bits.
        if metadata.mode != made_with || !metadata.xattrs.is_empty() {
            fs::fchmod(file, Mode::from_raw_mode(metadata.mode))
                .map_err(|errno| UnpackError::entry("set the mode of", path, errno))?;
        }
        Ok(())
    }

    /// An owner that this user namespace does not have stays with the layer's recipe; here the
    /// file is the caller's.
    fn owned(&mut self, changed: Result<(), Errno>, path: &[u8]) -> Result<(), UnpackError> {
        match changed {
            Err(Errno::INVAL) => {
                self.unpacked.incomplete = true;
                self.unpacked.foreign_owners += 1;
                Ok(())
            }
            other => other.map_err(|errno| UnpackError::entry("set the owner of", path, errno)),
        }
    }

    /// Sets everything on a link, device or FIFO.
    pub(super) fn finish_node(
        &mut self,
        spot: &Spot<'_>,
        metadata: &Metadata,
        is_link: bool,
    ) -> Result<(), UnpackError> {
        let (parent, name, path) = (&spot.parent, spot.name, spot.path);
        if let Some((uid, gid)) = metadata.owner {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            let changed = fs::chownat(parent.fd(), name, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
            self.owned(changed, path)?;
        }
        self.set_xattrs(Place::Name(parent, name), &metadata.xattrs, path)?;
        if !is_link {
            // Not a link: this very call made it a moment ago, in a directory of ours.
            fs::chmodat(
                parent.fd(),
                name,
                Mode::from_raw_mode(metadata.mode),
                AtFlags::empty(),
            )
            .map_err(|errno| UnpackError::entry("set the mode of", path, errno))?;
        }
        fs::utimensat(
            parent.fd(),
            name,
            &timestamps(metadata.mtime),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(|errno| UnpackError::entry("set the time of", path, errno))
    }

    fn set_xattrs(
        &mut self,
        place: Place<'_>,
        xattrs: &[Xattr],
        path: &[u8],
    ) -> Result<(), UnpackError> {
        for (name, value) in xattrs {
            let name = match self.options.whiteouts {
                Some(overlay) => escape(name, overlay),
                None => name.clone(),
            };
            let result = match place {
                Place::File(file) => fs::fsetxattr(file, &name[..], value, XattrFlags::empty()),
                Place::Name(parent, file) => {
                    let file = [
                        format!("/proc/self/fd/{}/", parent.fd().as_raw_fd()).as_bytes(),
                        file,
                    ]
                    .concat();
                    fs::lsetxattr(&file[..], &name[..], value, XattrFlags::empty())
                }
            };
            match result {
                Ok(()) => {}
                // The file system or the kernel has no such attributes, or this user may not set
                // them: as Docker, go on without; the layer's recipe still has them.
                Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => self.unpacked.incomplete = true,
                Err(errno) => return Err(UnpackError::entry("set an attribute of", path, errno)),
            }
        }
        Ok(())
    }

    /// Sets what the archive says of its directories; nothing is made in them any more.
    pub(super) fn finish_directories(&mut self) -> Result<(), UnpackError> {
        let mut known: Vec<(Vec<u8>, Known)> = self.directories.known.drain().collect();
        // What lies deeper first: a directory may take away the right to enter it.
        known.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        for (path, directory) in known {
            self.finish_directory(&path, directory)?;
        }
        self.unpacked.implied.sort_unstable();
        Ok(())
    }

    fn finish_directory(&mut self, path: &[u8], known: Known) -> Result<(), UnpackError> {
        let overlay = self.options.whiteouts;
        if path.is_empty() && overlay.is_some() {
            self.unpacked.root = match &known.metadata {
                None => RootListing::Implied,
                Some(m) if m.mode == 0o755 && m.xattrs.is_empty() && is_root(m.owner) => {
                    RootListing::Plain
                }
                Some(_) => RootListing::Special,
            };
        }
        let listed = known.metadata.is_some();
        if !listed && !known.existed {
            self.unpacked.implied.push(path.to_vec());
        }
        if !listed && known.existed && !known.opaque && overlay.is_none() {
            return Ok(());
        }
        let metadata = known.metadata.unwrap_or(Metadata {
            mode: 0o755,
            ..Metadata::default()
        });
        let failed = |errno| UnpackError::entry("open the directory", path, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let handle = tree::open_beneath(self.directories.root(), path, flags).map_err(failed)?;
        let made_with = if known.existed {
            u32::MAX
        } else {
            known.made_with
        };
        self.set_open(handle.as_fd(), &metadata, made_with, path)?;
        if let (true, Some(overlay)) = (known.opaque, overlay) {
            let name = [overlay.prefix(), b"opaque"].concat();
            fs::fsetxattr(&handle, &name[..], b"y", XattrFlags::empty())
                .map_err(|errno| UnpackError::entry("make opaque", path, errno))?;
        }
        if listed || overlay.is_some() {
            fs::futimens(&handle, &timestamps(metadata.mtime))
                .map_err(|errno| UnpackError::entry("set the time of", path, errno))?;
        }
        Ok(())
    }
}

fn is_root(owner: Option<(u32, u32)>) -> bool {
    // `None` is the caller, who is root where owners are set at all.
    matches!(owner, None | Some((0, 0)))
}

/// The name under which overlayfs shows an attribute of its own prefix to a container.
fn escape(name: &[u8], overlay: OverlayNames) -> Vec<u8> {
    match name.strip_prefix(overlay.prefix()) {
        Some(rest) => [overlay.prefix(), b"overlay.", rest].concat(),
        None => name.to_vec(),
    }
}

pub(crate) fn timestamps(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: i64::from(mtime.nanoseconds),
        },
    }
}
