//! Making files, directories, links and devices.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Tape;
use super::directories::{Known, Missing, Spot, made_with};
use super::error::{UnpackError, show};
use super::unpacker::Unpacker;
use crate::limits::Limit;
use crate::tar::{Entry, EntryKind, Fragment, Reader};
use crate::tree;

impl Unpacker<'_> {
    pub(super) fn regular<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        path: &[u8],
        mut entry: Entry,
    ) -> Result<(), UnpackError> {
        let spot = self.spot(path)?;
        let asked = entry.mode & 0o777;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.make(reader, &spot, |parent, name| {
            fs::openat(parent, name, flags, Mode::from_raw_mode(asked))
        })?;
        let fragments = entry.fragments();
        self.write_content(reader, &file, &fragments, &spot)?;
        if entry.sparse.is_some() {
            fs::ftruncate(&file, entry.size).map_err(|e| UnpackError::entry("size", path, e))?;
        }
        let data: u64 = fragments.iter().map(|fragment| fragment.length).sum();
        self.unpacked.content_size += entry.size;
        self.unpacked.disk_usage += data.next_multiple_of(4096);
        let metadata = self.metadata_of(&mut entry);
        self.finish_file(file.as_fd(), &metadata, made_with(asked, self.umask), path)
    }

    fn write_content<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        file: &OwnedFd,
        fragments: &[Fragment],
        spot: &Spot<'_>,
    ) -> Result<(), UnpackError> {
        if fragments.is_empty() {
            return Ok(());
        }
        let failed = |source| UnpackError::entry("write", spot.path, source);
        reader
            .source_mut()
            .start_file(&spot.real_path(), fragments)
            .map_err(failed)?;
        for fragment in fragments {
            let mut offset = fragment.offset;
            let end = fragment.offset + fragment.length;
            while offset < end {
                let piece = reader.fill().map_err(UnpackError::archive)?;
                let want =
                    usize::try_from(end - offset).map_or(piece.len(), |n| n.min(piece.len()));
                let count = loop {
                    match rustix::io::pwrite(file, &piece[..want], offset) {
                        Err(Errno::INTR) => {}
                        result => break result.map_err(|errno| failed(errno.into()))?,
                    }
                };
                reader.consume(count);
                offset += count as u64;
            }
        }
        reader.source_mut().end_file();
        Ok(())
    }

    pub(super) fn directory<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        path: &[u8],
        mut entry: Entry,
    ) -> Result<(), UnpackError> {
        let metadata = self.metadata_of(&mut entry);
        let spot = self.spot(path)?;
        let (mode, made_with) = self.directories.making_mode(entry.mode);
        let mut opaque = false;
        let mut existed = false;
        loop {
            match fs::mkdirat(spot.directory(), spot.name, mode) {
                Ok(()) => break,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(UnpackError::entry("make the directory", path, errno)),
            }
            let Some(status) = spot.status()? else {
                continue;
            };
            if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                existed = true;
                break;
            }
            if self.take_whiteout(&spot, &status)? {
                opaque = true;
                continue;
            }
            self.replace(reader, &spot)?;
        }
        self.unpacked.disk_usage += 4096;
        let known = self
            .directories
            .known
            .entry(spot.real_path())
            .or_insert_with(|| Known {
                existed,
                made_with,
                ..Known::default()
            });
        known.opaque |= opaque;
        known.metadata = Some(metadata);
        Ok(())
    }

    pub(super) fn symlink<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        path: &[u8],
        mut entry: Entry,
    ) -> Result<(), UnpackError> {
        let target = std::mem::take(&mut entry.link);
        let spot = self.spot(path)?;
        self.make(reader, &spot, |parent, name| {
            fs::symlinkat(&target[..], parent, name)
        })?;
        let metadata = self.metadata_of(&mut entry);
        self.finish_node(&spot, &metadata, true)
    }

    pub(super) fn node<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        path: &[u8],
        mut entry: Entry,
    ) -> Result<(), UnpackError> {
        let file_type = match entry.kind {
            EntryKind::CharacterDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        if entry.kind != EntryKind::Fifo {
            self.devices += 1;
            if self.devices > self.options.limits.devices {
                return Err(UnpackError::Limit {
                    what: Limit::Devices,
                    limit: self.options.limits.devices,
                });
            }
        }
        let (major, minor) = entry.device;
        let device = if entry.kind == EntryKind::Fifo {
            0
        } else {
            fs::makedev(major, minor)
        };
        let mode = Mode::from_raw_mode(entry.mode);
        let spot = self.spot(path)?;
        let mut refused = false;
        self.make(reader, &spot, |parent, name| {
            match fs::mknodat(parent, name, file_type, mode, device) {
                // Without the right to make devices: as Docker, go on without them.
                Err(Errno::PERM) if file_type != FileType::Fifo => {
                    refused = true;
                    Ok(())
                }
                result => result,
            }
        })?;
        if refused {
            self.unpacked.incomplete = true;
            return Ok(());
        }
        let metadata = self.metadata_of(&mut entry);
        self.finish_node(&spot, &metadata, false)
    }

    pub(super) fn hard_link<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        path: &[u8],
        target: &[u8],
    ) -> Result<(), UnpackError> {
        let target = match self.normalise(target) {
            Ok(target) if !target.is_empty() => target,
            Ok(_) | Err(UnpackError::Escape { .. }) => {
                return Err(UnpackError::LinkEscape {
                    path: show(path),
                    target: show(target),
                });
            }
            Err(error) => return Err(error),
        };
        if self.link(reader, path, &target)? {
            return Ok(());
        }
        // In a layer below, or later in this archive.
        self.unpacked.foreign_links.push((path.to_vec(), target));
        Ok(())
    }

    /// Makes a hard link; says whether its target is there.
    fn link<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        path: &[u8],
        target: &[u8],
    ) -> Result<bool, UnpackError> {
        let (target_parent, target_name) = tree::split_last(target);
        let found = self
            .directories
            .find(target_parent, path, Missing::Report)?;
        let Some(source) = found.map(|parent| Spot {
            parent,
            name: target_name,
            path,
        }) else {
            return Ok(false);
        };
        let Some(status) = source.status()? else {
            return Ok(false);
        };
        if self.options.whiteouts.is_some() && super::directories::is_whiteout(&status) {
            return Ok(false);
        }
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            return Err(UnpackError::LinkEscape {
                path: show(path),
                target: show(target),
            });
        }
        let spot = self.spot(path)?;
        let link = |parent: BorrowedFd<'_>, name: &[u8]| {
            let (from, old) = (source.directory(), source.name);
            fs::linkat(from, old, parent, name, AtFlags::empty())
        };
        match link(spot.directory(), spot.name) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(UnpackError::entry("link", path, errno)),
        }
        // A link to itself, or to what it is linked to already: nothing to replace.
        if let Some(there) = spot.status()?
            && (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino)
        {
            return Ok(true);
        }
        self.make(reader, &spot, link)?;
        Ok(true)
    }

    /// Tries the links again whose target was not there when they came.
    pub(super) fn retry_links<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
    ) -> Result<(), UnpackError> {
        let links = std::mem::take(&mut self.unpacked.foreign_links);
        for (path, target) in links {
            let (parent, name) = tree::split_last(&path);
            let found = self.directories.find(parent, &path, Missing::Report)?;
            let there = found.map(|parent| Spot {
                parent,
                name,
                path: &path,
            });
            // A later entry of the same name stands.
            if let Some(there) = there
                && there.status()?.is_some()
            {
                continue;
            }
            if !self.link(reader, &path, &target)? {
                self.unpacked.foreign_links.push((path, target));
            }
        }
        Ok(())
    }

    /// Makes an entry, replacing what is in its place.
    fn make<T: Tape, O>(
        &mut self,
        reader: &mut Reader<T>,
        spot: &Spot<'_>,
        mut make: impl FnMut(BorrowedFd<'_>, &[u8]) -> Result<O, Errno>,
    ) -> Result<O, UnpackError> {
        loop {
            match make(spot.directory(), spot.name) {
                Err(Errno::EXIST) => self.replace(reader, spot)?,
                Err(Errno::INTR) => {}
                result => {
                    return result.map_err(|errno| UnpackError::entry("make", spot.path, errno));
                }
            }
        }
    }

    /// Takes away what is in the place of an entry: a file, or a directory with all below it.
    fn replace<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        spot: &Spot<'_>,
    ) -> Result<(), UnpackError> {
        let real_path = spot.real_path();
        let Some(status) = spot.status()? else {
            return Ok(());
        };
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => reader
                .source_mut()
                .replace(spot.directory(), spot.name, &real_path)
                .map_err(|source| UnpackError::entry("replace", spot.path, source)),
            FileType::Directory => {
                self.replace_files_below(reader, spot, &real_path)?;
                self.directories.removed(&real_path);
                tree::remove_tree(spot.directory(), spot.name)
                    .map_err(|errno| UnpackError::entry("replace", spot.path, errno))
            }
            FileType::Symlink => {
                self.directories.forget();
                spot.unlink()
            }
            _ => spot.unlink(),
        }
    }

    /// Takes away the regular files below a directory, one by one; bounded by the depth that
    /// a path may have.
    fn replace_files_below<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        spot: &Spot<'_>,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        let failed = |errno: Errno| UnpackError::entry("replace", path, errno);
        let top = tree::open_directory(spot.directory(), spot.name).map_err(failed)?;
        let mut pending = vec![Vec::new()];
        while let Some(below) = pending.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let directory = tree::open_beneath(&top, &below, flags).map_err(failed)?;
            for entry in tree::sorted_entries(&directory).map_err(failed)? {
                let inner = tree::join(&below, entry.name.as_bytes());
                match entry.file_type {
                    FileType::Directory => pending.push(inner),
                    FileType::RegularFile => reader
                        .source_mut()
                        .replace(
                            directory.as_fd(),
                            entry.name.as_bytes(),
                            &tree::join(path, &inner),
                        )
                        .map_err(|source| UnpackError::entry("replace", path, source))?,
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
