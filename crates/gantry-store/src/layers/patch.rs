//! Patches: layers of which only what differs from another one is on the disk.
//!
//! A copy of ten thousand files of which one has changed is a layer of its own, with a tar and a
//! diff ID like any other. But its tree (`fs/`) has only what is new or different, and the
//! directories that lead there; overlayfs shows that over the tree of the layer that it is a patch
//! of. Nothing of this other one can be missing in a patch: a whiteout would hide what lower layers
//! have, too.
//!
//! The other is always whole, so there is never more than one to look in beside, and it stays as
//! long as the patch.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use gantry_model::Digest;
use gantry_sys::mount::Overlay;
use gantry_sys::path::Directory;
use rustix::fs::{self, AtFlags, OFlags};
use rustix::io::{self, Errno};

use super::{LayerRow, Layers};
use crate::error::StoreError;
use crate::tree;

/// A whole layer, which others can be patches of. It is held as long as the store's handle lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Its diff ID.
    pub diff_id: Digest,
    /// Its tree.
    pub tree: PathBuf,
}

impl Layers<'_> {
    /// The layer itself, or that which it is a patch of; `None` if it is not there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn whole(&self, diff_id: &Digest) -> Result<Option<Whole>, StoreError> {
        let Some(row) = self.held_row(diff_id)? else {
            return Ok(None);
        };
        let diff_id = match row.patch_of {
            None => *diff_id,
            Some(whole) if self.held_row(&whole)?.is_some() => whole,
            Some(_) => return Ok(None),
        };
        let tree = self.tree(&diff_id);
        Ok(Some(Whole { diff_id, tree }))
    }

    /// The trees that a layer's files are in: its own, and before it that of the layer which it is
    /// a patch of. For overlayfs, base first.
    ///
    /// # Errors
    /// [`StoreError::NoLayer`] when it is not there.
    pub fn trees(&self, diff_id: &Digest) -> Result<Vec<PathBuf>, StoreError> {
        Ok(trees(*self, &self.needed(diff_id)?))
    }

    /// All files of a layer, for reading.
    ///
    /// # Errors
    /// [`StoreError::NoLayer`] when it is not there; another when its tree cannot be opened.
    pub fn open(&self, diff_id: &Digest) -> Result<Directory, StoreError> {
        let mut lowers = self.trees(diff_id)?;
        let own = self.tree(diff_id);
        let failed = |source| StoreError::io("open", &own, source);
        if lowers.len() == 1 {
            return Directory::open(&own).map_err(failed);
        }
        lowers.reverse();
        Overlay::to_read(&lowers, &[])
            .map(Directory::from)
            .map_err(|error| failed(std::io::Error::other(error)))
    }

    /// Whether the layer that `row` is a patch of is there, if it is one.
    pub(super) fn has_whole(&self, row: &LayerRow) -> Result<bool, StoreError> {
        match &row.patch_of {
            None => Ok(true),
            // Should it have become a patch itself (made anew after damage), it is of no use here.
            Some(whole) => Ok(self.row(whole)?.is_some_and(|row| row.patch_of.is_none())),
        }
    }
}

/// The trees of a layer, base first.
pub(super) fn trees(layers: Layers<'_>, row: &LayerRow) -> Vec<PathBuf> {
    let ids = row.patch_of.iter().chain([&row.info.diff_id]);
    ids.map(|id| layers.tree(id)).collect()
}

/// Opens what is at a path in the first tree that has it.
pub(super) fn open_in(roots: &[OwnedFd], path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    first(roots, |root| tree::open_beneath(root, path, flags))
}

/// Opens the parent directory of what is at a path, in the first tree that has it; if none has, the
/// parent directory in the first.
pub(super) fn open_parent(roots: &[OwnedFd], path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let (parent, name) = tree::split_last(path);
    let with_entry = first(roots, |root| {
        let parent = tree::open_beneath(root, parent, flags)?;
        fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(parent)
    });
    match with_entry {
        Err(Errno::NOENT) => open_in(roots, parent, flags),
        other => other,
    }
}

fn first<T>(
    roots: &[OwnedFd],
    mut open: impl FnMut(std::os::fd::BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let mut found = Err(Errno::NOENT);
    for root in roots {
        found = open(root.as_fd());
        if !matches!(found, Err(Errno::NOENT)) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::check::CheckOptions;
    use crate::tar::{Entry, EntryKind};
    use crate::{Roots, Store};

    fn write(draft: &crate::LayerDraft, name: &str, content: &str) {
        let path = draft.upper().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let file = fs::File::open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7))
            .unwrap();
    }

    fn entry(kind: EntryKind, name: &str, mode: u32) -> Entry {
        let mut entry = Entry::new(kind, name.as_bytes());
        entry.mode = mode;
        entry.uid = rustix::process::geteuid().as_raw();
        entry.gid = rustix::process::getegid().as_raw();
        entry.mtime.seconds = 7;
        entry
    }

    /// A whole layer of the files `a` and `b`, and a patch of it with another `b`.
    fn layers(store: &Store) -> (Digest, Digest) {
        let layers = store.layers();
        let draft = layers.draft().unwrap();
        for name in ["a", "b"] {
            write(&draft, name, name);
        }
        let whole = layers.whole(&draft.commit().unwrap().diff_id).unwrap();
        let whole = whole.unwrap();
        let draft = layers.draft().unwrap();
        let mut tar = draft.tar(&entry(EntryKind::Directory, ".", 0o755)).unwrap();
        tar.patch_of(&whole);
        tar.kept(|tar| tar.file(entry(EntryKind::Regular, "a", 0o644), b"a"))
            .unwrap();
        write(&draft, "b", "other");
        tar.file(entry(EntryKind::Regular, "b", 0o644), b"other")
            .unwrap();
        let patch = draft.commit_told(tar).unwrap();
        assert_eq!(
            (patch.files, patch.content_size, patch.disk_usage),
            (2, 6, 4096)
        );
        (whole.diff_id, patch.diff_id)
    }

    #[test]
    fn a_patch_is_a_layer_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("root")).unwrap();
        let (whole, patch) = layers(&store);
        let layers = store.layers();
        let trees = [layers.tree(&whole), layers.tree(&patch)];
        assert_eq!(layers.trees(&patch).unwrap(), trees);
        assert_eq!(layers.lowers(&[patch]).unwrap(), trees);
        assert_eq!(layers.whole(&patch).unwrap().unwrap().diff_id, whole);
        let mut tar = Vec::new();
        layers.tar(&patch).unwrap().read_to_end(&mut tar).unwrap();
        assert!(tar.windows(5).any(|bytes| bytes == b"other"));
        // What is brought to the disk with it is also what it patches.
        layers.sync(&[patch]).unwrap();
        let unsynced = "SELECT count(*) FROM layers WHERE boot IS NOT NULL";
        let count = store.database().read("count", |db| {
            db.query_row(unsynced, [], |row| row.get::<_, i64>(0))
        });
        assert_eq!(count.unwrap(), 0);
        // Its seal is that of both.
        let seal = layers.seal(&patch).unwrap();
        fs::write(trees[0].join("a"), "A").unwrap();
        assert_ne!(layers.seal(&patch).unwrap(), seal);
        assert!(layers.verify(&patch).unwrap().is_err());
        fs::remove_dir_all(&trees[0]).unwrap();
        assert!(!layers.contains(&patch).unwrap(), "half of it is no layer");
    }

    #[test]
    fn a_repair_takes_away_what_patched_a_damaged_layer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("root")).unwrap();
        let (whole, patch) = layers(&store);
        // The patch does not need this file.
        fs::write(store.layers().tree(&whole).join("b"), "B").unwrap();
        assert_eq!(store.layers().verify(&patch).unwrap().err(), None);
        let options = CheckOptions {
            repair: true,
            ..CheckOptions::default()
        };
        store.check(&Roots::default(), options).unwrap();
        assert_eq!(store.layers().list().unwrap(), []);
        let left = fs::read_dir(folder.path().join("root/layers")).unwrap();
        assert_eq!(left.count(), 0);
    }
}
