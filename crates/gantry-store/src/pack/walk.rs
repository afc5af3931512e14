//! Walking a tree in order.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{self, Attributes, Place, is_programs_mark};
use super::error::PackError;
use super::{GoesOn, Options, Packed, Sink, sparse};
use crate::tar::{Entry, EntryKind, Fragment, Timestamp, Writer};
use crate::tree::{self, DirectoryEntry};
use crate::unpack::{OverlayNames, timestamps};

/// As deep as an unpacked layer may be, and well below the number of files one may open.
const MAX_DEPTH: usize = 600;
const BUFFER: usize = 256 << 10;

struct Level {
    directory: OwnedFd,
    path: Vec<u8>,
    entries: std::vec::IntoIter<DirectoryEntry>,
}

struct Walk<'a, S> {
    writer: &'a mut Writer<S>,
    options: Options<'a>,
    /// The first path of every file with several names.
    linked: HashMap<(u64, u64), Vec<u8>>,
    packed: Packed,
    buffer: Vec<u8>,
    goes_on: &'a GoesOn<'a>,
}

pub(super) fn walk<'a, S: Sink>(
    root: BorrowedFd<'_>,
    writer: &'a mut Writer<S>,
    options: Options<'a>,
    goes_on: &'a GoesOn<'a>,
) -> Result<Packed, PackError> {
    let mut walk = Walk {
        writer,
        options,
        linked: HashMap::new(),
        packed: Packed::default(),
        buffer: vec![0; BUFFER],
        goes_on,
    };
    let top = tree::open_directory(root, ".").map_err(|e| PackError::entry("open", b".", e))?;
    let status = fs::fstat(&top).map_err(|e| PackError::entry("look at", b".", e))?;
    let status = walk.owned(status);
    let programs = walk.directory_entry(&top, &status, b"")?;
    let mut levels = vec![level(top, Vec::new(), programs)?];
    while let Some(here) = levels.last_mut() {
        let Some(entry) = here.entries.next() else {
            levels.pop();
            continue;
        };
        let path = tree::join(&here.path, entry.name.as_bytes());
        if let Some((directory, programs)) = walk.entry(&here.directory, &entry.name, &path)? {
            check_depth(&path)?;
            levels.push(level(directory, path, programs)?);
        }
    }
    Ok(walk.packed)
}

/// `programs`: files by which fuse-overlayfs marks the directory are none of its entries.
fn level(directory: OwnedFd, path: Vec<u8>, programs: bool) -> Result<Level, PackError> {
    let mut entries =
        tree::sorted_entries(&directory).map_err(|e| PackError::entry("list", &path, e))?;
    entries.retain(|entry| !(programs && is_programs_mark(entry.name.as_bytes())));
    Ok(Level {
        directory,
        path,
        entries: entries.into_iter(),
    })
}

/// Refuses names that mean something else in a layer.
pub(crate) fn check_name(path: &[u8], name: &[u8]) -> Result<(), PackError> {
    if name.starts_with(b".wh.") {
        return Err(PackError::ReservedName { path: show(path) });
    }
    Ok(())
}

/// Refuses directories that are deeper than anybody would unpack again.
pub(crate) fn check_depth(path: &[u8]) -> Result<(), PackError> {
    // Short paths, which nearly all are, cannot be deep.
    let is_long = path.len() + 1 >= 2 * MAX_DEPTH;
    if is_long && path.iter().filter(|b| **b == b'/').count() + 1 >= MAX_DEPTH {
        return Err(PackError::TooDeep {
            path: show(path),
            limit: MAX_DEPTH,
        });
    }
    Ok(())
}

/// What fuse-overlayfs marked opaque becomes so for the kernel.
fn mark_for_kernel(directory: &OwnedFd, names: OverlayNames) -> rustix::io::Result<()> {
    let name = [names.prefix(), b"opaque"].concat();
    fs::fsetxattr(directory, &name[..], b"y", fs::XattrFlags::empty())?;
    for mark in tree::sorted_entries(directory)? {
        if is_programs_mark(mark.name.as_bytes()) {
            remove_traceless(directory, &mark.name)?;
        }
    }
    Ok(())
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl<S: Sink> Walk<'_, S> {
    /// With the owners that the archive is to have.
    fn owned(&self, mut status: Stat) -> Stat {
        if let Some(owners) = self.options.owners {
            (status.st_uid, status.st_gid) = owners.inside(status.st_uid, status.st_gid);
        }
        status
    }

    /// Writes one entry; gives a directory back to be walked.
    fn entry(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: &[u8],
    ) -> Result<Option<(OwnedFd, bool)>, PackError> {
        (self.goes_on)().map_err(|source| PackError::entry("pack", path, source))?;
        let failed = |action, errno: Errno| PackError::entry(action, path, errno);
        let status = match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None), // gone since the directory was listed
            result => self.owned(result.map_err(|errno| failed("look at", errno))?),
        };
        if self.options.overlay.is_some() {
            check_name(path, name.to_bytes())?;
            if crate::unpack::is_whiteout(&status) {
                self.marker(
                    tree::split_last(path).0,
                    &[b".wh.", name.to_bytes()].concat(),
                )?;
                return Ok(None);
            }
        }
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                let directory =
                    tree::open_directory(parent, name).map_err(|errno| failed("open", errno))?;
                let programs = self.directory_entry(&directory, &status, path)?;
                return Ok(Some((directory, programs)));
            }
            FileType::Socket => {
                // No archive can have it, and it means nothing without its process.
                if self.options.normalise {
                    remove_traceless(parent, name).map_err(|errno| failed("remove", errno))?;
                }
                return Ok(None);
            }
            _ => {}
        }
        self.packed.files += 1;
        self.packed.disk_usage += status.st_blocks.unsigned_abs() * 512;
        if status.st_nlink > 1 {
            let inode = (status.st_dev, status.st_ino);
            if let Some(first) = self.linked.get(&inode) {
                let mut entry = entry_of(EntryKind::HardLink, path, &status);
                entry.link.clone_from(first);
                return self.header(&entry).map(|()| None);
            }
            self.linked.insert(inode, path.to_vec());
        }
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => self.regular(parent, name, path, &status)?,
            FileType::Symlink => {
                let mut entry = entry_of(EntryKind::Symlink, path, &status);
                entry.link = fs::readlinkat(parent, name, Vec::new())
                    .map_err(|errno| failed("read the link", errno))?
                    .into_bytes();
                self.node(parent, name, entry)?;
            }
            FileType::CharacterDevice => {
                self.node(
                    parent,
                    name,
                    entry_of(EntryKind::CharacterDevice, path, &status),
                )?;
            }
            FileType::BlockDevice => {
                self.node(
                    parent,
                    name,
                    entry_of(EntryKind::BlockDevice, path, &status),
                )?;
            }
            FileType::Fifo => self.node(parent, name, entry_of(EntryKind::Fifo, path, &status))?,
            FileType::Directory | FileType::Socket | FileType::Unknown => {}
        }
        Ok(None)
    }

    fn header(&mut self, entry: &Entry) -> Result<(), PackError> {
        self.writer
            .header(entry)
            .map_err(|source| PackError::Write { source })
    }

    /// An empty file whose name says it all.
    fn marker(&mut self, parent: &[u8], name: &[u8]) -> Result<(), PackError> {
        let mut entry = Entry::new(EntryKind::Regular, tree::join(parent, name));
        entry.mode = 0;
        self.header(&entry)
    }

    fn attributes(&self, place: Place<'_>, path: &[u8]) -> Result<Attributes, PackError> {
        let found = attributes::read(place, self.options.overlay)
            .map_err(|errno| PackError::entry("read the attributes of", path, errno))?;
        if found.redirect {
            return Err(PackError::Redirect { path: show(path) });
        }
        if found.metacopy {
            return Err(PackError::Metacopy { path: show(path) });
        }
        if self.options.normalise {
            attributes::remove(place, &found.overlay)
                .map_err(|errno| PackError::entry("clear the attributes of", path, errno))?;
        }
        Ok(found)
    }

    /// Says whether fuse-overlayfs has marked it.
    fn directory_entry(
        &mut self,
        directory: &OwnedFd,
        status: &Stat,
        path: &[u8],
    ) -> Result<bool, PackError> {
        let found = self.attributes(Place::File(directory.as_fd()), path)?;
        if !path.is_empty() || self.options.root {
            let name = if path.is_empty() { b"." } else { path };
            let mut entry = entry_of(EntryKind::Directory, name, status);
            entry.xattrs = found.archived;
            self.packed.files += 1;
            self.packed.disk_usage += status.st_blocks.unsigned_abs() * 512;
            self.header(&entry)?;
        }
        if found.opaque {
            self.marker(path, b".wh..wh..opq")?;
        }
        if let (true, true, Some(names)) =
            (found.programs, self.options.normalise, self.options.overlay)
        {
            mark_for_kernel(directory, names)
                .map_err(|errno| PackError::entry("mark as opaque", path, errno))?;
        }
        Ok(found.programs)
    }

    fn node(&mut self, parent: &OwnedFd, name: &CStr, mut entry: Entry) -> Result<(), PackError> {
        let place = Place::Name(parent.as_fd(), name.to_bytes());
        entry.xattrs = self.attributes(place, &entry.path)?.archived;
        self.header(&entry)
    }

    fn regular(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: &[u8],
        status: &Stat,
    ) -> Result<(), PackError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(parent, name, flags, Mode::empty())
            .map_err(|errno| PackError::entry("open", path, errno))?;
        let found = self.attributes(Place::File(file.as_fd()), path)?;
        let mut entry = entry_of(EntryKind::Regular, path, status);
        entry.xattrs = found.archived;
        let (size, _) = write_file(
            self.writer,
            entry,
            &File::from(file),
            status,
            &mut self.buffer,
            self.goes_on,
        )?;
        self.packed.content_size += size;
        Ok(())
    }
}

/// Writes a regular file as it is on the disk; the entry says everything but size and holes.
/// Gives its size, and the bytes that it takes on the disk.
pub(crate) fn file<S: Sink>(
    writer: &mut Writer<S>,
    entry: Entry,
    file: &File,
    goes_on: &GoesOn<'_>,
) -> Result<(u64, u64), PackError> {
    let status =
        fs::fstat(file).map_err(|errno| PackError::entry("look at", &entry.path, errno))?;
    write_file(writer, entry, file, &status, &mut vec![0; BUFFER], goes_on)
}

fn write_file<S: Sink>(
    writer: &mut Writer<S>,
    mut entry: Entry,
    file: &File,
    status: &Stat,
    buffer: &mut [u8],
    goes_on: &GoesOn<'_>,
) -> Result<(u64, u64), PackError> {
    entry.size = status.st_size.unsigned_abs();
    entry.sparse =
        sparse::map(file, status).map_err(|e| PackError::entry("read", &entry.path, e))?;
    writer
        .header(&entry)
        .map_err(|source| PackError::Write { source })?;
    if entry.sparse.is_some() || entry.size > 0 {
        let fragments = entry.fragments();
        content(writer, file, &entry.path, &fragments, buffer, goes_on)?;
    }
    Ok((entry.size, status.st_blocks.unsigned_abs() * 512))
}

fn content<S: Sink>(
    writer: &mut Writer<S>,
    file: &File,
    path: &[u8],
    fragments: &[Fragment],
    buffer: &mut [u8],
    goes_on: &GoesOn<'_>,
) -> Result<(), PackError> {
    let stream = |source| PackError::Write {
        source: crate::tar::WriteError::Stream(source),
    };
    let total: u64 = fragments.iter().map(|fragment| fragment.length).sum();
    let sink = writer.sink_mut();
    sink.start_file(path, fragments).map_err(stream)?;
    for fragment in fragments {
        let mut offset = fragment.offset;
        let end = fragment.offset + fragment.length;
        while offset < end {
            goes_on().map_err(|source| PackError::entry("read", path, source))?;
            let want =
                usize::try_from(end - offset).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = match file.read_at(&mut buffer[..want], offset) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.map_err(|e| PackError::entry("read", path, e))?,
            };
            if count == 0 {
                let source = crate::tar::WriteError::Shrunk {
                    path: show(path),
                    size: end,
                };
                return Err(PackError::Write { source });
            }
            sink.write_all(&buffer[..count]).map_err(stream)?;
            offset += count as u64;
        }
    }
    sink.end_file();
    writer
        .pad(total)
        .map_err(|source| PackError::Write { source })
}

/// Removes a name without a trace in its directory's time, which may be written already.
fn remove_traceless(parent: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
    let before = fs::fstat(parent)?;
    fs::unlinkat(parent, name, AtFlags::empty())?;
    let mtime = Timestamp {
        seconds: before.st_mtime,
        nanoseconds: u32::try_from(before.st_mtime_nsec).unwrap_or(0),
    };
    fs::futimens(parent, &timestamps(mtime))
}

/// The entry of a file of this status: owner, mode, time and device number; neither size, link nor
/// attributes.
#[must_use]
pub fn entry_of(kind: EntryKind, path: &[u8], status: &Stat) -> Entry {
    let mut entry = Entry::new(kind, path);
    entry.mode = status.st_mode & 0o7777;
    entry.uid = status.st_uid;
    entry.gid = status.st_gid;
    entry.mtime = Timestamp {
        seconds: status.st_mtime,
        nanoseconds: u32::try_from(status.st_mtime_nsec).unwrap_or(0),
    };
    if matches!(kind, EntryKind::CharacterDevice | EntryKind::BlockDevice) {
        entry.device = (fs::major(status.st_rdev), fs::minor(status.st_rdev));
    }
    entry
}
