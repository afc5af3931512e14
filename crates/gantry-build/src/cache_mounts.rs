//! Cache mounts that leave with a cache: which ones a build used, and how nobody writes to one
//! while it is read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use gantry_sys::lock::{self, Kind};

use crate::cache::wait_for_lock;
use crate::cancel::Cancellation;
use crate::collect::mounts;
use crate::error::StepError;
use crate::secrets::leaks::Search;
use crate::stop::Stop;

/// A cache mount of a step that was looked up or ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedCacheMount {
    /// What it is called on every machine: made of its id and of the files that it began with.
    pub name: String,
    /// Its id.
    pub id: String,
    /// `shared`, `private` or `locked`.
    pub sharing: &'static str,
    /// Who owns a new one.
    pub uid: u32,
    /// The group of a new one.
    pub gid: u32,
    /// The mode of a new one.
    pub mode: u32,
    /// Where it is, if it is here.
    pub(crate) folder: PathBuf,
}

/// A cache mount that no step can use as long as this value lives.
#[derive(Debug)]
pub struct HeldCacheMount {
    folder: PathBuf,
    _lock: File,
}

impl HeldCacheMount {
    /// Its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The cache mounts of a build.
#[derive(Debug)]
pub struct CacheMounts {
    pub(crate) used: Vec<UsedCacheMount>,
    /// For the secrets that the steps borrowed.
    pub(crate) search: Option<Search>,
}

impl CacheMounts {
    /// Those of all its steps, in the order of their names.
    #[must_use]
    pub fn used(&self) -> &[UsedCacheMount] {
        &self.used
    }

    /// Holds a cache mount, to be read as a whole: waits until no step of any build uses it,
    /// whatever its sharing, and lets none begin; `waits` is called where there is one. `None` where it is not on this machine.
    ///
    /// # Errors
    /// [`StepError::Leaked`] where a secret of the build is in it, [`StepError::Canceled`] where
    /// that came first.
    pub fn hold(
        &self,
        mount: &UsedCacheMount,
        cancellation: &Cancellation,
        waits: &dyn Fn(),
    ) -> Result<Option<HeldCacheMount>, StepError> {
        let folder = &mount.folder;
        let failed = |source: io::Error| StepError::io("read the cache", folder, source);
        let stop = Stop::new(cancellation.clone()).map_err(failed)?;
        let guard = loop {
            if !folder.exists() {
                return Ok(None);
            }
            let guard = mounts::open_lock(folder).map_err(failed)?;
            let guard = if lock::try_lock(&guard, Kind::Exclusive).map_err(failed)? {
                guard
            } else {
                waits();
                wait_for_lock(guard, Kind::Exclusive, &stop)
                    .map_err(failed)?
                    .ok_or(StepError::Canceled)?
            };
            if mounts::is_current(&guard, folder).map_err(failed)? {
                break guard;
            }
        };
        if !folder.exists() {
            return Ok(None);
        }
        if let Some(search) = &self.search
            && let Some(leak) = search.in_folder(folder, &stop).map_err(failed)?
        {
            return Err(StepError::Leaked {
                id: leak.id,
                place: format!("{} of the cache mount {}", leak.path.display(), mount.id),
            });
        }
        Ok(Some(HeldCacheMount {
            folder: folder.clone(),
            _lock: guard,
        }))
    }
}
