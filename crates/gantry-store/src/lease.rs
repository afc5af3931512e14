//! Leases: what a living process needs, a collection leaves alone.
//!
//! A lease is one file in `leases/`, held by flock as long as its process lives; its lines name
//! layers, blobs and images. No database write, and nothing to clean up after a crash: a lease
//! whose lock can be taken is over.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gantry_model::Digest;
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::ingest::random_name;
use crate::store::Store;
use crate::tree;

/// What a lease can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A layer by its diff ID.
    Layer(Digest),
    /// A blob by its digest.
    Blob(Digest),
    /// An image by its id, with its layers and blobs.
    Image(Digest),
}

/// Keeps resources from being collected until it is dropped or its process ends.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    file: LeaseFile,
}

impl Lease {
    pub(crate) fn new(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            store: store.clone(),
            file: LeaseFile::create(&store.leases_path())?,
        })
    }

    /// Holds a layer; says whether it is there.
    ///
    /// # Errors
    /// When the lease cannot be written or the database cannot be read.
    pub fn layer(&self, diff_id: &Digest) -> Result<bool, StoreError> {
        self.hold(Resource::Layer(*diff_id))?;
        self.store.layers().contains(diff_id)
    }

    /// Holds a blob; says whether it is there.
    ///
    /// # Errors
    /// When the lease cannot be written.
    pub fn blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.hold(Resource::Blob(*digest))?;
        self.store.blobs().contains(digest)
    }

    /// Holds an image with all it consists of; says whether it is there.
    ///
    /// # Errors
    /// When the lease cannot be written or the database cannot be read.
    pub fn image(&self, id: &Digest) -> Result<bool, StoreError> {
        self.hold(Resource::Image(*id))?;
        self.store.images().contains(id)
    }

    /// Holds a resource, there or not yet there.
    ///
    /// # Errors
    /// When the lease cannot be written.
    pub fn hold(&self, resource: Resource) -> Result<(), StoreError> {
        // A collection that is deciding at this moment finishes first.
        let _shared = self.store.lock_shared()?;
        self.file.append(resource)
    }
}

/// The file of a lease; the caller holds the store's lock where that matters.
#[derive(Debug)]
pub(crate) struct LeaseFile {
    path: PathBuf,
    file: Mutex<(File, HashSet<Resource>)>,
}

impl LeaseFile {
    pub(crate) fn create(leases: &Path) -> Result<Self, StoreError> {
        loop {
            let name = random_name().map_err(|e| StoreError::io("name a lease in", leases, e))?;
            let path = leases.join(name);
            let failed = |errno: Errno| StoreError::io("create the lease", &path, errno);
            let flags =
                OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::APPEND;
            let handle = match fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
                Err(Errno::EXIST) => continue,
                result => result.map_err(failed)?,
            };
            match fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                result => result.map_err(failed)?,
            }
            if fs::fstat(&handle).map_err(failed)?.st_nlink == 0 {
                continue;
            }
            return Ok(Self {
                path,
                file: Mutex::new((File::from(handle), HashSet::new())),
            });
        }
    }

    pub(crate) fn append(&self, resource: Resource) -> Result<(), StoreError> {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, held) = &mut *guard;
        if held.contains(&resource) {
            return Ok(());
        }
        let line = match resource {
            Resource::Layer(digest) => format!("layer {digest}\n"),
            Resource::Blob(digest) => format!("blob {digest}\n"),
            Resource::Image(digest) => format!("image {digest}\n"),
        };
        file.write_all(line.as_bytes())
            .map_err(|source| StoreError::io("write the lease", &self.path, source))?;
        held.insert(resource);
        Ok(())
    }
}

impl Drop for LeaseFile {
    fn drop(&mut self) {
        let _removed = std::fs::remove_file(&self.path);
    }
}

fn parse_line(line: &str) -> Option<Resource> {
    let (kind, digest) = line.split_once(' ')?;
    let digest = digest.parse().ok()?;
    match kind {
        "layer" => Some(Resource::Layer(digest)),
        "blob" => Some(Resource::Blob(digest)),
        "image" => Some(Resource::Image(digest)),
        _ => None,
    }
}

/// What all living leases hold; removes the dead ones. The caller holds the exclusive lock.
pub(crate) fn held(leases: &Path) -> Result<HashSet<Resource>, StoreError> {
    let failed = |errno: Errno| StoreError::io("read the leases in", leases, errno);
    let directory: OwnedFd = tree::open_directory(fs::CWD, leases).map_err(failed)?;
    let mut resources = HashSet::new();
    for entry in tree::sorted_entries(&directory).map_err(failed)? {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(handle) = fs::openat(&directory, &entry.name, flags, Mode::empty()) else {
            continue;
        };
        if fs::flock(&handle, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _removed = fs::unlinkat(directory.as_fd(), &entry.name, AtFlags::empty());
            continue;
        }
        let mut text = String::new();
        File::from(handle)
            .read_to_string(&mut text)
            .map_err(|source| StoreError::io("read the lease", leases, source))?;
        resources.extend(text.lines().filter_map(parse_line));
    }
    Ok(resources)
}
