//! Giving a finished layer its name.

use std::fs::File;
use std::os::fd::AsFd;

use gantry_model::Digest;
use rusqlite::params;
use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{LayerInfo, LayerRow, Layers, insert_blob};
use crate::database::failed;
use crate::error::StoreError;
use crate::ingest::IngestEntry;
use crate::layers::LayerBlob;
use crate::lease::Resource;
use crate::store::{Store, now};
use crate::tree;

/// A layer whose folder is complete in `ingest/`.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) entry: IngestEntry,
    pub(super) row: LayerRow,
    pub(super) blob: Option<LayerBlob>,
}

/// Renames a finished layer into place and records it, unless it is there already.
///
/// The claim comes before the store's lock, here and everywhere.
pub(super) fn publish(
    store: &Store,
    finished: Finished,
    claim: Option<Claim>,
) -> Result<LayerInfo, StoreError> {
    let Finished { entry, row, blob } = finished;
    let diff_id = row.info.diff_id;
    // Two committers of one diff ID (equal builds) come one after the other.
    let claim = match claim {
        Some(claim) => claim,
        None => Claim::take(store, &diff_id)?,
    };
    let lock = store.lock_shared()?;
    store.hold(&lock, Resource::Layer(diff_id))?;
    let present = store.layers().row(&diff_id)?;
    if present.is_none() {
        let layers = store.layers_directory()?;
        let name = diff_id.hex();
        // A folder without a row: of a process that was killed right here, or before a power
        // cut. It may be damaged.
        let _leftover = store.ingest()?.take(layers, &name)?;
        entry.rename(layers, &name)?;
    }
    let recorded = store.database().write("record the layer", |transaction| {
        if present.is_none() {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO layers
                     (diff_id, tar_size, content_size, files, disk_usage, flags, created, boot,
                      patch_of)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        diff_id.as_bytes(),
                        integer(row.info.tar_size),
                        integer(row.info.content_size),
                        integer(row.info.files),
                        integer(row.info.disk_usage),
                        row.flags,
                        now(),
                        store.boot().ok(),
                        row.patch_of.as_ref().map(Digest::as_bytes),
                    ])
                })
                .map_err(failed("record the layer"))?;
        }
        if let Some(blob) = &blob {
            insert_blob(transaction, &diff_id, blob).map_err(failed("record the layer's blob"))?;
        }
        Ok(())
    });
    if recorded.is_err() && present.is_none() {
        // Nobody knows of the folder, and its room may be just what is missing. Where even this
        // fails, the next collection takes it.
        let layers = store.layers_directory()?;
        let _unknown = tree::remove_tree(layers.as_fd(), diff_id.hex().as_bytes());
    }
    recorded?;
    drop(claim);
    Ok(present.map_or(row.info, |present| present.info))
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The right to make the layer of one diff ID; others wait for it.
#[derive(Debug)]
pub(super) struct Claim {
    store: Store,
    name: String,
    _file: File,
}

impl Claim {
    /// Waits until nobody else makes this layer.
    pub(super) fn take(store: &Store, diff_id: &Digest) -> Result<Self, StoreError> {
        let name = format!("claim-{}", diff_id.hex());
        let path = store.root().join("ingest").join(&name);
        let error = |errno: Errno| StoreError::io("lock", &path, errno);
        let directory = store.directory();
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let relative = format!("ingest/{name}");
            let file =
                fs::openat(directory, &relative, flags, Mode::RUSR | Mode::WUSR).map_err(error)?;
            match fs::flock(&file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => continue,
                result => result.map_err(error)?,
            }
            // The former holder removed it, or a sweep did.
            if fs::fstat(file.as_fd()).map_err(error)?.st_nlink == 0 {
                continue;
            }
            return Ok(Self {
                store: store.clone(),
                name,
                _file: File::from(file),
            });
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let relative = format!("ingest/{}", self.name);
        let flags = fs::AtFlags::empty();
        let _removed = fs::unlinkat(self.store.directory(), relative, flags);
    }
}

impl Layers<'_> {
    /// Waits until nobody else makes this layer; says whether it is there then.
    pub(super) fn claim(&self, diff_id: &Digest) -> Result<Result<LayerInfo, Claim>, StoreError> {
        if let Some(row) = self.held_row(diff_id)? {
            return Ok(Ok(row.info));
        }
        let claim = Claim::take(self.store, diff_id)?;
        Ok(match self.held_row(diff_id)? {
            Some(row) => Ok(row.info),
            None => Err(claim),
        })
    }

    /// The row of a layer, which is held for this handle's lifetime.
    pub(super) fn held_row(&self, diff_id: &Digest) -> Result<Option<LayerRow>, StoreError> {
        let lock = self.store.lock_shared()?;
        let row = self.row(diff_id)?;
        if row.is_some() {
            self.store.hold(&lock, Resource::Layer(*diff_id))?;
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use crate::{PackError, Store, StoreError};

    #[test]
    fn a_layer_that_cannot_be_recorded_leaves_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let store = Store::open(&root).unwrap();
        let commit = || {
            let draft = store.layers().draft().unwrap();
            std::fs::write(draft.upper().join("file"), "content").unwrap();
            draft.commit()
        };
        let change = |statement: &str| {
            let database = store.database();
            let changed = database.write("prepare the test", |transaction| {
                let done = transaction.execute_batch(statement);
                done.map_err(super::failed("prepare the test"))
            });
            changed.unwrap();
        };
        change(
            "CREATE TRIGGER refuse BEFORE INSERT ON layers BEGIN SELECT RAISE(FAIL, 'no room'); END",
        );
        let failed = commit();
        let is_of_database = matches!(
            &failed,
            Err(PackError::Store(StoreError::Database { action, .. })) if *action == "record the layer"
        );
        assert!(is_of_database, "{failed:?}");
        for place in ["layers", "ingest"] {
            assert_eq!(
                std::fs::read_dir(root.join(place)).unwrap().count(),
                0,
                "{place}"
            );
        }
        change("DROP TRIGGER refuse");
        let made = commit().unwrap();
        assert!(store.layers().verify(&made.diff_id).unwrap().is_ok());
    }
}
