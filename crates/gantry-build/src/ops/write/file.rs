//! Making one file, link or device.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use gantry_store::tar::EntryKind;
use gantry_sys::path::Directory;
use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Timestamps, Uid};

use super::patch::Patch;
use super::{LayerWriter, Told, entry, replacing};
use crate::error::StepError;
use crate::ops::copy::{Changed, Copier};
use crate::ops::plan::{LayerPlan, Planned};
use crate::permissions::timespec;
use crate::tree::{
    self, Attribute, Copied, Entry, Facts, Nowhere, Target, absolute, copy_and_digest, split,
};

/// Files up to this size are in memory until the tar was told of them.
const SMALL: u64 = 128 << 10;

/// One thread's share of the writing, with the directories it has open.
pub(super) struct FileWriter<'w, 'l> {
    layer: &'w LayerWriter<'l>,
    plan: &'w LayerPlan<'w>,
    /// The layer that is patched.
    patch: Option<&'w Patch>,
    here: Option<(OsString, Directory)>,
    /// Of the copy of this number.
    from: Option<(usize, OsString, Directory)>,
    /// Of the layer that is patched.
    there: Option<(OsString, Directory)>,
}

/// The content of a file that was made.
enum Body {
    Memory(Vec<u8>),
    Disk,
}

impl<'w, 'l> FileWriter<'w, 'l> {
    pub(super) fn new(
        layer: &'w LayerWriter<'l>,
        plan: &'w LayerPlan<'w>,
        patch: Option<&'w Patch>,
    ) -> Self {
        Self {
            layer,
            plan,
            patch,
            here: None,
            from: None,
            there: None,
        }
    }

    /// Makes what is planned. Notes the digest of a regular file that is not the expected one.
    pub(super) fn make(
        &mut self,
        path: &OsStr,
        planned: Planned<'_>,
        changed: &mut Changed,
    ) -> Result<Told, StepError> {
        let (parent, name) = split(path);
        if self.here.as_ref().is_none_or(|(open, _)| open != parent) {
            let here = match self.patch {
                None => self.layer.upper.directory_beneath(parent),
                Some(_) => self.layer.make_way(self.plan, parent),
            };
            let here = here.map_err(|source| StepError::io("open", absolute(parent), source))?;
            self.here = Some((parent.to_owned(), here));
        }
        let failed = |source| StepError::io("write", absolute(path), source);
        match planned {
            Planned::Copied(copy, entry) => match entry.kind {
                FileType::RegularFile => {
                    let from = self.plan.copy(copy);
                    self.copy(path, from, entry, planned, changed)
                }
                FileType::Symlink => self.symlink(path, name, entry, planned).map_err(failed),
                _ => self.node(path, name, entry, planned).map_err(failed),
            },
            Planned::Inline(text) => {
                let text = self.plan.content(text);
                self.inline(path, name, text, planned).map_err(failed)
            }
        }
    }

    /// Tells of what the layer that is patched has, and leaves it there. Makes it after all if it is
    /// not what is planned.
    pub(super) fn keep(
        &mut self,
        path: &OsStr,
        planned: Planned<'_>,
        changed: &mut Changed,
    ) -> Result<Told, StepError> {
        let kept = match planned {
            Planned::Copied(_, entry) if entry.kind == FileType::Symlink => {
                Some(self.told_symlink(path, entry, planned))
            }
            Planned::Copied(_, entry) => self.kept_file(path, entry, planned),
            Planned::Inline(_) => None,
        };
        match kept {
            Some(told) => Ok(told.kept()),
            None => self.make(path, planned, changed),
        }
    }

    /// Tells of a file or link of the layer that is patched without looking at it.
    pub(super) fn known(&self, path: &OsStr, planned: Planned<'_>) -> Told {
        match planned {
            Planned::Copied(_, entry) if entry.kind == FileType::Symlink => {
                self.told_symlink(path, entry, planned)
            }
            _ => {
                let entry = self.entry(EntryKind::Regular, path, planned);
                Told::Known(entry, self.plan.size(planned))
            }
        }
    }

    /// A regular file of the layer that is patched, if its content is what is to be copied. One that
    /// cannot be read is made anew, like any other that is not what it was.
    fn kept_file(&mut self, path: &OsStr, source: &Entry, planned: Planned<'_>) -> Option<Told> {
        let (parent, name) = split(path);
        if self.there.as_ref().is_none_or(|(open, _)| open != parent) {
            let there = self.patch?.root.directory_beneath(parent).ok()?;
            self.there = Some((parent.to_owned(), there));
        }
        let (_, there) = self.there.as_ref()?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(there.open_entry(name, flags).ok()?);
        let mut entry = self.entry(EntryKind::Regular, path, planned);
        let (copied, content) = if source.stat.size <= SMALL {
            let content = read_up_to(&file, source.stat.size).ok()?;
            let attributes = tree::attributes(&file).ok()?;
            let digest = tree::digest_of_bytes(&content, &attributes);
            (Copied { digest, attributes }, Some(content))
        } else {
            let size = source.stat.size;
            (
                copy_and_digest(&file, size, &file, &mut Nowhere, &|| self.layer.goes_on()).ok()?,
                None,
            )
        };
        if source.digest() != Some(&copied.digest) {
            return None;
        }
        entry.xattrs = copied.attributes;
        Some(match content {
            Some(content) => Told::Content(entry, content),
            None => Told::Written(entry, file),
        })
    }

    fn directory(&self) -> io::Result<&Directory> {
        let here = self.here.as_ref();
        here.map(|(_, directory)| directory)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn symlink(
        &self,
        path: &OsStr,
        name: &OsStr,
        source: &Entry,
        planned: Planned<'_>,
    ) -> io::Result<Told> {
        let link = source.link.as_deref().unwrap_or_default();
        let here = self.directory()?;
        replacing(here, name, || here.make_symlink(link, name))?;
        self.finish_node(name, planned, false)?;
        Ok(self.told_symlink(path, source, planned))
    }

    fn told_symlink(&self, path: &OsStr, source: &Entry, planned: Planned<'_>) -> Told {
        let link = source.link.as_deref().unwrap_or_default();
        let mut entry = self.entry(EntryKind::Symlink, path, planned);
        entry.mode = 0o777;
        entry.link = link.as_bytes().to_vec();
        Told::Entry(entry)
    }

    fn node(
        &self,
        path: &OsStr,
        name: &OsStr,
        source: &Entry,
        planned: Planned<'_>,
    ) -> io::Result<Told> {
        let (kind, device) = match source.kind {
            FileType::CharacterDevice => (EntryKind::CharacterDevice, source.stat.special),
            FileType::BlockDevice => (EntryKind::BlockDevice, source.stat.special),
            _ => (EntryKind::Fifo, 0),
        };
        if kind == EntryKind::CharacterDevice && device == 0 {
            let why = "layers mark by a character device 0:0 what was deleted: it cannot be copied";
            return Err(io::Error::other(why));
        }
        let here = self.directory()?;
        replacing(here, name, || {
            here.make_node(name, source.kind, 0o600, device)
        })?;
        self.finish_node(name, planned, true)?;
        let mut entry = self.entry(kind, path, planned);
        entry.device = (rustix::fs::major(device), rustix::fs::minor(device));
        Ok(Told::Entry(entry))
    }

    /// Owner, mode and time of something that cannot be opened.
    fn finish_node(&self, name: &OsStr, planned: Planned<'_>, has_mode: bool) -> io::Result<()> {
        let (here, permissions) = (self.directory()?, self.plan.permissions(planned));
        if !self.layer.maker.owns(&permissions) {
            here.set_owner(name, permissions.uid, permissions.gid)?;
        }
        if has_mode {
            here.set_mode(name, permissions.mode)?;
        }
        let time = timespec(self.plan.time(planned));
        here.set_times(name, time, time)
    }

    fn inline(
        &self,
        path: &OsStr,
        name: &OsStr,
        text: &str,
        planned: Planned<'_>,
    ) -> io::Result<Told> {
        let mut file = self.create(name, planned)?;
        file.write_all(text.as_bytes())?;
        self.finish(&file, planned, &[])?;
        let entry = self.entry(EntryKind::Regular, path, planned);
        Ok(Told::Content(entry, text.as_bytes().to_vec()))
    }

    /// A copy of a regular file of the tree.
    fn copy(
        &mut self,
        path: &OsStr,
        from: &Copier<'_>,
        source: &Entry,
        planned: Planned<'_>,
        changed: &mut Changed,
    ) -> Result<Told, StepError> {
        let (tree, name) = (from.tree, split(path).1);
        let reading = |error| StepError::io("read", tree.shown(&source.path), error);
        let writing = |error| StepError::io("write", absolute(path), error);
        let when = SystemTime::now();
        let (read, status) = self.open(from, source)?;
        let size = status.st_size.unsigned_abs();
        let (file, body, copied) = if size <= SMALL {
            let content = read_up_to(&read, size).map_err(reading)?;
            let attributes = tree::attributes(&read).map_err(reading)?;
            let mut file = self.create(name, planned).map_err(writing)?;
            file.write_all(&content).map_err(writing)?;
            let digest = tree::digest_of_bytes(&content, &attributes);
            (file, Body::Memory(content), Copied { digest, attributes })
        } else {
            let mut file = self.create(name, planned).map_err(writing)?;
            let copied = self.fill(&read, &status, &mut file).map_err(writing)?;
            (file, Body::Disk, copied)
        };
        self.finish(&file, planned, &copied.attributes)
            .map_err(writing)?;
        if source.digest().is_none() {
            tree.learn(&read, &Facts::new(&status), &copied.digest, when);
        }
        if *source.learn(copied.digest) != copied.digest {
            let path = source.path.to_os_string();
            changed.push((from.number, path, copied.digest));
        }
        let mut entry = self.entry(EntryKind::Regular, path, planned);
        entry.xattrs = copied.attributes;
        Ok(match body {
            Body::Memory(content) => Told::Content(entry, content),
            Body::Disk => Told::Written(entry, file),
        })
    }

    /// Opens a regular file of the tree.
    fn open(&mut self, from: &Copier<'_>, source: &Entry) -> Result<(File, Stat), StepError> {
        let tree = from.tree;
        let parent = source.parent();
        let is_open = |(number, open, _): &(usize, OsString, Directory)| {
            *number == from.number && open == parent
        };
        if !self.from.as_ref().is_some_and(is_open) {
            let opened = tree.root().directory_beneath(parent);
            let opened =
                opened.map_err(|error| StepError::io("open", tree.shown(parent), error))?;
            self.from = Some((from.number, parent.to_owned(), opened));
        }
        let failed = |error| StepError::io("read", tree.shown(&source.path), error);
        let Some((_, _, from)) = &self.from else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        // A FIFO that took the file's place must not hold up the build.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let read = from.open_entry(source.name(), flags).map_err(failed)?;
        let status = rustix::fs::fstat(&read).map_err(|errno| failed(errno.into()))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(failed(io::Error::other(
                "the file was replaced while it was copied",
            )));
        }
        Ok((File::from(read), status))
    }

    fn create(&self, name: &OsStr, planned: Planned<'_>) -> io::Result<File> {
        let here = self.directory()?;
        let (mode, _) = self.layer.maker.mode(self.plan.permissions(planned).mode);
        replacing(here, name, || here.create_file(name, mode)).map(File::from)
    }

    /// Puts the content in, by sharing blocks where that is possible.
    fn fill(&self, read: &File, status: &Stat, write: &mut File) -> io::Result<Copied> {
        let size = status.st_size.unsigned_abs();
        let can_clone = &self.layer.can_clone;
        let goes_on = || self.layer.goes_on();
        if can_clone.load(Ordering::Relaxed) {
            if gantry_sys::fd::reflink(read, &*write)? {
                // The copy cannot change any more: its digest is the digest of what was copied.
                let copied = write.metadata()?.len();
                return copy_and_digest(write, copied, read, &mut Nowhere, &goes_on);
            }
            can_clone.store(false, Ordering::Relaxed);
        }
        if status.st_blocks.unsigned_abs() * 512 < size {
            let mut sparse = Sparse {
                file: write,
                end: 0,
            };
            let copied = copy_and_digest(read, size, read, &mut sparse, &goes_on)?;
            let end = sparse.end;
            write.set_len(end)?;
            return Ok(copied);
        }
        copy_and_digest(read, size, read, &mut Dense(write), &goes_on)
    }

    /// Owner, mode, attributes and time of a regular file, as far as they are not what it was made
    /// with. Owner first: changing it takes special bits and capabilities away.
    fn finish(
        &self,
        file: &File,
        planned: Planned<'_>,
        attributes: &[Attribute],
    ) -> io::Result<()> {
        let permissions = self.plan.permissions(planned);
        if !self.layer.maker.owns(&permissions) {
            let owner = (
                Uid::from_raw(permissions.uid),
                Gid::from_raw(permissions.gid),
            );
            rustix::fs::fchown(file, Some(owner.0), Some(owner.1))?;
        }
        if self.layer.maker.mode(permissions.mode).1 {
            rustix::fs::fchmod(file, Mode::from_raw_mode(permissions.mode))?;
        }
        for (name, value) in attributes {
            gantry_sys::xattr::set(file, OsStr::from_bytes(name), value)?;
        }
        let time = timespec(self.plan.time(planned));
        rustix::fs::futimens(
            file,
            &Timestamps {
                last_access: time,
                last_modification: time,
            },
        )?;
        Ok(())
    }

    /// What the tar is to say of something that is planned.
    pub(super) fn entry(
        &self,
        kind: EntryKind,
        path: &OsStr,
        planned: Planned<'_>,
    ) -> gantry_store::tar::Entry {
        let (permissions, time) = (self.plan.permissions(planned), self.plan.time(planned));
        entry(kind, path, &permissions, time)
    }
}

/// The first `size` bytes of a file; fewer if it became shorter.
fn read_up_to(file: &File, size: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut content = Vec::with_capacity(size);
    while content.len() < size {
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut content)) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    content.truncate(size);
    Ok(content)
}

/// Writes everything that comes.
struct Dense<'f>(&'f mut File);

impl Target for Dense<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), self.0).map(drop)
    }
}

/// Leaves holes where blocks of zeros would be written.
struct Sparse<'f> {
    file: &'f File,
    end: u64,
}

impl Target for Sparse<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        for block in bytes.chunks(4096) {
            if block.iter().any(|byte| *byte != 0) {
                self.file.write_all_at(block, self.end)?;
            }
            self.end += block.len() as u64;
        }
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        self.end += count;
        Ok(())
    }
}
