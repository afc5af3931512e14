//! Room for what is about to be written: the cache is kept within its bounds before a step runs,
//! not when the disk is full.

use std::sync::{Mutex, PoisonError};

use gantry_store::Store;

use crate::collect::{BuildCache, Housekeeping};

/// What the cache takes as far as this build knows, and what it may take.
pub(crate) struct Room<'r> {
    store: Store,
    cache: BuildCache,
    housekeeping: Option<Housekeeping<'r>>,
    /// Bytes; not known before a step runs.
    used: Mutex<Option<u64>>,
}

impl<'r> Room<'r> {
    pub(crate) fn new(
        store: &Store,
        root: &std::path::Path,
        housekeeping: Option<Housekeeping<'r>>,
    ) -> Self {
        Self {
            store: store.clone(),
            cache: BuildCache::new(store.clone(), root),
            housekeeping,
            used: Mutex::new(None),
        }
    }

    /// Makes room for so many bytes, as far as something can go.
    pub(super) fn reserve(&self, bytes: u64) {
        let Some(housekeeping) = self.housekeeping else {
            return;
        };
        let keep = housekeeping.keep;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be measured is no reason to fail a build.
        let measure = || {
            let survey = self.cache.survey(&(housekeeping.roots)()?);
            survey.ok().map(|survey| survey.used)
        };
        let now = used.or_else(measure).unwrap_or(0);
        *used = Some(now);
        let space = gantry_sys::system::disk_space(self.store.root());
        let lacks = space.is_ok_and(|space| space.available < keep.min_free.saturating_add(bytes));
        if lacks || (keep.max_used > 0 && now.saturating_add(bytes) > keep.max_used) {
            *used = Some(self.cache.make_room(housekeeping, bytes).unwrap_or(now));
        }
    }

    /// Counts what was written.
    pub(super) fn add(&self, bytes: u64) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = &mut *used {
            *used = used.saturating_add(bytes);
        }
    }
}

impl std::fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}
