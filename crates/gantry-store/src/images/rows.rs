//! The rows of images: how they are read, written and removed.

use gantry_model::image::ImageConfig;
use gantry_model::{Digest, Reference};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Image, ImageNames, NewImage, RepoDigest, indexes};
use crate::store::now;

/// What the tables say of an image.
pub(super) struct ImageRows {
    stored: i64,
    tags: Vec<Reference>,
    digests: Vec<RepoDigest>,
    indexes: Vec<Digest>,
    blobs: Vec<Digest>,
}

impl ImageRows {
    pub(super) fn into_names(self, id: Digest) -> ImageNames {
        ImageNames {
            id,
            tags: self.tags,
            digests: self.digests,
            indexes: self.indexes,
        }
    }

    pub(super) fn into_image(self, id: Digest, config: ImageConfig) -> Image {
        Image {
            id,
            layers: config.rootfs.diff_ids.clone(),
            config,
            tags: self.tags,
            digests: self.digests,
            indexes: self.indexes,
            blobs: self.blobs,
            stored: self.stored,
        }
    }
}

pub(super) fn rows_of(db: &Connection, id: &Digest) -> rusqlite::Result<Option<ImageRows>> {
    let id = id.as_bytes();
    let stored = db
        .prepare_cached("SELECT created FROM images WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let tags: Vec<String> = db
        .prepare_cached("SELECT reference FROM tags WHERE image = ?1 ORDER BY reference")?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let digests = db
        .prepare_cached(
            "SELECT repository, digest, media_type FROM repo_digests WHERE image = ?1
             ORDER BY repository, digest",
        )?
        .query_map([id], |row| {
            Ok(RepoDigest {
                repository: row.get(0)?,
                digest: Digest::from_bytes(row.get(1)?),
                media_type: row.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let indexes = digests_of(
        db,
        "SELECT DISTINCT index_digest FROM index_images WHERE image = ?1 ORDER BY index_digest",
        id,
    )?;
    let blobs = digests_of(db, "SELECT digest FROM image_blobs WHERE image = ?1", id)?;
    // Only canonical references are ever written; a row that does not parse names nothing.
    let tags = tags.iter().filter_map(|tag| tag.parse().ok()).collect();
    Ok(Some(ImageRows {
        stored,
        tags,
        digests,
        indexes,
        blobs,
    }))
}

/// The digests that a query gives for one.
pub(super) fn digests_of(
    db: &Connection,
    query: &str,
    of: &[u8; 32],
) -> rusqlite::Result<Vec<Digest>> {
    db.prepare_cached(query)?
        .query_map([of], |row| row.get(0).map(Digest::from_bytes))?
        .collect()
}

pub(super) fn by_tag(db: &Connection, reference: &str) -> rusqlite::Result<Option<Digest>> {
    let found: Option<[u8; 32]> = db
        .prepare_cached("SELECT image FROM tags WHERE reference = ?1")?
        .query_row([reference], |row| row.get(0))
        .optional()?;
    Ok(found.map(Digest::from_bytes))
}

/// Has a tag name an image, or an index by one of its members.
pub(super) fn set_tag(
    db: &Connection,
    reference: &Reference,
    id: &Digest,
    index: Option<&Digest>,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO tags (reference, image, updated, index_digest)
         VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        reference.to_string(),
        id.as_bytes(),
        now(),
        index.map(Digest::as_bytes)
    ])?;
    Ok(())
}

pub(super) fn set_digest(
    db: &Connection,
    id: &Digest,
    digest: &RepoDigest,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO repo_digests (repository, digest, media_type, image)
         VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        digest.repository,
        digest.digest.as_bytes(),
        digest.media_type,
        id.as_bytes()
    ])?;
    Ok(())
}

pub(super) fn set_blob(db: &Connection, id: &Digest, digest: &Digest) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO image_blobs (image, digest) VALUES (?1, ?2)")?
        .execute([id.as_bytes(), digest.as_bytes()])?;
    Ok(())
}

pub(super) fn insert(
    transaction: &Transaction<'_>,
    id: &Digest,
    layers: &[Digest],
    image: &NewImage<'_>,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO images (id, created) VALUES (?1, ?2)")?
        .execute(params![id.as_bytes(), now()])?;
    for (position, diff_id) in layers.iter().enumerate() {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO image_layers (image, position, diff_id) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![
                id.as_bytes(),
                i64::try_from(position).unwrap_or(i64::MAX),
                diff_id.as_bytes()
            ])?;
    }
    for digest in &image.blobs {
        set_blob(transaction, id, digest)?;
    }
    let index = image.member.as_ref().map(|member| &member.index);
    for tag in &image.tags {
        set_tag(transaction, tag, id, index)?;
    }
    for digest in &image.digests {
        set_digest(transaction, id, digest)?;
    }
    if let Some(member) = &image.member {
        indexes::join(transaction, id, member)?;
    }
    indexes::drop_unnamed(transaction)
}

/// Removes the rows of an image; says whether it was there. Indexes that it was a member of, and
/// their names, stay with the members that are left.
pub(crate) fn delete(transaction: &Transaction<'_>, id: &Digest) -> rusqlite::Result<bool> {
    indexes::leave(transaction, id)?;
    for statement in [
        "DELETE FROM tags WHERE image = ?1",
        "DELETE FROM repo_digests WHERE image = ?1",
        "DELETE FROM image_blobs WHERE image = ?1",
        "DELETE FROM image_layers WHERE image = ?1",
    ] {
        transaction
            .prepare_cached(statement)?
            .execute([id.as_bytes()])?;
    }
    let count = transaction
        .prepare_cached("DELETE FROM images WHERE id = ?1")?
        .execute([id.as_bytes()])?;
    indexes::drop_unnamed(transaction)?;
    Ok(count > 0)
}
