//! The build cache as something that takes room: what is in it, and what goes first.
//!
//! | module | what |
//! | --- | --- |
//! | `rows` | what there is, a row for each |
//! | `plan` | which rows go; pure |
//! | `mounts` | the folders of cache mounts |

mod plan;
mod rows;

pub(crate) mod mounts;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gantry_store::collect::RecordPolicy;
use gantry_store::{CollectPolicy, Roots, Store, StoreError};

pub use rows::{CacheKind, CacheRow};

use rows::{Inventory, Place};

/// The build cache of an installation.
#[derive(Debug, Clone)]
pub struct BuildCache {
    store: Store,
    root: PathBuf,
}

/// How much of the cache is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// So many bytes are always kept.
    pub reserved: u64,
    /// More than so many bytes never; without a bound when 0.
    pub max_used: u64,
    /// As many go as it takes until so many bytes of the file system are free.
    pub min_free: u64,
}

/// The bounds of the cache, and what a collection must know to keep to them.
#[derive(Clone, Copy)]
pub struct Housekeeping<'a> {
    /// How much of the cache is kept.
    pub keep: Keep,
    /// What containers need; nothing is collected where that cannot be known.
    pub roots: &'a (dyn Fn() -> Option<Roots> + Sync),
}

impl fmt::Debug for Housekeeping<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Housekeeping")
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The rows.
    pub rows: Vec<CacheRow>,
    /// Bytes that only the cache keeps, each layer counted once.
    pub used: u64,
    /// Bytes of layers that images have, too, each counted once.
    pub shared: u64,
    /// Bytes of what no build uses at this moment.
    pub reclaimable: u64,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedCache {
    /// The rows.
    pub rows: Vec<CacheRow>,
    /// Bytes of disk set free.
    pub bytes: u64,
}

/// Why the cache cannot be read or pruned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A folder of the cache cannot be read or removed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CollectError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

impl gantry_model::Fault for CollectError {
    fn kind(&self) -> gantry_model::FaultKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Io { .. } => gantry_model::FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.hints(),
            Self::Io { .. } => Vec::new(),
        }
    }
}

impl BuildCache {
    /// The cache of a store and of the folder `$ROOT`.
    #[must_use]
    pub fn new(store: Store, root: &Path) -> Self {
        Self {
            store,
            root: root.to_owned(),
        }
    }

    /// What is in it; `roots` is what containers need.
    ///
    /// # Errors
    /// [`CollectError`].
    pub fn survey(&self, roots: &Roots) -> Result<Survey, CollectError> {
        let inventory = self.inventory(roots)?;
        let unused = inventory.rows.iter().zip(&inventory.items);
        let unused = unused.filter(|(row, _)| !row.in_use).map(|(_, item)| item);
        Ok(Survey {
            used: plan::total(&inventory.items),
            shared: inventory.shared_bytes(),
            reclaimable: plan::total(unused),
            rows: inventory.rows,
        })
    }

    /// Removes what `which` takes and nobody uses, down to what is to be kept: first what was not
    /// used for the longest time, and nothing before what stands on it.
    ///
    /// # Errors
    /// [`CollectError`]; what was removed before is gone.
    pub fn prune(
        &self,
        roots: &Roots,
        which: &dyn Fn(&CacheRow) -> bool,
        keep: Keep,
    ) -> Result<PrunedCache, CollectError> {
        let mut inventory = self.inventory(roots)?;
        for (row, item) in inventory.rows.iter().zip(&mut inventory.items) {
            item.removable = !row.in_use && which(row);
        }
        let free = gantry_sys::system::disk_space(self.store.root())
            .map_err(|source| CollectError::io("look at", self.store.root(), source))?
            .available;
        let chosen = plan::choose(&inventory.items, keep, free);
        self.remove(roots, &inventory, &chosen)
    }

    /// Removes what goes first, until so many bytes more fit within the bounds of the cache; gives
    /// what it takes then. Nothing is removed, and `None` given, where it cannot be known what is
    /// in use.
    pub fn make_room(&self, housekeeping: Housekeeping<'_>, bytes: u64) -> Option<u64> {
        let roots = (housekeeping.roots)()?;
        let bounds = housekeeping.keep;
        let keep = Keep {
            // 0 would be no bound at all.
            max_used: match bounds.max_used {
                0 => 0,
                bound => bound.saturating_sub(bytes).max(1),
            },
            min_free: bounds.min_free.saturating_add(bytes),
            reserved: bounds.reserved,
        };
        self.prune(&roots, &|_| true, keep).ok()?;
        self.survey(&roots).ok().map(|survey| survey.used)
    }

    fn inventory(&self, roots: &Roots) -> Result<Inventory, CollectError> {
        Inventory::take(&self.store, &self.root, roots)
    }

    fn remove(
        &self,
        roots: &Roots,
        inventory: &Inventory,
        chosen: &BTreeSet<usize>,
    ) -> Result<PrunedCache, CollectError> {
        let mut pruned = PrunedCache::default();
        let mut records = BTreeSet::new();
        for number in chosen {
            let row = &inventory.rows[*number];
            match &inventory.places[*number] {
                Place::Records(keys) => records.extend(keys.iter().cloned()),
                Place::File(path) => match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(CollectError::io("remove", path, error));
                    }
                    _ => pruned.bytes += row.size,
                },
                Place::Mount(folder) => {
                    // A build that began meanwhile keeps it.
                    if !mounts::remove(folder)? {
                        continue;
                    }
                    pruned.bytes += row.size;
                }
            }
            pruned.rows.push(row.clone());
        }
        let values: u64 = inventory.value_bytes(&records);
        let policy = CollectPolicy {
            records: RecordPolicy::These(records),
            ..CollectPolicy::default()
        };
        pruned.bytes += values + self.store.collect(roots, &policy)?.bytes;
        Ok(pruned)
    }
}
