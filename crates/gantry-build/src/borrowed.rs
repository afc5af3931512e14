//! Caches from elsewhere, which a build may borrow from.
//!
//! What such a cache claims of a key counts for the builds that name it and is never recorded
//! here: a build that does not name it works as if there were none.

use std::path::Path;

use gantry_model::{Digest, StepRecord};

use crate::base::BaseImageError;

/// What a cache has under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BorrowedLayer {
    /// The layer, which is in the store.
    pub diff_id: Digest,
    /// When it was made, RFC 3339.
    pub created: String,
}

/// Caches from elsewhere; implemented over the engine by the command line.
pub trait BorrowedCache: Sync {
    /// The layer that a step of this key made, brought into the store if need be; `None` where
    /// none of the caches has one. Called from several threads at once.
    ///
    /// # Errors
    /// The layer cannot be had, or is not what it should be. The step is run then.
    fn bring(&self, key: &[u8; 32]) -> Result<Option<BorrowedLayer>, BaseImageError>;

    /// The steps that these caches know by BuildKit's names.
    fn records(&self) -> &[StepRecord];

    /// The layer that the step of this one of the [records](Self::records) made, as for
    /// [`bring`](Self::bring).
    ///
    /// # Errors
    /// The layer cannot be had, or is not what it should be. The step is run then.
    fn bring_record(&self, record: usize) -> Result<Option<BorrowedLayer>, BaseImageError>;

    /// Puts the files of the cache mount of this name into an empty directory, whose owner and
    /// mode become theirs; how many bytes were fetched, `None` where none of the caches has it.
    ///
    /// # Errors
    /// The files cannot be had, or are not what they should be; the directory is in any state then.
    fn fill(&self, name: &str, into: &Path) -> Result<Option<u64>, BaseImageError>;
}

/// A step as other builds may find it: its key, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedStep {
    /// How it is shown: `[build 2/4] RUN make`.
    pub name: String,
    /// The key.
    pub key: [u8; 32],
    /// The layers of the root file system it made, base first; the last one is its own.
    pub layers: Vec<Digest>,
    /// When its layer was made, RFC 3339.
    pub created: String,
}
