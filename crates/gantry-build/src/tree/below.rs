//! What is below a directory, in the order of paths, however many look at it.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::Entry;

/// The entries below a directory. Those of one folder are in memory once, for all selections that
/// have them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Below {
    folders: Vec<Arc<[Entry]>>,
    /// Folder and number in it, in the order of paths.
    order: Arc<[(u32, u32)]>,
}

impl Below {
    /// All entries of these folders that are kept.
    pub(super) fn new(folders: Vec<Arc<[Entry]>>, is_kept: impl Fn(&Entry) -> bool) -> Self {
        let count = folders.iter().map(|entries| entries.len()).sum();
        let mut order = Vec::with_capacity(count);
        for (folder, entries) in (0..).zip(&folders) {
            let kept = (0..).zip(entries.iter());
            let kept = kept.filter(|(_, entry)| is_kept(entry));
            order.extend(kept.map(|(number, _)| (folder, number)));
        }
        let path = |place: &(u32, u32)| entry(&folders, *place).path.as_bytes();
        order.sort_unstable_by(|one, other| path(one).cmp(path(other)));
        Self {
            order: order.into(),
            folders,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().map(|place| entry(&self.folders, *place))
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The same with other digests, where there are any.
    pub(crate) fn amended(&self, digest: impl Fn(&Entry) -> Option<[u8; 32]>) -> Self {
        let amended = self.iter().map(|entry| {
            let mut entry = entry.clone();
            entry.amend(digest(&entry));
            entry
        });
        Self {
            folders: vec![amended.collect()],
            order: (0..).take(self.len()).map(|number| (0, number)).collect(),
        }
    }
}

fn entry(folders: &[Arc<[Entry]>], (folder, number): (u32, u32)) -> &Entry {
    &folders[folder as usize][number as usize]
}
