//! Layers: each unpacked once, under its diff ID, independently of the layers below it.
//!
//! On disk a layer is `layers/<diff id>/` with
//! * `fs/`: the tree as overlayfs wants a lower directory (whiteouts as device 0/0, opaque
//!   directories by attribute);
//! * `recipe`: what the files do not say of the tar it came from, so that this comes back byte
//!   for byte (see `recipe`);
//! * `replaced/`: contents of files that a later entry of the same tar replaced;
//! * `needs`: the directories that the tar implied without listing them, and the hard links to
//!   files of lower layers; `fixups` makes good for them per chain.
//!
//! A layer that differs little from another may be kept as a patch of it (see `patch`). Copies for
//! other users are in `mapped/` (see `mapped`).

mod draft;
mod draft_tar;
mod fixups;
pub(crate) mod mapped;
mod patch;
mod publish;
mod recipe;
mod replay;
mod seal;
mod squash;
mod unpack;
mod verify;

use std::path::PathBuf;

use gantry_model::Digest;
use gantry_model::media_type::Compression;
use gantry_model::userns::IdRanges;
use gantry_sys::path::Directory;
use rusqlite::{Connection, OptionalExtension, params};
use rustix::fs::{self, Access, AtFlags};
use rustix::io::Errno;

pub use draft::LayerDraft;
pub use draft_tar::{DraftTar, TarPoint};
pub use mapped::Lowers;
pub use patch::Whole;
pub use replay::LayerTar;
pub use seal::Seal;

use crate::database::failed;
use crate::error::StoreError;
use crate::pack::PackError;
use crate::store::Store;

/// What is known of a stored layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Digest of its uncompressed tar.
    pub diff_id: Digest,
    /// Size of its uncompressed tar.
    pub tar_size: u64,
    /// Bytes of its regular files: the size that people are shown.
    pub content_size: u64,
    /// How many files, directories and links it has.
    pub files: u64,
    /// Bytes it takes on the disk, roughly; those of a patch without the layer that it patches.
    pub disk_usage: u64,
}

/// A compressed form of a layer, and where it is known to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerBlob {
    /// Digest of the compressed tar.
    pub digest: Digest,
    /// Size of the compressed tar.
    pub size: u64,
    /// Media type it has in manifests.
    pub media_type: String,
    /// Registry and repository, canonical (`docker.io/library/busybox`).
    pub repositories: Vec<String>,
}

/// How a layer is unpacked.
#[derive(Clone, Default)]
pub struct UnpackOptions<'a> {
    /// How the stream is compressed; `None` looks at its first bytes.
    pub compression: Option<Compression>,
    /// Digest and size which the stream as it is read must have.
    pub blob: Option<(Digest, u64)>,
    /// The diff ID it must have.
    pub diff_id: Option<Digest>,
    /// Told how many bytes of the stream have been read so far, now and then.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
}

impl std::fmt::Debug for UnpackOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnpackOptions")
            .field("compression", &self.compression)
            .field("blob", &self.blob)
            .field("diff_id", &self.diff_id)
            .finish_non_exhaustive()
    }
}

/// Bits of the column `layers.flags`.
pub(crate) mod flags {
    /// Has directories that its tar does not list, or hard links to lower layers.
    pub(crate) const NEEDS: i64 = 1;
    /// Does not list its root directory.
    pub(crate) const IMPLIED_ROOT: i64 = 2;
    /// Lists its root directory with something else than mode 0755 and owner 0:0.
    pub(crate) const SPECIAL_ROOT: i64 = 4;
    /// Attributes or devices could not be made here (rootless, or refused by the file system).
    pub(crate) const INCOMPLETE: i64 = 8;
}

/// The layers of a store.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    store: &'a Store,
}

/// The row of a layer that is on the disk, or was written in this boot.
#[derive(Debug, Clone)]
pub(crate) struct LayerRow {
    pub(crate) info: LayerInfo,
    pub(crate) flags: i64,
    /// The layer that has what is not in this one's own tree.
    pub(crate) patch_of: Option<Digest>,
}

impl<'a> Layers<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Whether a layer is there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn contains(&self, diff_id: &Digest) -> Result<bool, StoreError> {
        Ok(self.row(diff_id)?.is_some())
    }

    /// What is known of a layer.
    ///
    /// # Errors
    /// [`StoreError::NoLayer`] when it is not there.
    pub fn info(&self, diff_id: &Digest) -> Result<LayerInfo, StoreError> {
        self.needed(diff_id).map(|row| row.info)
    }

    /// The row of a layer that must be there.
    pub(crate) fn needed(&self, diff_id: &Digest) -> Result<LayerRow, StoreError> {
        self.row(diff_id)?
            .ok_or(StoreError::NoLayer { diff_id: *diff_id })
    }

    /// All layers.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self) -> Result<Vec<LayerInfo>, StoreError> {
        let ids: Vec<Digest> = self.store.database().read("list layers", |db| {
            db.prepare_cached("SELECT diff_id FROM layers ORDER BY diff_id")?
                .query_map([], |row| row.get(0).map(Digest::from_bytes))?
                .collect()
        })?;
        let mut infos = Vec::with_capacity(ids.len());
        for id in ids {
            infos.extend(self.row(&id)?.map(|row| row.info));
        }
        Ok(infos)
    }

    pub(crate) fn row(&self, diff_id: &Digest) -> Result<Option<LayerRow>, StoreError> {
        let found = self
            .store
            .database()
            .read("read a layer", |db| row_of(db, diff_id))?;
        match found {
            // Written in an earlier boot and never known to be on the disk: does not count.
            Some((_, Some(boot))) if boot != self.store.boot()? => Ok(None),
            // Nor does one whose folder was deleted: making it again heals it.
            Some((row, _)) if self.has_tree(diff_id)? && self.has_whole(&row)? => Ok(Some(row)),
            Some(_) | None => Ok(None),
        }
    }

    fn has_tree(&self, diff_id: &Digest) -> Result<bool, StoreError> {
        let tree = format!("{}/fs", diff_id.hex());
        match fs::accessat(
            self.store.layers_directory()?,
            tree,
            Access::EXISTS,
            AtFlags::empty(),
        ) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(StoreError::io("look for", self.folder(diff_id), errno)),
        }
    }

    /// The folder of a layer.
    pub(crate) fn folder(&self, diff_id: &Digest) -> PathBuf {
        self.store.root().join("layers").join(diff_id.hex())
    }

    /// The layer's own tree as it is on the disk (read only, please). Of a patch it has only what
    /// differs: [`Layers::trees`] has all of it.
    #[must_use]
    pub fn tree(&self, diff_id: &Digest) -> PathBuf {
        self.folder(diff_id).join("fs")
    }

    /// The lower directories of a chain of layers, base first, for overlayfs.
    ///
    /// There may be more of them than layers: a layer whose tar leaves open what only the
    /// layers below it say gets a small directory of its own for this chain above it.
    /// The last one carries the mode and owner of the merged root, which the upper directory
    /// of a mount should be given, too.
    ///
    /// # Errors
    /// [`StoreError::NoLayer`] when one is not there, [`StoreError::DanglingHardLink`] when
    /// these layers do not fit together.
    pub fn lowers(&self, diff_ids: &[Digest]) -> Result<Vec<PathBuf>, StoreError> {
        fixups::lowers(self.store, diff_ids)
    }

    /// The lower directories `lowers` as the users of a user namespace are to see them without root:
    /// what belongs to a user of the layers belongs to the host's user that this is there. `merged`
    /// opens what they show together, in case that there is no copy of it yet.
    ///
    /// # Errors
    /// [`StoreError::UnmappedOwner`] when a file belongs to nobody there, and others.
    pub fn mapped(
        &self,
        lowers: &[PathBuf],
        owners: &IdRanges,
        merged: impl FnOnce() -> std::io::Result<Directory>,
    ) -> Result<Lowers, StoreError> {
        mapped::lowers(self.store, lowers, owners, merged)
    }

    /// The highest user or group that files of lower directories belong to; nobody (65534) does
    /// not count.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn highest_owner(&self, lowers: &[PathBuf]) -> Result<u32, StoreError> {
        mapped::highest_owner(lowers)
    }

    /// A new empty layer to be filled.
    ///
    /// # Errors
    /// When its folders cannot be made.
    pub fn draft(&self) -> Result<LayerDraft, StoreError> {
        LayerDraft::create(self.store)
    }

    /// The tar of a layer, byte for byte as it came or as it was packed.
    ///
    /// Its digest is checked at its end: reading fails when it is no longer the diff ID.
    ///
    /// # Errors
    /// [`StoreError::NoLayer`] when it is not there.
    pub fn tar(&self, diff_id: &Digest) -> Result<LayerTar, StoreError> {
        let row = self.needed(diff_id)?;
        let whole = row.patch_of.map(|whole| self.tree(&whole));
        LayerTar::open(self.folder(diff_id), whole.as_deref(), row.info)
    }

    /// Makes sure that layers survive a power cut.
    ///
    /// # Errors
    /// When the file system cannot be synced.
    pub fn sync(&self, diff_ids: &[Digest]) -> Result<(), StoreError> {
        let unsynced: Vec<Digest> =
            self.store
                .database()
                .read("look for unsynced layers", |db| {
                    // With what they are patches of.
                    let mut statement = db.prepare_cached(
                        "SELECT diff_id FROM layers WHERE boot IS NOT NULL AND diff_id IN
                         (?1, (SELECT patch_of FROM layers WHERE diff_id = ?1))",
                    )?;
                    let mut unsynced = Vec::new();
                    for diff_id in diff_ids {
                        let rows = statement.query_map([diff_id.as_bytes()], |row| {
                            row.get(0).map(Digest::from_bytes)
                        })?;
                        for row in rows {
                            unsynced.push(row?);
                        }
                    }
                    Ok(unsynced)
                })?;
        if unsynced.is_empty() {
            return Ok(());
        }
        let boot = self.store.boot()?.to_owned();
        self.store.sync_files()?;
        self.store
            .database()
            .write("note synced layers", |transaction| {
                for diff_id in unsynced {
                    transaction
                        .prepare_cached(
                            "UPDATE layers SET boot = NULL WHERE diff_id = ?1 AND boot = ?2",
                        )
                        .and_then(|mut s| s.execute(params![diff_id.as_bytes(), boot]))
                        .map_err(failed("note a synced layer"))?;
                }
                Ok(())
            })
    }

    /// Notes a compressed form of a layer, and where it is.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_blob(&self, diff_id: &Digest, blob: &LayerBlob) -> Result<(), StoreError> {
        self.store
            .database()
            .write("note a layer's blob", |transaction| {
                insert_blob(transaction, diff_id, blob).map_err(failed("note a layer's blob"))
            })
    }

    /// The known compressed forms of a layer.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn blobs(&self, diff_id: &Digest) -> Result<Vec<LayerBlob>, StoreError> {
        self.store.database().read("read a layer's blobs", |db| {
            let mut blobs: Vec<LayerBlob> = db
                .prepare_cached(
                    "SELECT digest, size, media_type FROM layer_blobs WHERE diff_id = ?1 ORDER BY digest",
                )?
                .query_map([diff_id.as_bytes()], |row| {
                    Ok(LayerBlob {
                        digest: Digest::from_bytes(row.get(0)?),
                        size: row.get::<_, i64>(1)?.unsigned_abs(),
                        media_type: row.get(2)?,
                        repositories: Vec::new(),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            let mut sources = db.prepare_cached(
                "SELECT repository FROM layer_sources WHERE digest = ?1 ORDER BY repository",
            )?;
            for blob in &mut blobs {
                blob.repositories = sources
                    .query_map([blob.digest.as_bytes()], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
            }
            Ok(blobs)
        })
    }

    /// The layer that a compressed blob gives, if it is there: it need not be fetched again.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn by_blob(&self, digest: &Digest) -> Result<Option<Digest>, StoreError> {
        let found: Option<[u8; 32]> =
            self.store
                .database()
                .read("look for a layer's blob", |db| {
                    db.prepare_cached("SELECT diff_id FROM layer_blobs WHERE digest = ?1")?
                        .query_row([digest.as_bytes()], |row| row.get(0))
                        .optional()
                })?;
        let Some(diff_id) = found.map(Digest::from_bytes) else {
            return Ok(None);
        };
        Ok(self.contains(&diff_id)?.then_some(diff_id))
    }

    /// The diff ID of a tar of a directory, as [`LayerDraft::commit`] would give it.
    ///
    /// # Errors
    /// When the directory cannot be packed.
    pub fn diff_id_of(&self, directory: &std::path::Path) -> Result<Digest, PackError> {
        draft::digest_of(directory)
    }
}

fn row_of(
    db: &Connection,
    diff_id: &Digest,
) -> rusqlite::Result<Option<(LayerRow, Option<String>)>> {
    db.prepare_cached(
        "SELECT tar_size, content_size, files, disk_usage, flags, boot, patch_of FROM layers
         WHERE diff_id = ?1",
    )?
    .query_row([diff_id.as_bytes()], |row| {
        let number = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
        let info = LayerInfo {
            diff_id: *diff_id,
            tar_size: number(0)?,
            content_size: number(1)?,
            files: number(2)?,
            disk_usage: number(3)?,
        };
        Ok((
            LayerRow {
                info,
                flags: row.get(4)?,
                patch_of: row.get::<_, Option<[u8; 32]>>(6)?.map(Digest::from_bytes),
            },
            row.get(5)?,
        ))
    })
    .optional()
}

fn insert_blob(db: &Connection, diff_id: &Digest, blob: &LayerBlob) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO layer_blobs (digest, diff_id, size, media_type) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        blob.digest.as_bytes(),
        diff_id.as_bytes(),
        i64::try_from(blob.size).unwrap_or(i64::MAX),
        blob.media_type
    ])?;
    for repository in &blob.repositories {
        db.prepare_cached(
            "INSERT OR IGNORE INTO layer_sources (digest, repository) VALUES (?1, ?2)",
        )?
        .execute(params![blob.digest.as_bytes(), repository])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
