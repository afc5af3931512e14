//! Walking a directory on several threads, and hashing what was found.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use gantry_dockerfile::ignore::{IgnoreFile, Verdict};
use gantry_sys::crew;
use gantry_sys::path::{Directory, Listing};
use rustix::fs::{AtFlags, FileType, OFlags, statat};

use super::{Entry, Facts, Tree, content_digest, join};

/// A failure on one file of a tree.
#[derive(Debug)]
pub(crate) struct FileError {
    pub(crate) action: &'static str,
    /// Path in the tree.
    pub(crate) path: OsString,
    pub(crate) source: io::Error,
}

impl FileError {
    pub(crate) fn new(action: &'static str, path: &OsStr, source: impl Into<io::Error>) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// One set of patterns and where its paths begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'f> {
    pub(super) patterns: &'f IgnoreFile,
    /// How many bytes of a path, its slash included, stand before what the patterns speak of.
    pub(super) skip: usize,
    /// Whether they are those of the ignore file, which hold for everybody.
    pub(super) is_ignore_file: bool,
}

/// A directory that is to be read.
#[derive(Debug, Clone)]
pub(super) struct Task {
    path: OsString,
    /// What each filter says of it.
    verdicts: Vec<Verdict>,
}

/// What is in a directory, as far as no filter hides it.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    entries: Vec<Entry>,
    below: Vec<Task>,
    /// Directories that are ignored themselves, kept if something below them is.
    hidden: Vec<OsString>,
}

/// What one thread found.
#[derive(Debug, Default)]
struct Found {
    entries: Vec<Entry>,
    hidden: Vec<OsString>,
}

impl Tree {
    /// Everything below the directory at `path` that no filter hides, in the order of paths.
    pub(super) fn walk(
        &self,
        path: &OsStr,
        filters: &[Filter<'_>],
        verdicts: Vec<Verdict>,
    ) -> Result<Vec<Entry>, FileError> {
        let first = Task {
            path: path.to_owned(),
            verdicts,
        };
        let read = |task: Task, below: &mut Vec<Task>, found: &mut Found| {
            let mut contents = self.contents(&task, filters)?;
            below.append(&mut contents.below);
            found.entries.append(&mut contents.entries);
            found.hidden.append(&mut contents.hidden);
            Ok(())
        };
        let mut parts = crew::work_off(first, self.threads, read)?.into_iter();
        let mut found = parts.next().unwrap_or_default();
        for mut part in parts {
            found.entries.append(&mut part.entries);
            found.hidden.append(&mut part.hidden);
        }
        let Found {
            mut entries,
            hidden,
        } = found;
        if !hidden.is_empty() {
            drop_empty(&mut entries, &hidden.into_iter().collect());
        }
        entries.sort_unstable_by(|one, other| one.path.as_bytes().cmp(other.path.as_bytes()));
        Ok(entries)
    }

    /// What is in a directory: as another walk found it, where several look at the same ones.
    fn contents(&self, task: &Task, filters: &[Filter<'_>]) -> Result<Contents, FileError> {
        // What the ignore file says follows from the path.
        let shared = if filters.iter().all(|filter| filter.is_ignore_file) {
            self.shared.of(&task.path)
        } else {
            None
        };
        match shared {
            Some(shared) => shared.get_or(|| self.read(task, filters)),
            None => self.read(task, filters),
        }
    }

    fn read(&self, task: &Task, filters: &[Filter<'_>]) -> Result<Contents, FileError> {
        let failed = |source| FileError::new("open", &task.path, source);
        let directory = self.root.directory_beneath(&task.path).map_err(failed)?;
        let listing = Listing::read(&directory).map_err(|errno| failed(errno.into()))?;
        let mut contents = Contents::default();
        for listed in listing.by_inode().iter() {
            let path = join(&task.path, OsStr::from_bytes(listed.name.to_bytes()));
            let Some((verdicts, is_hidden)) = judge(filters, task, &path, listed.kind) else {
                continue;
            };
            let entry = match self.entry(&directory, path) {
                // Gone since the directory was read.
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if entry.kind == FileType::Socket {
                continue;
            }
            if entry.kind == FileType::Directory {
                if is_hidden {
                    contents.hidden.push(entry.path.clone());
                }
                contents.below.push(Task {
                    path: entry.path.clone(),
                    verdicts,
                });
            } else if is_hidden {
                continue;
            }
            contents.entries.push(entry);
        }
        Ok(contents)
    }

    /// Fills in the digests of regular files, unless nobody asks for them.
    pub(super) fn hash(&self, entries: &mut [Entry]) -> Result<(), FileError> {
        if self.hashes {
            self.hash_missing(entries)
        } else {
            Ok(())
        }
    }

    /// Fills in the digests of regular files that have none.
    pub(crate) fn hash_missing(&self, entries: &mut [Entry]) -> Result<(), FileError> {
        let mut missing: Vec<&mut Entry> = Vec::new();
        {
            let mut cache = self
                .cache
                .as_ref()
                .map(|cache| cache.lock().unwrap_or_else(PoisonError::into_inner));
            for entry in entries
                .iter_mut()
                .filter(|entry| entry.kind == FileType::RegularFile && entry.digest.is_none())
            {
                entry.digest = cache.as_mut().and_then(|cache| cache.find(&entry.stat));
                if entry.digest.is_none() {
                    missing.push(entry);
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let threads = self.threads.min(missing.len().div_ceil(16));
        let slots: Vec<Mutex<&mut Entry>> = missing.into_iter().map(Mutex::new).collect();
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut entry = slot.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = self.hash_one(&mut entry) {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    next.store(slots.len(), Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        failed
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Ok(()), Err)
    }

    fn hash_one(&self, entry: &mut Entry) -> Result<(), FileError> {
        let failed = |source| FileError::new("read", &entry.path, source);
        let when = SystemTime::now();
        let file = self.open_file(&entry.path).map_err(failed)?;
        let before = Facts::new(&rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?);
        let digest = content_digest(&file, before.size).map_err(failed)?;
        entry.stat = before;
        entry.digest = Some(digest);
        self.learn(&file, &before, &digest, when);
        Ok(())
    }

    /// Opens a regular file of the tree.
    pub(crate) fn open_file(&self, path: &OsStr) -> io::Result<File> {
        // A FIFO that took the file's place must not hold up the build.
        let file = File::from(self.root.open_beneath(
            path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
            0,
        )?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the file was replaced while it was read",
            ));
        }
        Ok(file)
    }

    /// The entry at a path, links not followed.
    pub(super) fn entry(&self, directory: &Directory, path: OsString) -> Result<Entry, FileError> {
        let name = super::split(&path).1;
        let (name, flags) = if name.is_empty() {
            (OsStr::new(""), AtFlags::EMPTY_PATH)
        } else {
            (name, AtFlags::SYMLINK_NOFOLLOW)
        };
        let stat =
            statat(directory, name, flags).map_err(|error| FileError::new("stat", &path, error))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let link = match kind {
            FileType::Symlink => Some(
                directory
                    .read_link(name)
                    .map_err(|error| FileError::new("read the link", &path, error))?,
            ),
            _ => None,
        };
        Ok(Entry {
            path,
            kind,
            stat: Facts::new(&stat),
            link,
            digest: None,
        })
    }
}

/// What the filters say of an entry: `None` to leave it out with all below it, else their verdicts
/// and whether the entry itself is hidden.
fn judge(
    filters: &[Filter<'_>],
    task: &Task,
    path: &OsStr,
    kind: FileType,
) -> Option<(Vec<Verdict>, bool)> {
    let mut verdicts = Vec::with_capacity(filters.len());
    let mut is_hidden = false;
    for (filter, above) in filters.iter().zip(&task.verdicts) {
        let shown = path.as_bytes().get(filter.skip..).unwrap_or_default();
        let verdict = filter.patterns.entry(above, shown);
        if verdict.is_ignored() {
            is_hidden = true;
            let may_be_directory = matches!(kind, FileType::Directory | FileType::Unknown);
            if !may_be_directory || filter.patterns.can_skip(&verdict, shown) {
                return None;
            }
        }
        verdicts.push(verdict);
    }
    Some((verdicts, is_hidden))
}

/// Takes hidden directories out that nothing is kept below.
fn drop_empty(found: &mut Vec<Entry>, hidden: &BTreeSet<OsString>) {
    let mut wanted: HashSet<OsString> = HashSet::new();
    for entry in found.iter().filter(|entry| !hidden.contains(&entry.path)) {
        let mut parent = entry.parent();
        while !parent.is_empty() && wanted.insert(parent.to_owned()) {
            parent = super::split(parent).0;
        }
    }
    found.retain(|entry| !hidden.contains(&entry.path) || wanted.contains(&entry.path));
}
