//! Drafts: layers made here, by a container's writes or by a builder's copies.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use rustix::fs::{self, Stat};
use sha2::{Digest as _, Sha256};

use super::draft_tar::DraftTar;
use super::publish::{Finished, publish};
use super::recipe::RecipeWriter;
use super::unpack::{make_directory, overlay_names, recipe_file};
use super::{LayerInfo, LayerRow, flags};
use crate::error::StoreError;
use crate::ingest::IngestEntry;
use crate::pack::{self, GoesOn, PackError, Packed, Sink};
use crate::store::Store;
use crate::tar::Fragment;
use crate::tree;

/// A layer under construction; removed when dropped before [`LayerDraft::commit`].
#[derive(Debug)]
pub struct LayerDraft {
    store: Store,
    pub(super) entry: IngestEntry,
    upper: PathBuf,
    work: PathBuf,
    pub(super) root: Option<RootMark>,
}

/// Mode and owner of the root directory as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RootMark(pub(super) u32, pub(super) u32, pub(super) u32);

impl RootMark {
    fn of(status: &Stat) -> Self {
        Self(status.st_mode, status.st_uid, status.st_gid)
    }
}

impl LayerDraft {
    pub(super) fn create(store: &Store) -> Result<Self, StoreError> {
        let entry = store.ingest()?.directory()?;
        let upper = make_directory(entry.handle(), "fs", entry.path())?;
        let mode = fs::Mode::from_raw_mode(0o755);
        fs::fchmod(&upper, mode).map_err(|e| StoreError::io("prepare", entry.path(), e))?;
        make_directory(entry.handle(), "work", entry.path())?;
        let mut draft = Self {
            store: store.clone(),
            upper: entry.path().join("fs"),
            work: entry.path().join("work"),
            entry,
            root: None,
        };
        draft.root = Some(draft.mark()?);
        Ok(draft)
    }

    /// The directory to be filled: an overlayfs upper directory, or the target of copies.
    #[must_use]
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    /// The work directory overlayfs wants beside it.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    fn mark(&self) -> Result<RootMark, StoreError> {
        fs::stat(&self.upper)
            .map(|status| RootMark::of(&status))
            .map_err(|errno| StoreError::io("look at", &self.upper, errno))
    }

    /// Gives the root directory the mode and owner of the merged root it will lie over
    /// (`lower` is the topmost of [`crate::Layers::lowers`]), so that a mount shows them.
    ///
    /// # Errors
    /// When `lower` cannot be looked at.
    pub fn inherit_root(&mut self, lower: &Path) -> Result<(), StoreError> {
        let status = fs::stat(lower).map_err(|e| StoreError::io("look at", lower, e))?;
        let failed = |errno| StoreError::io("prepare", &self.upper, errno);
        if rustix::process::geteuid().is_root() {
            let owner = (
                fs::Uid::from_raw(status.st_uid),
                fs::Gid::from_raw(status.st_gid),
            );
            fs::chown(&self.upper, Some(owner.0), Some(owner.1)).map_err(failed)?;
        }
        fs::chmod(
            &self.upper,
            fs::Mode::from_raw_mode(status.st_mode & 0o7777),
        )
        .map_err(failed)?;
        self.root = Some(self.mark()?);
        Ok(())
    }

    /// Makes the draft a layer: what overlayfs left in it is normalised, it is packed to learn
    /// its diff ID, and renamed into place. Nothing may be mounted over it any more.
    ///
    /// The root directory is part of the layer only if its mode or owner was changed.
    ///
    /// # Errors
    /// [`PackError`]; the draft is removed then.
    pub fn commit(self) -> Result<LayerInfo, PackError> {
        self.commit_while(&pack::always)
    }

    /// The same, as long as it goes on: all files are read, which may take long.
    ///
    /// # Errors
    /// As [`LayerDraft::commit`], and when it does not go on.
    pub fn commit_while(self, goes_on: &GoesOn<'_>) -> Result<LayerInfo, PackError> {
        self.remove_work()?;
        let list_root = self.root != Some(self.mark()?);
        let failed = |source| StoreError::io("write the recipe in", self.entry.path(), source);
        let recipe = recipe_file(self.entry.handle(), self.entry.path())?;
        let sink = DraftSink {
            hasher: Sha256::new(),
            recipe: Some(RecipeWriter::new(recipe).map_err(failed)?),
            recording: true,
        };
        let (packed, sink) = pack_upper(&self.upper, list_root, sink, goes_on)?;
        self.finish(packed, sink, list_root, None)
    }

    /// Makes the draft a layer whose tar was told while it was filled, without reading it again.
    ///
    /// # Errors
    /// [`PackError`]; the draft is removed then.
    pub fn commit_told(self, tar: DraftTar) -> Result<LayerInfo, PackError> {
        self.remove_work()?;
        let DraftTar {
            writer,
            packed,
            lists_root,
            patch_of,
            ..
        } = tar;
        let sink = writer
            .finish()
            .map_err(|source| PackError::Write { source })?;
        #[cfg(debug_assertions)]
        if patch_of.is_none() {
            self.compare(&sink, lists_root)?;
        }
        let store = self.store.clone();
        let info = self.finish(packed, sink, lists_root, patch_of)?;
        debug_assert!(
            patch_of.is_none() || store.layers().verify(&info.diff_id)?.is_ok(),
            "the tar that was told is not that of the patch {}",
            info.diff_id
        );
        Ok(info)
    }

    /// What was told must be what is there.
    #[cfg(debug_assertions)]
    fn compare(&self, told: &DraftSink, lists_root: bool) -> Result<(), PackError> {
        debug_assert_eq!(lists_root, self.root != Some(self.mark()?), "the root");
        let sink = DraftSink {
            hasher: Sha256::new(),
            recipe: None,
            recording: true,
        };
        let (_, found) = pack_upper(&self.upper, lists_root, sink, &pack::always)?;
        debug_assert_eq!(
            found.hasher.finalize(),
            told.hasher.clone().finalize(),
            "the tar that was told is not the draft's in {}",
            self.upper.display()
        );
        Ok(())
    }

    fn remove_work(&self) -> Result<(), StoreError> {
        tree::remove_tree(self.entry.handle().as_fd(), b"work")
            .map_err(|errno| StoreError::io("remove", &self.work, errno))
    }

    fn finish(
        self,
        packed: Packed,
        sink: DraftSink,
        list_root: bool,
        patch_of: Option<Digest>,
    ) -> Result<LayerInfo, PackError> {
        let failed = |source| StoreError::io("write the recipe in", self.entry.path(), source);
        let tar_size = match sink.recipe {
            Some(recipe) => recipe.finish().map_err(failed)?,
            None => 0,
        };
        let info = LayerInfo {
            diff_id: Digest::from_bytes(sink.hasher.finalize().into()),
            tar_size,
            content_size: packed.content_size,
            files: packed.files,
            disk_usage: packed.disk_usage,
        };
        let flags = if list_root {
            flags::SPECIAL_ROOT
        } else {
            flags::IMPLIED_ROOT
        };
        let row = LayerRow {
            info,
            flags,
            patch_of,
        };
        Ok(publish(
            &self.store,
            Finished {
                entry: self.entry,
                row,
                blob: None,
            },
            None,
        )?)
    }
}

fn pack_upper(
    upper: &Path,
    root: bool,
    sink: DraftSink,
    goes_on: &GoesOn<'_>,
) -> Result<(Packed, DraftSink), PackError> {
    let directory = tree::open_directory(fs::CWD, upper)
        .map_err(|errno| StoreError::io("open", upper, errno))?;
    let options = pack::Options {
        overlay: Some(overlay_names()),
        root,
        normalise: true,
        owners: None,
    };
    pack::into(directory.as_fd(), sink, options, goes_on)
}

/// The digest of a tar of a directory.
pub(super) fn digest_of(directory: &Path) -> Result<Digest, PackError> {
    let handle = tree::open_directory(fs::CWD, directory)
        .map_err(|errno| StoreError::io("open", directory, errno))?;
    let options = pack::Options {
        overlay: Some(overlay_names()),
        root: false,
        normalise: false,
        owners: None,
    };
    let sink = DraftSink {
        hasher: Sha256::new(),
        recipe: None,
        recording: true,
    };
    let (_, sink) = pack::into(handle.as_fd(), sink, options, &pack::always)?;
    Ok(Digest::from_bytes(sink.hasher.finalize().into()))
}

/// Hashes the archive and writes its recipe; the archive itself is written nowhere.
pub(super) struct DraftSink {
    pub(super) hasher: Sha256,
    pub(super) recipe: Option<RecipeWriter>,
    pub(super) recording: bool,
}

impl Write for DraftSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        if let (true, Some(recipe)) = (self.recording, &mut self.recipe) {
            recipe.raw(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for DraftSink {
    fn start_file(&mut self, path: &[u8], fragments: &[Fragment]) -> io::Result<()> {
        self.recording = false;
        match &mut self.recipe {
            Some(recipe) => recipe.file(path, fragments),
            None => Ok(()),
        }
    }

    fn end_file(&mut self) {
        self.recording = true;
    }
}
