//! A tree as a tar stream, in the names and order of Docker's.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use gantry_model::userns::IdRanges;
use gantry_store::pack::entry_of;
use gantry_store::tar::{Entry as Header, EntryKind, WriteError, Writer};
use gantry_sys::path::{Directory, Entry};
use gantry_sys::xattr;
use rustix::fs::{FileType, OFlags};

use super::error::show;
use super::kernel::KernelFiles;
use super::place::{Found, read_link};
use super::tree::DEEPEST;
use super::{CopyError, content, make};

/// The one attribute Docker's archives carry.
const CAPABILITY: &str = "security.capability";

struct Level {
    directory: Directory,
    path: Vec<u8>,
    rest: std::vec::IntoIter<Entry>,
}

/// Writes trees into one archive.
struct Archive<'a, W> {
    writer: Writer<W>,
    /// The container's users, where its files show them by the host's numbers.
    users: Option<&'a IdRanges>,
    kernel: KernelFiles,
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// Writes what was found, with all below it, under this name.
pub(super) fn write<W: Write>(
    found: &Found,
    name: &[u8],
    users: Option<&IdRanges>,
    sink: W,
) -> Result<W, CopyError> {
    let mut archive = Archive {
        writer: Writer::new(sink),
        users,
        kernel: KernelFiles::default(),
        links: HashMap::new(),
    };
    let mut levels: Vec<Level> = archive.one(found, name)?.into_iter().collect();
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.rest.next() else {
            levels.pop();
            continue;
        };
        let path = [&level.path[..], b"/", entry.name.as_bytes()].concat();
        let opened = match level.directory.open_entry(&entry.name, OFlags::PATH) {
            // Gone since the directory was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.and_then(Found::new),
        };
        let found = opened.map_err(CopyError::entry("open", &path))?;
        if let Some(next) = archive.one(&found, &path)? {
            if levels.len() >= DEEPEST {
                return Err(CopyError::TooDeep {
                    path: show(&path),
                    limit: DEEPEST,
                });
            }
            levels.push(next);
        }
    }
    Ok(archive.writer.finish()?)
}

impl<W: Write> Archive<'_, W> {
    /// Writes one entry; gives a directory back to be walked.
    fn one(&mut self, found: &Found, path: &[u8]) -> Result<Option<Level>, CopyError> {
        let kernels = self
            .kernel
            .holds(found)
            .map_err(CopyError::entry("look at", path))?;
        let kind = match found.kind() {
            FileType::Directory => EntryKind::Directory,
            // Nothing of the kernel's is a file of the container.
            _ if kernels => return Ok(None),
            FileType::RegularFile => EntryKind::Regular,
            FileType::Symlink => EntryKind::Symlink,
            FileType::CharacterDevice => EntryKind::CharacterDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket | FileType::Unknown => return Ok(None),
        };
        let mut header = entry_of(kind, path, &found.status);
        header.mtime.nanoseconds = 0;
        if let Some(users) = self.users {
            (header.uid, header.gid) = users.inside(header.uid, header.gid);
        }
        if kind == EntryKind::Directory {
            self.writer.header(&header)?;
            let directory = make::listed(&found.file).map_err(CopyError::entry("open", path))?;
            let mut rest = match kernels {
                true => Vec::new(),
                false => directory
                    .entries()
                    .map_err(CopyError::entry("list", path))?,
            };
            rest.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            return Ok(Some(Level {
                directory,
                path: path.to_vec(),
                rest: rest.into_iter(),
            }));
        }
        if found.status.st_nlink > 1 {
            let inode = (found.status.st_dev, found.status.st_ino);
            if let Some(first) = self.links.get(&inode) {
                header.kind = EntryKind::HardLink;
                header.link.clone_from(first);
                self.writer.header(&header)?;
                return Ok(None);
            }
            self.links.insert(inode, path.to_vec());
        }
        match kind {
            EntryKind::Regular => self.regular(found, header)?,
            EntryKind::Symlink => {
                let target = read_link(found).map_err(CopyError::entry("read the link", path))?;
                header.link = target.into_vec();
                self.writer.header(&header)?;
            }
            _ => self.writer.header(&header)?,
        }
        Ok(None)
    }

    fn regular(&mut self, found: &Found, mut header: Header) -> Result<(), CopyError> {
        let path = header.path.clone();
        let file = content::open(found).map_err(CopyError::entry("open", &path))?;
        header.size = found.status.st_size.unsigned_abs();
        let capability = xattr::value(&file, OsStr::new(CAPABILITY))
            .map_err(CopyError::entry("read the attributes of", &path))?;
        header
            .xattrs
            .extend(capability.map(|value| (CAPABILITY.as_bytes().to_vec(), value)));
        self.writer.header(&header)?;
        // A file that is made shorter or longer meanwhile still fits its header.
        let stream = |source| CopyError::Write(WriteError::Stream(source));
        let mut content = file.take(header.size);
        let copied = self.content(&mut content, &path)?;
        let missing = header.size - copied;
        std::io::copy(
            &mut std::io::repeat(0).take(missing),
            self.writer.sink_mut(),
        )
        .map_err(stream)?;
        Ok(self.writer.pad(header.size)?)
    }

    fn content(&mut self, content: &mut impl Read, path: &[u8]) -> Result<u64, CopyError> {
        let mut buffer = vec![0; 256 << 10];
        let mut copied = 0;
        loop {
            let count = match content.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.map_err(CopyError::entry("read", path))?,
            };
            if count == 0 {
                return Ok(copied);
            }
            self.writer
                .sink_mut()
                .write_all(&buffer[..count])
                .map_err(|source| CopyError::Write(WriteError::Stream(source)))?;
            copied += count as u64;
        }
    }
}
