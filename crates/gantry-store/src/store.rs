//! The store as a whole: its folders, its lock, its parts.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::blobs::Blobs;
use crate::database::Database;
use crate::error::StoreError;
use crate::images::Images;
use crate::ingest::Ingest;
use crate::layers::Layers;
use crate::lease::{Lease, LeaseFile, Resource};
use crate::limits::Limits;
use crate::records::Records;
use crate::tree;

/// The folders of a store; the last one is made last and so tells that all are there.
const FOLDERS: &[&str] = &[
    "ingest",
    "leases",
    "layers",
    "fixups",
    "blobs",
    "blobs/sha256",
];

/// One store; cheap to clone, shared by threads.
///
/// What this handle brings in (blobs written, layers unpacked or committed, records found) is
/// kept from being collected until its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
    limits: Arc<Limits>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    directory: OwnedFd,
    database: Database,
    ingest: OnceLock<Ingest>,
    layers: OnceLock<OwnedFd>,
    blobs: OnceLock<OwnedFd>,
    session: Mutex<Option<LeaseFile>>,
    boot: OnceLock<String>,
}

/// A held lock on the store; released when dropped.
#[derive(Debug)]
pub(crate) struct StoreLock {
    _file: OwnedFd,
}

impl Store {
    /// Opens the store below `root`, making it if there is none.
    ///
    /// Cheap: the database is connected at its first use.
    ///
    /// # Errors
    /// When the folders cannot be made or opened.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let directory = match tree::open_directory(fs::CWD, root) {
            Err(Errno::NOENT) => {
                create_private(root)?;
                tree::open_directory(fs::CWD, root)
            }
            result => result,
        }
        .map_err(|errno| StoreError::io("open the store", root, errno))?;
        let last = FOLDERS[FOLDERS.len() - 1];
        if fs::accessat(&directory, last, fs::Access::EXISTS, AtFlags::empty()).is_err() {
            for folder in FOLDERS {
                match fs::mkdirat(&directory, *folder, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(StoreError::io("create", root.join(folder), errno)),
                }
            }
        }
        let inner = Inner {
            root: root.to_owned(),
            directory,
            database: Database::new(root),
            ingest: OnceLock::new(),
            layers: OnceLock::new(),
            blobs: OnceLock::new(),
            session: Mutex::new(None),
            boot: OnceLock::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            limits: Arc::default(),
        })
    }

    /// The same store with other bounds of what is accepted from outside.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self {
            limits: Arc::new(limits),
            ..self
        }
    }

    /// The bounds of what is accepted from outside.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Blobs.
    #[must_use]
    pub fn blobs(&self) -> Blobs<'_> {
        Blobs::new(self)
    }

    /// Layers.
    #[must_use]
    pub fn layers(&self) -> Layers<'_> {
        Layers::new(self)
    }

    /// Images and tags.
    #[must_use]
    pub fn images(&self) -> Images<'_> {
        Images::new(self)
    }

    /// Build records.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records::new(self)
    }

    /// A new lease.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        Lease::new(self)
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    pub(crate) fn directory(&self) -> &OwnedFd {
        &self.inner.directory
    }

    pub(crate) fn leases_path(&self) -> PathBuf {
        self.inner.root.join("leases")
    }

    /// The ingest folder; what dead processes left in it is removed at the first call.
    pub(crate) fn ingest(&self) -> Result<&Ingest, StoreError> {
        if let Some(ingest) = self.inner.ingest.get() {
            return Ok(ingest);
        }
        let ingest = Ingest::open(self.inner.root.join("ingest"))?;
        ingest.sweep()?;
        Ok(self.inner.ingest.get_or_init(|| ingest))
    }

    /// The ingest folder as it is.
    pub(crate) fn ingest_unswept(&self) -> Result<Ingest, StoreError> {
        Ingest::open(self.inner.root.join("ingest"))
    }

    pub(crate) fn layers_directory(&self) -> Result<&OwnedFd, StoreError> {
        self.folder(&self.inner.layers, "layers")
    }

    pub(crate) fn blobs_directory(&self) -> Result<&OwnedFd, StoreError> {
        self.folder(&self.inner.blobs, "blobs/sha256")
    }

    fn folder<'a>(
        &'a self,
        slot: &'a OnceLock<OwnedFd>,
        name: &str,
    ) -> Result<&'a OwnedFd, StoreError> {
        if let Some(directory) = slot.get() {
            return Ok(directory);
        }
        let directory = tree::open_directory(&self.inner.directory, name)
            .map_err(|errno| StoreError::io("open", self.inner.root.join(name), errno))?;
        Ok(slot.get_or_init(|| directory))
    }

    /// Held while something becomes visible or leased; collections wait for it and it for them.
    pub(crate) fn lock_shared(&self) -> Result<StoreLock, StoreError> {
        self.lock(FlockOperation::LockShared)
    }

    /// Held while a collection decides and hides.
    pub(crate) fn lock_exclusive(&self) -> Result<StoreLock, StoreError> {
        self.lock(FlockOperation::LockExclusive)
    }

    fn lock(&self, operation: FlockOperation) -> Result<StoreLock, StoreError> {
        let failed = |errno: Errno| StoreError::io("lock", self.inner.root.join("lock"), errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = fs::openat(
            &self.inner.directory,
            "lock",
            flags,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(failed)?;
        loop {
            match fs::flock(&file, operation) {
                Err(Errno::INTR) => {}
                result => break result.map_err(failed)?,
            }
        }
        Ok(StoreLock { _file: file })
    }

    /// Holds a resource for as long as this handle lives. The caller has the store's lock.
    pub(crate) fn hold(&self, _lock: &StoreLock, resource: Resource) -> Result<(), StoreError> {
        let mut session = self
            .inner
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if session.is_none() {
            *session = Some(LeaseFile::create(&self.leases_path())?);
        }
        session.as_ref().expect("made above").append(resource)
    }

    /// Keeps nothing any more of what this handle and its clones brought in: a collection takes
    /// what nothing else refers to. For who is done with all of it.
    pub fn let_go(&self) {
        let mut session = self
            .inner
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        drop(session.take());
    }

    /// The identity of this boot of the machine.
    pub(crate) fn boot(&self) -> Result<&str, StoreError> {
        const PATH: &str = "/proc/sys/kernel/random/boot_id";
        if let Some(boot) = self.inner.boot.get() {
            return Ok(boot);
        }
        let text = std::fs::read_to_string(PATH).map_err(|e| StoreError::io("read", PATH, e))?;
        Ok(self.inner.boot.get_or_init(|| text.trim().to_owned()))
    }

    /// Writes everything the store has written to the disk.
    pub(crate) fn sync_files(&self) -> Result<(), StoreError> {
        fs::syncfs(&self.inner.directory)
            .map_err(|errno| StoreError::io("sync", &self.inner.root, errno))
    }
}

fn create_private(root: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(parent) = root.parent() {
        std::fs::create_dir_all(parent).map_err(|e| StoreError::io("create", parent, e))?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(root) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(StoreError::io("create the store", root, e))
        }
        _ => Ok(()),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
