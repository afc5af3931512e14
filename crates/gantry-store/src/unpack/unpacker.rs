//! The loop over the entries.

use std::os::fd::BorrowedFd;

use super::directories::{Directories, components};
use super::error::{UnpackError, show};
use super::whiteouts::{Meaning, meaning};
use super::{Options, Tape, Unpacked};
use crate::limits::Limit;
use crate::tar::{Entry, EntryKind, Reader};

/// Unpacks one archive.
#[derive(Debug)]
pub(crate) struct Unpacker<'a> {
    pub(super) options: &'a Options,
    pub(super) directories: Directories,
    pub(super) unpacked: Unpacked,
    /// User and group of this process: who owns a new file.
    pub(super) caller: (u32, u32),
    /// `None` where the mode that a new file gets cannot be foretold.
    pub(super) umask: Option<u32>,
    pub(super) devices: u64,
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(root: BorrowedFd<'_>, options: &'a Options) -> Result<Self, UnpackError> {
        let root = root
            .try_clone_to_owned()
            .map_err(|source| UnpackError::entry("open the root of", b".", source))?;
        // In a directory of somebody else's, a setgid bit or a default access list changes what
        // new files get: there, owners and modes are always set.
        let private = options.whiteouts.is_some();
        let umask = private.then(gantry_sys::system::umask).flatten();
        let caller = if private {
            (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            )
        } else {
            (u32::MAX, u32::MAX)
        };
        Ok(Self {
            options,
            directories: Directories::new(root, umask),
            unpacked: Unpacked::default(),
            caller,
            umask,
            devices: 0,
        })
    }

    /// Unpacks everything, up to the end of the stream.
    pub(crate) fn run<T: Tape>(mut self, reader: &mut Reader<T>) -> Result<Unpacked, UnpackError> {
        while let Some(entry) = reader.next_entry().map_err(UnpackError::archive)? {
            self.entry(reader, entry)?;
        }
        reader.drain().map_err(UnpackError::archive)?;
        self.retry_links(reader)?;
        self.finish_directories()?;
        Ok(self.unpacked)
    }

    fn entry<T: Tape>(
        &mut self,
        reader: &mut Reader<T>,
        mut entry: Entry,
    ) -> Result<(), UnpackError> {
        let path = self.normalise(&entry.path)?;
        if path.is_empty() {
            if entry.kind != EntryKind::Directory {
                return Err(UnpackError::Root);
            }
            let metadata = self.metadata_of(&mut entry);
            self.directories
                .known
                .entry(Vec::new())
                .or_default()
                .metadata = Some(metadata);
            return Ok(());
        }
        if self.options.whiteouts.is_some() {
            match meaning(&path) {
                Meaning::Plain => {}
                Meaning::Ignored => return Ok(()),
                Meaning::Opaque => return self.opaque(&path),
                Meaning::Whiteout(hidden) => return self.whiteout(&path, hidden),
                Meaning::Malformed => return Err(UnpackError::Whiteout { path: show(&path) }),
            }
        }
        self.unpacked.files += 1;
        match entry.kind {
            EntryKind::Regular => self.regular(reader, &path, entry),
            EntryKind::Directory => self.directory(reader, &path, entry),
            EntryKind::HardLink => self.hard_link(reader, &path, &entry.link),
            EntryKind::Symlink => self.symlink(reader, &path, entry),
            EntryKind::CharacterDevice | EntryKind::BlockDevice | EntryKind::Fifo => {
                self.node(reader, &path, entry)
            }
        }
    }

    /// A path relative to the root, without empty components and `.`. An absolute one means
    /// the same below the root; one with `..` means nothing good.
    pub(super) fn normalise(&self, path: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let limits = &self.options.limits;
        if path.len() > limits.path_bytes {
            return Err(UnpackError::Limit {
                what: Limit::PathBytes,
                limit: limits.path_bytes as u64,
            });
        }
        let mut normal = Vec::with_capacity(path.len());
        let mut depth = 0;
        for component in components(path) {
            if component == b".." || component.contains(&0) {
                return Err(UnpackError::Escape { path: show(path) });
            }
            if !normal.is_empty() {
                normal.push(b'/');
            }
            normal.extend_from_slice(component);
            depth += 1;
        }
        if depth > limits.path_depth {
            return Err(UnpackError::Limit {
                what: Limit::PathDepth,
                limit: limits.path_depth as u64,
            });
        }
        Ok(normal)
    }
}
