//! A tree of files that is copied from: the build context, or the root file system of a stage.
//!
//! Everything is opened relative to one descriptor and no link ever leads out of it. Nothing is
//! read before something asks for it: a build that copies one file of a large context looks at
//! that file only.

mod below;
mod digest;
mod select;
mod shared;
mod stat_cache;
mod walk;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use gantry_dockerfile::ignore::IgnoreFile;
use gantry_sys::path::Directory;
use rustix::fs::{FileType, Stat};

use crate::stop::Stop;
pub(crate) use below::Below;
pub(crate) use digest::{
    Attribute, Copied, HashingReader, Nowhere, Target, attributes, content_digest, copy_and_digest,
    digest_of_bytes,
};
pub(crate) use select::{Match, SelectError};
use shared::Shared;
pub(crate) use stat_cache::StatCache;
pub(crate) use walk::FileError;

/// A tree of files.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Directory,
    /// How messages call it.
    name: PathBuf,
    ignore: IgnoreFile,
    /// Digests of files by what `stat` says about them; none where files cannot change.
    cache: Option<Mutex<StatCache>>,
    threads: usize,
    /// Whether the content of what is selected is looked at. Where nothing can be known of it, the
    /// copy is the first to read it, and tells its digest.
    hashes: bool,
    /// What stops the build, where somebody may.
    stop: Option<Stop>,
    /// Bytes that were read to hash them.
    read: AtomicU64,
    shared: Shared,
}

impl Tree {
    /// The client's context.
    pub(crate) fn context(
        path: &Path,
        ignore: IgnoreFile,
        cache: StatCache,
        threads: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            root: Directory::open(path)?,
            name: path.to_owned(),
            ignore,
            cache: Some(Mutex::new(cache)),
            threads,
            hashes: true,
            stop: None,
            read: AtomicU64::new(0),
            shared: Shared::default(),
        })
    }

    /// The root file system of a stage or image.
    pub(crate) fn rootfs(root: Directory, threads: usize) -> Self {
        Self {
            root,
            name: PathBuf::from("/"),
            ignore: IgnoreFile::from_patterns([]).expect("no pattern is wrong"),
            cache: None,
            threads,
            hashes: true,
            stop: None,
            read: AtomicU64::new(0),
            shared: Shared::default(),
        }
    }

    /// The same tree, whose files are read until the build is to stop.
    pub(crate) fn until(self, stop: &Stop) -> Self {
        Self {
            stop: Some(stop.clone()),
            ..self
        }
    }

    /// Whether files are still to be read.
    pub(crate) fn goes_on(&self) -> io::Result<()> {
        self.stop.as_ref().map_or(Ok(()), Stop::goes_on)
    }

    /// The same tree, of whose files nothing but names and status is looked at.
    pub(crate) fn unread(self) -> Self {
        Self {
            hashes: false,
            ..self
        }
    }

    /// Bytes that had to be read to know the content of files.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Whether what is looked at is kept for others who are about to look at it as well. They all see
    /// the same files then.
    pub(crate) fn share(&self, share: bool) {
        self.shared.keep(share);
    }

    /// The directory at the top.
    pub(crate) fn root(&self) -> &Directory {
        &self.root
    }

    /// A path of the tree as messages show it.
    pub(crate) fn shown(&self, path: &OsStr) -> PathBuf {
        self.name.join(path)
    }

    /// Learns the digest of an open file that was read whole from `when` on, and had these facts
    /// before.
    pub(crate) fn learn(&self, file: &File, before: &Facts, digest: &[u8; 32], when: SystemTime) {
        self.read.fetch_add(before.size, Ordering::Relaxed);
        let Some(cache) = &self.cache else { return };
        let unchanged = rustix::fs::fstat(file).is_ok_and(|stat| Facts::new(&stat) == *before);
        if unchanged {
            cache
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remember(before, digest, when);
        }
    }

    /// Writes what was learnt about files.
    pub(crate) fn save(&self) {
        if let Some(cache) = &self.cache {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            // Without it the next build reads more than it must; no reason to fail this one.
            let _saved = cache.save();
        }
    }
}

/// One file of a selection. There are as many as files in a context: small, without slack.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its path in the tree, `/` between components, none in front.
    pub(crate) path: Box<OsStr>,
    pub(crate) kind: FileType,
    pub(crate) stat: Facts,
    /// Where a symbolic link leads.
    pub(crate) link: Option<Box<OsStr>>,
    digest: OnceLock<[u8; 32]>,
}

impl Entry {
    /// A directory.
    pub(crate) fn directory(path: &OsStr, stat: Facts) -> Self {
        Self {
            path: path.into(),
            kind: FileType::Directory,
            stat,
            link: None,
            digest: OnceLock::new(),
        }
    }

    /// Digest of content and extended attributes, of regular files once it was asked for.
    pub(crate) fn digest(&self) -> Option<&[u8; 32]> {
        self.digest.get()
    }

    /// Takes the digest of what was read, unless there is one; gives the one that it has then.
    pub(crate) fn learn(&self, digest: [u8; 32]) -> &[u8; 32] {
        self.digest.get_or_init(|| digest)
    }

    /// Takes a digest in place of the one that it has, if any is given.
    pub(crate) fn amend(&mut self, digest: Option<[u8; 32]>) {
        if let Some(digest) = digest {
            self.digest = digest.into();
        }
    }

    /// The directory it is in; empty at the top.
    pub(crate) fn parent(&self) -> &OsStr {
        split(&self.path).0
    }

    /// Its name; empty for the top itself.
    pub(crate) fn name(&self) -> &OsStr {
        split(&self.path).1
    }
}

/// What `stat` says, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Permission bits, all twelve.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Whether it has other names as well.
    pub(crate) linked: bool,
    /// Device number of a device node.
    pub(crate) special: u64,
    /// 512-byte blocks on disk.
    pub(crate) blocks: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, u32),
    pub(crate) changed: (i64, u32),
}

impl Facts {
    /// Bytes that a copy takes: holes take none.
    pub(crate) fn on_disk(&self) -> u64 {
        self.size.min(self.blocks.saturating_mul(512))
    }

    pub(crate) fn new(stat: &Stat) -> Self {
        let nanoseconds = |value: u64| u32::try_from(value).unwrap_or(0);
        Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            device: stat.st_dev,
            inode: stat.st_ino,
            linked: stat.st_nlink > 1,
            special: stat.st_rdev,
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
        }
    }
}

/// A path split into its directory and its name.
pub(crate) fn split(path: &OsStr) -> (&OsStr, &OsStr) {
    let bytes = path.as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (
            OsStr::from_bytes(&bytes[..at]),
            OsStr::from_bytes(&bytes[at + 1..]),
        ),
        None => (OsStr::new(""), path),
    }
}

/// `name` in `directory`.
pub(crate) fn join(directory: &OsStr, name: &OsStr) -> OsString {
    if directory.is_empty() {
        return name.to_owned();
    }
    let mut path = OsString::with_capacity(directory.len() + 1 + name.len());
    path.push(directory);
    path.push("/");
    path.push(name);
    path
}

/// A path of the image, absolute, as messages show it.
pub(crate) fn absolute(path: &OsStr) -> String {
    format!("/{}", path.to_string_lossy())
}

/// The shortest absolute path of the same meaning; `..` at the root stays there.
pub(crate) fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}
