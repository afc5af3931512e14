//! Walking a directory on several threads, and hashing what was found.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use gantry_dockerfile::ignore::{IgnoreFile, Verdict};
use gantry_sys::crew;
use gantry_sys::path::{Directory, Listing};
use rustix::fs::{AtFlags, FileType, OFlags, statat};

use super::{Below, Entry, Facts, Tree, content_digest, join};

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
#[derive(Debug)]
pub(super) struct Contents {
    entries: Arc<[Entry]>,
    below: Vec<Task>,
    /// Directories that are ignored themselves, kept if something below them is.
    hidden: Vec<OsString>,
}

/// What one thread found.
#[derive(Debug, Default)]
struct Found {
    folders: Vec<Arc<[Entry]>>,
    hidden: BTreeSet<OsString>,
}

impl Tree {
    /// Everything below the directory at `path` that no filter hides.
    pub(super) fn walk(
        &self,
        path: &OsStr,
        filters: &[Filter<'_>],
        verdicts: Vec<Verdict>,
    ) -> Result<Below, FileError> {
        let first = Task {
            path: path.to_owned(),
            verdicts,
        };
        let read = |task: Task, below: &mut Vec<Task>, found: &mut Found| {
            let contents = self.contents(&task, filters)?;
            below.extend(contents.below.iter().cloned());
            found.hidden.extend(contents.hidden.iter().cloned());
            found.folders.push(Arc::clone(&contents.entries));
            Ok(())
        };
        let mut all = Found::default();
        for mut found in crew::work_off(first, self.threads, read)? {
            all.folders.append(&mut found.folders);
            all.hidden.append(&mut found.hidden);
        }
        let Found { folders, hidden } = all;
        if hidden.is_empty() {
            return Ok(Below::new(folders, |_| true));
        }
        let is_hidden = |entry: &Entry| hidden.contains(&*entry.path);
        let entries = folders.iter().flat_map(|entries| entries.iter());
        let wanted = parents(entries.filter(|entry| !is_hidden(entry)));
        let is_kept = |entry: &Entry| !is_hidden(entry) || wanted.contains(&*entry.path);
        Ok(Below::new(folders.clone(), is_kept))
    }

    /// What is in a directory: as another walk found it, where several look at the same ones.
    fn contents(&self, task: &Task, filters: &[Filter<'_>]) -> Result<Arc<Contents>, FileError> {
        // What the ignore file says follows from the path.
        let shared = if filters.iter().all(|filter| filter.is_ignore_file) {
            self.shared.of(&task.path)
        } else {
            None
        };
        match shared {
            Some(shared) => shared.get_or(|| self.read(task, filters)),
            None => self.read(task, filters).map(Arc::new),
        }
    }

    fn read(&self, task: &Task, filters: &[Filter<'_>]) -> Result<Contents, FileError> {
        let failed = |source| FileError::new("open", &task.path, source);
        let directory = self.root.directory_beneath(&task.path).map_err(failed)?;
        let listing = Listing::read(&directory).map_err(|errno| failed(errno.into()))?;
        let (mut entries, mut below, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
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
                let path = entry.path.to_os_string();
                if is_hidden {
                    hidden.push(path.clone());
                }
                below.push(Task { path, verdicts });
            } else if is_hidden {
                continue;
            }
            entries.push(entry);
        }
        Ok(Contents {
            entries: entries.into(),
            below,
            hidden,
        })
    }

    /// Finds out the digests of regular files, unless nobody asks for them.
    pub(super) fn hash(&self, below: &Below) -> Result<(), FileError> {
        if self.hashes {
            self.hash_missing(below)
        } else {
            Ok(())
        }
    }

    /// The same for what a source names itself.
    pub(super) fn hash_top(&self, top: &mut Entry) -> Result<(), FileError> {
        if self.hashes {
            self.hash_missing_top(top)
        } else {
            Ok(())
        }
    }

    /// Finds out the digest of a regular file that has none.
    pub(crate) fn hash_missing_top(&self, top: &mut Entry) -> Result<(), FileError> {
        if !self.missing(std::iter::once(&*top)).is_empty() {
            top.stat = self.hash_one(top)?;
        }
        Ok(())
    }

    /// Finds out the digests of regular files that have none.
    pub(crate) fn hash_missing(&self, below: &Below) -> Result<(), FileError> {
        let missing = self.missing(below.iter());
        if missing.is_empty() {
            return Ok(());
        }
        let threads = self.threads.min(missing.len().div_ceil(16));
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            while let Some(entry) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.hash_one(entry) {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    next.store(missing.len(), Ordering::Relaxed);
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

    /// The regular files that have no digest and whose facts are not known, either.
    fn missing<'e>(&self, entries: impl Iterator<Item = &'e Entry>) -> Vec<&'e Entry> {
        let mut cache = self
            .cache
            .as_ref()
            .map(|cache| cache.lock().unwrap_or_else(PoisonError::into_inner));
        let missing = |entry: &&Entry| {
            if entry.kind != FileType::RegularFile || entry.digest().is_some() {
                return false;
            }
            let known = cache.as_mut().and_then(|cache| cache.find(&entry.stat));
            known.is_none_or(|digest| {
                entry.learn(digest);
                false
            })
        };
        entries.filter(missing).collect()
    }

    /// Reads a file for its digest; gives what it was when that was done.
    fn hash_one(&self, entry: &Entry) -> Result<Facts, FileError> {
        let failed = |source| FileError::new("read", &entry.path, source);
        let when = SystemTime::now();
        let file = self.open_file(&entry.path).map_err(failed)?;
        let before = Facts::new(&rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?);
        let digest = content_digest(&file, before.size, &|| self.goes_on()).map_err(failed)?;
        entry.learn(digest);
        self.learn(&file, &before, &digest, when);
        Ok(before)
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
            path: path.into(),
            kind,
            stat: Facts::new(&stat),
            link: link.map(Into::into),
            digest: OnceLock::new(),
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

/// The directories above these entries.
fn parents<'e>(entries: impl Iterator<Item = &'e Entry>) -> HashSet<&'e OsStr> {
    let mut parents = HashSet::new();
    for entry in entries {
        let mut parent = entry.parent();
        while !parent.is_empty() && parents.insert(parent) {
            parent = super::split(parent).0;
        }
    }
    parents
}
