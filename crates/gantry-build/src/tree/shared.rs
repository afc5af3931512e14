//! What several walks over the same tree need not look at twice.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::walk::Contents;

/// The directories that were read, as long as more than one walk is to come by.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Option<HashMap<OsString, Arc<Once>>>>);

/// A directory that is read by whoever comes first; others wait for it.
#[derive(Debug, Default)]
pub(super) struct Once(Mutex<Option<Arc<Contents>>>);

impl Shared {
    /// Begins to keep what is read, or forgets all of it.
    pub(super) fn keep(&self, keep: bool) {
        *lock(&self.0) = keep.then(HashMap::new);
    }

    /// The place of a directory; none where nothing is kept.
    pub(super) fn of(&self, path: &OsStr) -> Option<Arc<Once>> {
        let mut kept = lock(&self.0);
        let kept = kept.as_mut()?;
        if let Some(known) = kept.get(path) {
            return Some(Arc::clone(known));
        }
        Some(Arc::clone(kept.entry(path.to_owned()).or_default()))
    }
}

impl Once {
    /// What is in the directory, which is read if nobody did. Where that fails the next one tries.
    pub(super) fn get_or<E>(
        &self,
        read: impl FnOnce() -> Result<Contents, E>,
    ) -> Result<Arc<Contents>, E> {
        let mut known = lock(&self.0);
        if let Some(contents) = &*known {
            return Ok(Arc::clone(contents));
        }
        Ok(Arc::clone(known.insert(Arc::new(read()?))))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
