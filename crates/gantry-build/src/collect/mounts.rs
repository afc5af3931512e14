//! The folders of cache mounts: `$ROOT/cache-mounts/NAME`, beside each a lock that steps hold as
//! long as they use it, and a note on what it is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gantry_sys::lock::{self, Kind};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::CollectError;

/// What is known of a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Its id.
    pub(crate) id: String,
    /// Where it was mounted last.
    pub(crate) target: String,
    /// How often.
    pub(crate) uses: u64,
}

/// A cache as it lies there.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) folder: PathBuf,
    pub(super) note: Note,
    pub(super) created: i64,
    pub(super) last_used: i64,
    pub(super) size: u64,
    pub(super) in_use: bool,
}

/// Where caches lie, below `$ROOT`.
pub(crate) fn root(root: &Path) -> PathBuf {
    root.join("cache-mounts")
}

fn lock_of(folder: &Path) -> PathBuf {
    folder.with_extension("lock")
}

fn note_of(folder: &Path) -> PathBuf {
    folder.with_extension("json")
}

/// Opens the lock of a cache, making it if there is none.
pub(crate) fn open_lock(folder: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock_of(folder))
}

/// Whether a lock is still that of the cache: a collection takes it away while it holds it.
pub(crate) fn is_current(guard: &File, folder: &Path) -> io::Result<bool> {
    match fs::metadata(lock_of(folder)) {
        Ok(there) => Ok(there.ino() == guard.metadata()?.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives files the name of a cache. Where there is one of that name, somebody else who shares it
/// was faster, and it stays.
pub(crate) fn settle(files: &Path, folder: &Path) -> io::Result<()> {
    match renameat_with(CWD, files, CWD, folder, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Ok(()),
        done => Ok(done?),
    }
}

/// Notes that a cache is being used, whose lock is held.
pub(crate) fn note_use(folder: &Path, id: &str, target: &str, guard: &File) {
    let note = Note {
        id: id.to_owned(),
        target: target.to_owned(),
        uses: read_note(folder).uses + 1,
    };
    // A note is of use to nobody but a listing.
    let aside = folder.with_extension(format!("{}.aside", std::process::id()));
    let text = serde_json::to_vec(&note).expect("texts and numbers are JSON");
    let _written = fs::write(&aside, text)
        .and_then(|()| fs::rename(&aside, note_of(folder)))
        .and_then(|()| guard.set_modified(SystemTime::now()));
}

fn read_note(folder: &Path) -> Note {
    let text = fs::read(note_of(folder)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// The caches that there are.
pub(super) fn list(root: &Path) -> Result<Vec<Mount>, CollectError> {
    let failed = |source| CollectError::io("read", root, source);
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut mounts = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let folder = entry.path();
        // Gone meanwhile.
        let Ok(status) = entry.metadata() else {
            continue;
        };
        if !status.is_dir() {
            continue;
        }
        let guard = File::open(lock_of(&folder)).ok();
        let last_used = guard
            .as_ref()
            .and_then(|guard| guard.metadata().ok())
            .map_or(status.mtime(), |status| status.mtime());
        let in_use = guard.is_some_and(|guard| {
            let free = lock::try_lock(&guard, Kind::Exclusive);
            !free.unwrap_or(false)
        });
        mounts.push(Mount {
            note: read_note(&folder),
            created: born(&status),
            last_used,
            size: gantry_sys::usage::disk_usage(&folder).unwrap_or(0),
            in_use,
            folder,
        });
    }
    mounts.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(mounts)
}

/// When a folder was made, in seconds since 1970, as far as the file system knows.
fn born(status: &fs::Metadata) -> i64 {
    let since = status.created().ok().and_then(|time| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    });
    since.unwrap_or_else(|| status.ctime())
}

/// Removes a cache that nobody uses; says whether it did.
pub(super) fn remove(folder: &Path) -> Result<bool, CollectError> {
    let failed = |source| CollectError::io("remove", folder, source);
    let guard = open_lock(folder).map_err(failed)?;
    if !lock::try_lock(&guard, Kind::Exclusive).map_err(failed)?
        || !is_current(&guard, folder).map_err(failed)?
    {
        return Ok(false);
    }
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match fs::remove_dir_all(folder) {
        Err(error) if !absent(&error) => return Err(failed(error)),
        _ => {}
    }
    // The lock last: who waits for it sees that it is gone, and begins anew.
    for path in [note_of(folder), lock_of(folder)] {
        match fs::remove_file(path) {
            Err(error) if !absent(&error) => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("abc");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), vec![1; 10_000]).unwrap();
        let guard = open_lock(&folder).unwrap();
        lock::lock(&guard, Kind::Shared).unwrap();
        note_use(&folder, "id", "/target", &guard);
        note_use(&folder, "id", "/target", &guard);
        let listed = list(root.path()).unwrap();
        let [mount] = &listed[..] else {
            panic!("{listed:?}");
        };
        assert!(mount.in_use && mount.size >= 10_000 && mount.last_used > 0);
        assert_eq!((mount.note.id.as_str(), mount.note.uses), ("id", 2));
        assert!(!remove(&folder).unwrap());
        assert!(is_current(&guard, &folder).unwrap());
        drop(guard);
        assert!(remove(&folder).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
