//! Verifying a layer: its tar must still have its digest, and its files what the tar says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};

use gantry_model::Digest;
use rustix::fs::{self, AtFlags, FileType, OFlags, Stat};
use rustix::io::Errno;

use super::{Layers, flags, patch};
use crate::error::StoreError;
use crate::limits::Limits;
use crate::pack::attributes::{self, Place};
use crate::pack::entry_of;
use crate::tar::{Entry, EntryKind, Reader};
use crate::tree;
use crate::unpack::{Meaning, meaning_of};

/// Ends with the first thing that differs.
type Verified = Result<(), String>;

impl Layers<'_> {
    /// Reads a whole layer again: `Err` says what differs first. Gives the bytes read.
    ///
    /// # Errors
    /// [`StoreError`] when it is not there or cannot be opened at all.
    pub fn verify(&self, diff_id: &Digest) -> Result<Result<u64, String>, StoreError> {
        let row = self.needed(diff_id)?;
        let tar = match self.tar(diff_id) {
            Ok(tar) => tar,
            Err(error @ StoreError::NoLayer { .. }) => return Err(error),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let own_first = self.trees(diff_id)?.into_iter().rev();
        let roots = own_first
            .map(|path| {
                tree::open_directory(fs::CWD, &path)
                    .map_err(|errno| StoreError::io("open", &path, errno))
            })
            .collect::<Result<_, _>>()?;
        let complete = row.flags & flags::INCOMPLETE == 0;
        Ok(read_expected(tar)
            .and_then(|expected| {
                Comparison {
                    roots,
                    complete,
                    aliased: false,
                }
                .run(&expected)
            })
            .map(|()| row.info.tar_size))
    }
}

/// What the tar says of each path: the last entry counts, and what lies below a file is gone.
fn read_expected(tar: impl Read) -> Result<BTreeMap<Vec<u8>, Entry>, String> {
    let limits = Limits {
        entries: u64::MAX,
        file_bytes: u64::MAX,
        header_bytes: usize::MAX,
        sparse_fragments: usize::MAX,
        ..Limits::default()
    };
    let mut reader = Reader::new(BufReader::with_capacity(256 << 10, tar), &limits);
    let mut expected = BTreeMap::new();
    let failed = |error: crate::tar::ReadError| match error.kind {
        crate::tar::ReadErrorKind::Stream(error) => error.to_string(),
        _ => error.to_string(),
    };
    while let Some(entry) = reader.next_entry().map_err(failed)? {
        let parts: Vec<&[u8]> = entry
            .path
            .split(|&b| b == b'/')
            .filter(|n| !n.is_empty() && *n != b".")
            .collect();
        let path = parts.join(&b'/');
        if entry.kind != EntryKind::Directory && !path.is_empty() {
            let below = [&path[..], b"/"].concat();
            let gone: Vec<Vec<u8>> = expected
                .range(below.clone()..)
                .take_while(|(path, _): &(&Vec<u8>, _)| path.starts_with(&below))
                .map(|(path, _)| path.clone())
                .collect();
            for path in gone {
                expected.remove(&path);
            }
        }
        expected.insert(path, entry);
    }
    reader.drain().map_err(failed)?;
    Ok(expected)
}

struct Comparison {
    /// The trees that its files are in, the layer's own first.
    roots: Vec<OwnedFd>,
    complete: bool,
    /// Whether the tar wrote through symbolic links of its own.
    aliased: bool,
}

impl Comparison {
    fn run(mut self, expected: &BTreeMap<Vec<u8>, Entry>) -> Verified {
        let mut paths = BTreeSet::new();
        for (path, entry) in expected {
            match meaning_of(path) {
                Meaning::Plain => {
                    paths.insert(path.clone());
                    self.entry(path, entry)?;
                }
                Meaning::Whiteout(hidden) => {
                    let hidden = tree::join(tree::split_last(path).0, hidden);
                    self.whiteout(&hidden)?;
                    paths.insert(hidden);
                }
                Meaning::Opaque => {
                    paths.insert(tree::split_last(path).0.to_vec());
                }
                Meaning::Ignored | Meaning::Malformed => {}
            }
        }
        if self.aliased {
            return Ok(());
        }
        self.roots
            .iter()
            .try_for_each(|root| Self::unknown(root, &paths))
    }

    fn show(path: &[u8]) -> String {
        String::from_utf8_lossy(path).into_owned()
    }

    /// The parent directory of a path, in the tree that has it; `None` when a symbolic link is on
    /// the way.
    fn parent(&mut self, path: &[u8]) -> Result<Option<OwnedFd>, String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match patch::open_parent(&self.roots, path, flags) {
            Ok(parent) => Ok(Some(parent)),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                self.aliased = true;
                Ok(None)
            }
            Err(errno) => Err(format!(
                "cannot open the directory of {}: {errno}",
                Self::show(path)
            )),
        }
    }

    fn whiteout(&mut self, path: &[u8]) -> Verified {
        let Some(parent) = self.parent(path)? else {
            return Ok(());
        };
        let (_, name) = tree::split_last(path);
        match fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(()), // the whiteout, or what the layer itself has there
            Err(errno) => Err(format!("the whiteout of {}: {errno}", Self::show(path))),
        }
    }

    fn entry(&mut self, path: &[u8], entry: &Entry) -> Verified {
        if path.is_empty() {
            let Some(root) = self.roots.first() else {
                return Ok(());
            };
            let status = fs::fstat(root).map_err(|errno| errno.to_string())?;
            return self.compare(b".", entry, &status, Place::File(root.as_fd()));
        }
        if entry.kind == EntryKind::HardLink {
            return Ok(()); // its content is its target's, which may be in a lower layer
        }
        let Some(parent) = self.parent(path)? else {
            return Ok(());
        };
        let (_, name) = tree::split_last(path);
        let status = match fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            // A device that could not be made.
            Err(Errno::NOENT)
                if !self.complete
                    && matches!(
                        entry.kind,
                        EntryKind::CharacterDevice | EntryKind::BlockDevice
                    ) =>
            {
                return Ok(());
            }
            Err(errno) => return Err(format!("{}: {errno}", Self::show(path))),
        };
        self.compare(path, entry, &status, Place::Name(parent.as_fd(), name))
    }

    fn compare(&self, path: &[u8], entry: &Entry, status: &Stat, place: Place<'_>) -> Verified {
        let found = entry_of(entry.kind, path, status);
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => EntryKind::Regular,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::CharacterDevice => EntryKind::CharacterDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            _ => EntryKind::Fifo,
        };
        let differs = |what: &str| Err(format!("{} of {} has changed", what, Self::show(path)));
        if kind != entry.kind {
            return differs("the type");
        }
        if kind != EntryKind::Symlink && found.mode != entry.mode {
            return differs("the mode");
        }
        let as_root = rustix::process::geteuid().is_root();
        let same = (found.uid, found.gid) == (entry.uid, entry.gid);
        // An owner that could not be set left the file to whoever unpacked it.
        let left = !self.complete && (found.uid, found.gid) == (0, 0);
        if as_root && !same && !left {
            return differs("the owner");
        }
        if found.mtime != entry.mtime {
            return differs("the time");
        }
        if found.device != entry.device {
            return differs("the device number");
        }
        if kind == EntryKind::Regular && status.st_size.unsigned_abs() != entry.size {
            return differs("the size");
        }
        if self.complete {
            let overlay = Some(super::unpack::overlay_names());
            let attributes = attributes::read(place, overlay)
                .map_err(|errno| format!("the attributes of {}: {errno}", Self::show(path)))?;
            let expected = entry
                .xattrs
                .iter()
                .filter(|(name, _)| !attributes::is_local(name));
            if !expected.eq(attributes.archived.iter()) {
                return differs("the attributes");
            }
        }
        Ok(())
    }

    /// Looks for files that the tar does not have.
    fn unknown(root: &OwnedFd, paths: &BTreeSet<Vec<u8>>) -> Verified {
        let mut pending = vec![Vec::new()];
        while let Some(below) = pending.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let entries = tree::open_beneath(root, &below, flags)
                .and_then(tree::sorted_entries)
                .map_err(|errno| format!("{}: {errno}", Self::show(&below)))?;
            for entry in entries {
                let path = tree::join(&below, entry.name.as_bytes());
                let inner = [&path[..], b"/"].concat();
                let implied = || {
                    paths
                        .range(inner.clone()..)
                        .next()
                        .is_some_and(|p| p.starts_with(&inner))
                };
                if !paths.contains(&path) && !implied() {
                    return Err(format!("{} is not in the layer's tar", Self::show(&path)));
                }
                if entry.file_type == FileType::Directory {
                    pending.push(path);
                }
            }
        }
        Ok(())
    }
}
