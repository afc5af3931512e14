//! From one tree to another, with no archive in between.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use gantry_sys::path::{Directory, Entry};
use gantry_sys::xattr;
use rustix::fs::{FileType, OFlags};

use super::error::show;
use super::kernel::KernelFiles;
use super::make::{self, Look, Owner, Ownership};
use super::place::{Found, read_link};
use super::{CopyError, content, rules};

/// Directories held open at once, on both sides.
pub(super) const DEEPEST: usize = 400;
/// The one attribute Docker's archives carry.
const CAPABILITY: &str = "security.capability";
/// Permission bits a device node keeps where a container's may not be trusted with more.
const DEVICE_MODE: u32 = 0o600;

/// One side of a copy is a container; which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Out,
    In,
}

/// Bits by which a program runs as the owner or group of its file.
const POWERS: u32 = 0o6000;

/// Copies trees, and counts what Docker would have sent.
pub(super) struct TreeCopy<'a> {
    ownership: Ownership<'a>,
    direction: Direction,
    kernel: KernelFiles,
    /// Where the first name of a file with several is: directory below the top, and name.
    links: HashMap<(u64, u64), (OsString, OsString)>,
    progress: &'a mut dyn FnMut(u64),
}

struct Level {
    from: Directory,
    into: Directory,
    look: Look,
    path: Vec<u8>,
    rest: std::vec::IntoIter<Entry>,
}

impl<'a> TreeCopy<'a> {
    pub(super) fn new(
        direction: Direction,
        ownership: Ownership<'a>,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            ownership,
            direction,
            kernel: KernelFiles::default(),
            links: HashMap::new(),
            progress,
        }
    }

    /// Copies what was found, with all below it, as `name` in `parent`; `.` means `parent`
    /// itself.
    pub(super) fn run(
        &mut self,
        found: &Found,
        parent: &Directory,
        name: &OsStr,
    ) -> Result<(), CopyError> {
        if self.direction == Direction::In {
            self.check_destination(parent, name.as_bytes())?;
        }
        let Some(top) = self.one(found, parent, name, name.as_bytes(), None)? else {
            return Ok(());
        };
        let root = top
            .into
            .try_clone()
            .map_err(CopyError::entry("open", name.as_bytes()))?;
        let mut levels = vec![top];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.rest.next() else {
                if let Some(done) = levels.pop() {
                    finish(&done)?;
                }
                continue;
            };
            let path = [&level.path[..], b"/", entry.name.as_bytes()].concat();
            let opened = match level.from.open_entry(&entry.name, OFlags::PATH) {
                // Gone since the directory was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.and_then(Found::new),
            };
            let found = opened.map_err(CopyError::entry("open", &path))?;
            let next = self.one(&found, &level.into, &entry.name, &path, Some(&root))?;
            if let Some(next) = next {
                if levels.len() >= DEEPEST {
                    return Err(CopyError::TooDeep {
                        path: show(&path),
                        limit: DEEPEST,
                    });
                }
                levels.push(next);
            }
        }
        Ok(())
    }

    fn check_destination(&mut self, directory: &Directory, path: &[u8]) -> Result<(), CopyError> {
        let failed = || CopyError::entry("look at", path);
        let file = directory.as_fd().try_clone_to_owned().map_err(failed())?;
        let found = Found::new(file).map_err(failed())?;
        if self.kernel.holds(&found).map_err(failed())? {
            return Err(CopyError::KernelFiles { path: show(path) });
        }
        Ok(())
    }

    /// Whether files of the container become the caller's: what a program may do there as
    /// another user is no reason that it may do it here as this one.
    fn is_disowned(&self) -> bool {
        self.direction == Direction::Out && self.ownership.owner == Owner::Caller
    }

    /// Copies one entry; gives a directory back to be filled.
    fn one(
        &mut self,
        found: &Found,
        parent: &Directory,
        name: &OsStr,
        path: &[u8],
        root: Option<&Directory>,
    ) -> Result<Option<Level>, CopyError> {
        let mut look = Look::of(&found.status, self.ownership);
        let kind = found.kind();
        if kind != FileType::Directory && self.is_disowned() {
            look.mode &= !POWERS;
        }
        if kind == FileType::Directory {
            (self.progress)(rules::archived_size(0));
            return self.directory(found, parent, name, path, look).map(Some);
        }
        if self.direction == Direction::Out
            && self
                .kernel
                .holds(found)
                .map_err(CopyError::entry("look at", path))?
        {
            return Ok(None);
        }
        if let (Some(root), true) = (root, found.status.st_nlink > 1)
            && self.linked(found, parent, name, path, root)?
        {
            (self.progress)(rules::archived_size(0));
            return Ok(None);
        }
        match kind {
            FileType::RegularFile => self.regular(found, parent, name, path, look)?,
            FileType::Symlink => {
                let target = read_link(found).map_err(CopyError::entry("read the link", path))?;
                make::clear(parent, name, path)?;
                parent
                    .make_symlink(&target, name)
                    .and_then(|()| look.apply_to(parent, name, true))
                    .map_err(CopyError::entry("make", path))?;
            }
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                self.node(found, parent, name, path, look)?;
            }
            // A socket means nothing without its process; no archive can have it, either.
            _ => return Ok(None),
        }
        if kind != FileType::RegularFile {
            (self.progress)(rules::archived_size(0));
        }
        Ok(None)
    }

    fn directory(
        &mut self,
        found: &Found,
        parent: &Directory,
        name: &OsStr,
        path: &[u8],
        look: Look,
    ) -> Result<Level, CopyError> {
        let from = make::listed(&found.file).map_err(CopyError::entry("open", path))?;
        // Nothing of the kernel's is a file of the container.
        let hidden = self.direction == Direction::Out
            && self
                .kernel
                .holds(found)
                .map_err(CopyError::entry("look at", path))?;
        // Listed before the copy is made, which may lie inside.
        let mut rest = match hidden {
            true => Vec::new(),
            false => from.entries().map_err(CopyError::entry("list", path))?,
        };
        let into = make::directory(parent, name, path)?;
        if self.direction == Direction::In {
            self.check_destination(&into, path)?;
        }
        rest.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Level {
            from,
            into,
            look,
            path: path.to_vec(),
            rest: rest.into_iter(),
        })
    }

    fn regular(
        &mut self,
        found: &Found,
        parent: &Directory,
        name: &OsStr,
        path: &[u8],
        look: Look,
    ) -> Result<(), CopyError> {
        let from = content::open(found).map_err(CopyError::entry("open", path))?;
        let into = make::file(parent, name, path)?;
        let size = found.status.st_size.unsigned_abs();
        let padding = rules::archived_size(size) - size;
        (self.progress)(padding);
        content::copy(&from, &into, &found.status, self.progress)
            .map_err(CopyError::entry("copy", path))?;
        let dressed = look.apply(&into);
        let dressed = match self.is_disowned() {
            true => dressed,
            false => dressed.and_then(|()| capabilities(&from, &into)),
        };
        dressed.map_err(CopyError::entry("set the attributes of", path))
    }

    fn node(
        &mut self,
        found: &Found,
        parent: &Directory,
        name: &OsStr,
        path: &[u8],
        mut look: Look,
    ) -> Result<(), CopyError> {
        let kind = found.kind();
        if kind != FileType::Fifo && self.direction == Direction::Out {
            // The container's own cgroup keeps it from using the device; here nothing would
            // keep everybody from it.
            look.mode &= DEVICE_MODE;
        }
        make::clear(parent, name, path)?;
        parent
            .make_node(name, kind, look.mode & 0o600, found.status.st_rdev)
            .and_then(|()| look.apply_to(parent, name, false))
            .map_err(CopyError::entry("make", path))
    }

    /// Makes a further name of a file that was copied already; false where it has to be
    /// copied.
    fn linked(
        &mut self,
        found: &Found,
        parent: &Directory,
        name: &OsStr,
        path: &[u8],
        root: &Directory,
    ) -> Result<bool, CopyError> {
        let inode = (found.status.st_dev, found.status.st_ino);
        let Some((folder, first)) = self.links.get(&inode) else {
            // Below the top, whose own name comes first.
            let below = path.splitn(2, |byte| *byte == b'/').nth(1).unwrap_or(b"");
            let (folder, first) = match below.iter().rposition(|byte| *byte == b'/') {
                Some(at) => (&below[..at], &below[at + 1..]),
                None => (&below[..0], below),
            };
            let place = (
                OsStr::from_bytes(folder).to_owned(),
                OsStr::from_bytes(first).to_owned(),
            );
            self.links.insert(inode, place);
            return Ok(false);
        };
        // Whoever changes the destination meanwhile gets a copy instead.
        let Ok(folder) = root.directory_beneath(folder) else {
            return Ok(false);
        };
        make::clear(parent, name, path)?;
        Ok(parent.make_link(&folder, first, name).is_ok())
    }
}

fn finish(level: &Level) -> Result<(), CopyError> {
    level
        .look
        .apply(&level.into)
        .map_err(CopyError::entry("set the attributes of", &level.path))
}

/// File capabilities, where there are some and the destination can have them.
fn capabilities(from: impl AsFd, into: impl AsFd) -> std::io::Result<()> {
    let name = OsStr::new(CAPABILITY);
    let Some(value) = xattr::value(from, name)? else {
        return Ok(());
    };
    match xattr::set(into, name, &value) {
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::Unsupported | std::io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}
