//! `ingest/`: where everything lives until it is whole.
//!
//! Each entry is a file or a directory with a random name on which the process that makes it
//! holds an flock. The lock dies with the process, so that an entry which can be locked by
//! somebody else is garbage: no process ids, no clocks, no clean-up on exit that can be missed.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::tree;

/// The ingest folder of a store.
#[derive(Debug)]
pub(crate) struct Ingest {
    path: PathBuf,
    directory: OwnedFd,
}

/// An entry under construction; removed when dropped, unless it was moved away.
#[derive(Debug)]
pub(crate) struct IngestEntry {
    path: PathBuf,
    parent: OwnedFd,
    name: String,
    handle: OwnedFd,
    moved: bool,
}

enum EntryKind {
    File,
    Directory,
}

impl Ingest {
    pub(crate) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let directory = tree::open_directory(fs::CWD, &path)
            .map_err(|errno| StoreError::io("open", &path, errno))?;
        Ok(Self { path, directory })
    }

    /// A new empty file, opened for reading and writing.
    pub(crate) fn file(&self) -> Result<IngestEntry, StoreError> {
        self.entry(&EntryKind::File)
    }

    /// A new empty directory of mode 0700.
    pub(crate) fn directory(&self) -> Result<IngestEntry, StoreError> {
        self.entry(&EntryKind::Directory)
    }

    fn entry(&self, kind: &EntryKind) -> Result<IngestEntry, StoreError> {
        loop {
            let name = random_name()
                .map_err(|errno| StoreError::io("name a file in", &self.path, errno))?;
            let path = self.path.join(&name);
            let failed = |errno: Errno| StoreError::io("create", &path, errno);
            let created = match kind {
                EntryKind::File => fs::openat(
                    &self.directory,
                    &name,
                    OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
                    Mode::RUSR | Mode::WUSR,
                ),
                EntryKind::Directory => fs::mkdirat(&self.directory, &name, Mode::RWXU)
                    .and_then(|()| tree::open_directory(&self.directory, &name)),
            };
            let handle = match created {
                // The name is taken, or a sweep took the directory before it was opened.
                Err(Errno::EXIST | Errno::NOENT) => continue,
                result => result.map_err(failed)?,
            };
            // A sweep may look at the entry between its creation and its lock.
            match fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                result => result.map_err(failed)?,
            }
            if fs::fstat(&handle).map_err(failed)?.st_nlink == 0 {
                continue;
            }
            let parent = self
                .directory
                .try_clone()
                .map_err(|e| StoreError::io("open", &self.path, e))?;
            return Ok(IngestEntry {
                path,
                parent,
                name,
                handle,
                moved: false,
            });
        }
    }

    /// Takes the directory `name` of `from` in as an entry of its own, to be removed.
    pub(crate) fn take(
        &self,
        from: &OwnedFd,
        name: &str,
    ) -> Result<Option<IngestEntry>, StoreError> {
        let entry = self.directory()?;
        match fs::renameat(from, name, &entry.handle, "taken") {
            Ok(()) => Ok(Some(entry)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(StoreError::io("move away", &entry.path, errno)),
        }
    }

    /// The names of the entries whose makers are dead.
    pub(crate) fn stale(&self) -> Result<Vec<String>, StoreError> {
        self.each_stale(|_, _| Ok(()))
    }

    /// Removes the entries whose makers are dead; says which they were.
    pub(crate) fn sweep(&self) -> Result<Vec<String>, StoreError> {
        self.each_stale(|ingest, name| {
            tree::remove_tree(ingest.directory.as_fd(), name.as_bytes())
                .map_err(|errno| StoreError::io("remove", ingest.path.join(name), errno))
        })
    }

    fn each_stale(
        &self,
        mut each: impl FnMut(&Self, &str) -> Result<(), StoreError>,
    ) -> Result<Vec<String>, StoreError> {
        let entries = tree::sorted_entries(&self.directory)
            .map_err(|errno| StoreError::io("list", &self.path, errno))?;
        let mut stale = Vec::new();
        for entry in entries {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(handle) = fs::openat(&self.directory, &entry.name, flags, Mode::empty()) else {
                continue; // finished in the meantime
            };
            if fs::flock(&handle, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue; // its maker lives
            }
            let name = entry.name.to_string_lossy().into_owned();
            each(self, &name)?;
            stale.push(name);
        }
        Ok(stale)
    }
}

impl IngestEntry {
    /// Where it is for the time being.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open (and locked) file or directory.
    pub(crate) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// The file for reading and writing.
    pub(crate) fn as_file(&self) -> Result<File, StoreError> {
        Ok(File::from(
            self.handle
                .try_clone()
                .map_err(|e| StoreError::io("open", &self.path, e))?,
        ))
    }

    /// Renames the whole entry to its final name.
    pub(crate) fn rename(mut self, directory: &OwnedFd, name: &str) -> Result<(), StoreError> {
        fs::renameat(&self.parent, &self.name, directory, name)
            .map_err(|errno| StoreError::io("rename", &self.path, errno))?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for IngestEntry {
    fn drop(&mut self) {
        if !self.moved {
            // What cannot be removed here is found by the next sweep: the lock ends now.
            let _removed = tree::remove_tree(self.parent.as_fd(), self.name.as_bytes());
        }
    }
}

/// Sixteen random bytes in hexadecimal.
pub(crate) fn random_name() -> rustix::io::Result<String> {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(gantry_model::digest::hex_encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_only_what_nobody_holds() {
        let dir = tempfile::tempdir().unwrap();
        let ingest = Ingest::open(dir.path().to_owned()).unwrap();
        let file = ingest.file().unwrap();
        let folder = ingest.directory().unwrap();
        std::fs::write(folder.path().join("x"), "x").unwrap();
        std::fs::create_dir_all(dir.path().join("dead/a/b")).unwrap();
        std::fs::write(dir.path().join("orphan"), "x").unwrap();
        assert_eq!(ingest.stale().unwrap(), ["dead", "orphan"]);
        assert_eq!(ingest.sweep().unwrap(), ["dead", "orphan"]);
        assert!(file.path().exists() && folder.path().exists());
        let (a, b) = (file.path().to_owned(), folder.path().to_owned());
        drop((file, folder));
        assert!(!a.exists() && !b.exists());
    }
}
