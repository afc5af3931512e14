//! Everything the tables say, read in one transaction.

use std::collections::BTreeMap;

use gantry_model::Digest;
use rusqlite::Connection;

use crate::database::failed;
use crate::error::StoreError;
use crate::store::Store;

/// The tables at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) images: BTreeMap<Digest, ImageRow>,
    /// What each layer takes.
    pub(crate) layers: BTreeMap<Digest, LayerSize>,
    pub(crate) records: BTreeMap<(String, Vec<u8>), RecordRow>,
    /// Tags and repository digests with the images they name.
    pub(crate) names: Vec<(String, Digest)>,
    /// The members of each index with a name.
    pub(crate) indexes: BTreeMap<Digest, Vec<Digest>>,
}

/// What a layer takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LayerSize {
    pub(crate) disk_usage: u64,
    pub(crate) tar_size: u64,
    /// The layer that this one is a patch of.
    pub(crate) patch_of: Option<Digest>,
}

/// What an image refers to.
#[derive(Debug, Default)]
pub(crate) struct ImageRow {
    pub(crate) layers: Vec<Digest>,
    pub(crate) blobs: Vec<Digest>,
}

/// What a build record refers to.
#[derive(Debug, Default)]
pub(crate) struct RecordRow {
    pub(crate) layers: Vec<Digest>,
    pub(crate) blobs: Vec<Digest>,
}

impl Snapshot {
    pub(crate) fn read(store: &Store) -> Result<Self, StoreError> {
        store.database().with(|connection| {
            let transaction = connection
                .transaction()
                .map_err(failed("read everything"))?;
            read(&transaction).map_err(failed("read everything"))
        })
    }

    /// The tags and repository digests of an image.
    pub(crate) fn names_of(&self, image: &Digest) -> Vec<String> {
        self.names
            .iter()
            .filter(|(_, id)| id == image)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether an image has a name, or is part of what has one.
    pub(crate) fn is_named(&self, image: &Digest) -> bool {
        self.names.iter().any(|(_, id)| id == image)
            || self.indexes.values().any(|members| members.contains(image))
    }

    /// Bytes on disk of a layer; 0 for one without a row.
    pub(crate) fn disk_usage(&self, diff_id: &Digest) -> u64 {
        self.layers.get(diff_id).map_or(0, |size| size.disk_usage)
    }

    /// The layer that this one is a patch of: it stays as long as this one.
    pub(crate) fn patch_of(&self, diff_id: &Digest) -> Option<&Digest> {
        self.layers.get(diff_id)?.patch_of.as_ref()
    }
}

fn read(db: &Connection) -> rusqlite::Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    let number = |value: i64| value.unsigned_abs();
    let mut statement = db.prepare("SELECT diff_id, disk_usage, tar_size, patch_of FROM layers")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let size = LayerSize {
            disk_usage: number(row.get(1)?),
            tar_size: number(row.get(2)?),
            patch_of: row.get::<_, Option<[u8; 32]>>(3)?.map(Digest::from_bytes),
        };
        snapshot
            .layers
            .insert(Digest::from_bytes(row.get(0)?), size);
    }
    let mut statement = db.prepare("SELECT id FROM images")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        snapshot
            .images
            .insert(Digest::from_bytes(row.get(0)?), ImageRow::default());
    }
    pairs(
        db,
        "SELECT image, diff_id FROM image_layers ORDER BY image, position",
        |image, layer| {
            if let Some(row) = snapshot.images.get_mut(&image) {
                row.layers.push(layer);
            }
        },
    )?;
    pairs(
        db,
        "SELECT image, digest FROM image_blobs",
        |image, blob| {
            if let Some(row) = snapshot.images.get_mut(&image) {
                row.blobs.push(blob);
            }
        },
    )?;
    pairs(
        db,
        "SELECT index_digest, image FROM index_images ORDER BY index_digest, position",
        |index, image| snapshot.indexes.entry(index).or_default().push(image),
    )?;
    let mut statement = db.prepare("SELECT reference, image FROM tags ORDER BY reference")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        snapshot
            .names
            .push((row.get(0)?, Digest::from_bytes(row.get(1)?)));
    }
    let mut statement = db.prepare(
        "SELECT repository, digest, image FROM repo_digests ORDER BY repository, digest",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (repository, digest): (String, [u8; 32]) = (row.get(0)?, row.get(1)?);
        let name = format!("{repository}@{}", Digest::from_bytes(digest));
        snapshot.names.push((name, Digest::from_bytes(row.get(2)?)));
    }
    records(db, &mut snapshot)?;
    Ok(snapshot)
}

fn records(db: &Connection, snapshot: &mut Snapshot) -> rusqlite::Result<()> {
    let mut statement = db.prepare("SELECT kind, key FROM records")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = (row.get(0)?, row.get(1)?);
        snapshot.records.insert(key, RecordRow::default());
    }
    for (query, blobs) in [
        ("SELECT kind, key, diff_id FROM record_layers", false),
        ("SELECT kind, key, digest FROM record_blobs", true),
    ] {
        let mut statement = db.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let digest = Digest::from_bytes(row.get(2)?);
            if let Some(record) = snapshot.records.get_mut(&(row.get(0)?, row.get(1)?)) {
                let list = if blobs {
                    &mut record.blobs
                } else {
                    &mut record.layers
                };
                list.push(digest);
            }
        }
    }
    Ok(())
}

fn pairs(
    db: &Connection,
    query: &str,
    mut each: impl FnMut(Digest, Digest),
) -> rusqlite::Result<()> {
    let mut statement = db.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(
            Digest::from_bytes(row.get(0)?),
            Digest::from_bytes(row.get(1)?),
        );
    }
    Ok(())
}
