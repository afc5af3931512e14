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
use gantry_sys::mount::{Attributes, Overlay};
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
        let overlay = Overlay {
            lowers: &lowers,
            or_program: true,
            ..Overlay::default()
        };
        let mount = overlay
            .mount(Attributes::READ_ONLY)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        Ok(Directory::from(OwnedFd::from(mount)))
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
