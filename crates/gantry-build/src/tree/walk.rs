//! Walking a directory on several threads, and hashing what was found.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use gantry_dockerfile::ignore::{IgnoreFile, Verdict};
use gantry_sys::path::Directory;
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
}

/// A directory that is to be read.
#[derive(Debug)]
struct Task {
    path: OsString,
    /// What each filter says of it.
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Default)]
struct Shared {
    open: Vec<Task>,
    /// Threads that are reading a directory and may add to `open`.
    busy: usize,
    found: Vec<Entry>,
    /// Directories that are ignored themselves, kept if something below them is.
    hidden: BTreeSet<OsString>,
    failed: Option<FileError>,
}

struct Walk<'w> {
    tree: &'w Tree,
    filters: &'w [Filter<'w>],
    shared: Mutex<Shared>,
    changed: Condvar,
}

impl Tree {
    /// Everything below the directory at `path` that no filter hides, in the order of paths.
    pub(super) fn walk(
        &self,
        path: &OsStr,
        filters: &[Filter<'_>],
        verdicts: Vec<Verdict>,
    ) -> Result<Vec<Entry>, FileError> {
        let walk = Walk {
            tree: self,
            filters,
            shared: Mutex::default(),
            changed: Condvar::new(),
        };
        let first = Task {
            path: path.to_owned(),
            verdicts,
        };
        let (found, below, hidden) = walk.read(&first)?;
        {
            let mut shared = walk.lock();
            shared.found = found;
            shared.open = below;
            shared.hidden.extend(hidden);
        }
        let many = walk.lock().open.len() > 1;
        std::thread::scope(|scope| {
            if many {
                for _ in 1..self.threads {
                    scope.spawn(|| walk.work());
                }
            }
            walk.work();
        });
        let shared = walk
            .shared
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = shared.failed {
            return Err(error);
        }
        let mut found = shared.found;
        if !shared.hidden.is_empty() {
            drop_empty(&mut found, &shared.hidden);
        }
        found.sort_unstable_by(|one, other| one.path.as_bytes().cmp(other.path.as_bytes()));
        Ok(found)
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

type Contents = (Vec<Entry>, Vec<Task>, Vec<OsString>);

impl Walk<'_> {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut own = Vec::new();
        loop {
            let mut shared = self.lock();
            let task = loop {
                if shared.failed.is_some() {
                    return;
                }
                if let Some(task) = shared.open.pop() {
                    break task;
                }
                if shared.busy == 0 {
                    shared.found.append(&mut own);
                    self.changed.notify_all();
                    return;
                }
                shared = self
                    .changed
                    .wait(shared)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            shared.busy += 1;
            drop(shared);
            let result = self.read(&task);
            let mut shared = self.lock();
            shared.busy -= 1;
            match result {
                Ok((mut found, mut below, hidden)) => {
                    own.append(&mut found);
                    shared.open.append(&mut below);
                    shared.hidden.extend(hidden);
                }
                Err(error) => shared.failed = Some(error),
            }
            self.changed.notify_all();
        }
    }

    fn read(&self, task: &Task) -> Result<Contents, FileError> {
        let failed = |source| FileError::new("open", &task.path, source);
        let directory = self
            .tree
            .root
            .directory_beneath(&task.path)
            .map_err(failed)?;
        let (mut found, mut below, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        for listed in directory.entries().map_err(failed)? {
            let path = join(&task.path, &listed.name);
            let Some((verdicts, is_hidden)) = self.judge(task, &path, listed.kind) else {
                continue;
            };
            let entry = match self.tree.entry(&directory, path) {
                // Gone since the directory was read.
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if entry.kind == FileType::Socket {
                continue;
            }
            if entry.kind == FileType::Directory {
                if is_hidden {
                    hidden.push(entry.path.clone());
                }
                below.push(Task {
                    path: entry.path.clone(),
                    verdicts,
                });
            } else if is_hidden {
                continue;
            }
            found.push(entry);
        }
        Ok((found, below, hidden))
    }

    /// What the filters say of an entry: `None` to leave it out with all below it, else their
    /// verdicts and whether the entry itself is hidden.
    fn judge(&self, task: &Task, path: &OsStr, kind: FileType) -> Option<(Vec<Verdict>, bool)> {
        let mut verdicts = Vec::with_capacity(self.filters.len());
        let mut is_hidden = false;
        for (filter, above) in self.filters.iter().zip(&task.verdicts) {
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
