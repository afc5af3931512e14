//! Indexes: images of several platforms under one name.
//!
//! A tag names an image, and with it, where the image came in an index, that index: `image` of its
//! row is then the member that serves this machine best, so that whoever asks for no platform need
//! not know of indexes. The index's document is a blob of each of its members.

use gantry_model::{Digest, Platform, Reference};
use rusqlite::{Connection, OptionalExtension, params};

use super::Images;
use super::rows::{digests_of, set_tag};
use crate::database::failed;
use crate::error::StoreError;

/// The rank of a member that does not serve this machine at all.
const NOT_AT_ALL: u8 = u8::MAX;

/// An image's place in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Digest of the index.
    pub index: Digest,
    /// Digest of the image's manifest.
    pub manifest: Digest,
    /// Which entry of the index it is, from 0.
    pub position: usize,
    /// The platform that the index gives it.
    pub platform: Platform,
}

/// An index that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its digest.
    pub digest: Digest,
    /// The members that are in the store, in the order of the index.
    pub members: Vec<IndexMember>,
}

/// A member of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexMember {
    /// The image's id.
    pub image: Digest,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Its platform.
    pub platform: Platform,
}

impl Index {
    /// The member that serves a platform best.
    #[must_use]
    pub fn member_for(&self, wanted: &Platform) -> Option<&IndexMember> {
        let ranked = self
            .members
            .iter()
            .filter_map(|member| Some((wanted.rank(&member.platform)?, member)));
        ranked
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, member)| member)
    }
}

impl Index {
    /// The member that serves this machine best.
    #[must_use]
    pub fn best(&self) -> Option<&IndexMember> {
        self.member_for(&Platform::host())
            .or_else(|| self.members.first())
    }
}

impl Images<'_> {
    /// The index with a name whose digest is this, or the only one that begins like this.
    ///
    /// # Errors
    /// [`StoreError::AmbiguousId`] when it fits several.
    pub fn index_by_id(&self, id: &str) -> Result<Option<Index>, StoreError> {
        let prefix = id.strip_prefix("sha256:").unwrap_or(id);
        let query =
            "SELECT DISTINCT index_digest FROM index_images WHERE index_digest BETWEEN ?1 AND ?2";
        match self.only(query, prefix)? {
            Some(digest) => self.index(&digest),
            None => Ok(None),
        }
    }

    /// The index that a tag or a repository digest names.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn index_of(&self, reference: &Reference) -> Result<Option<Index>, StoreError> {
        let digest =
            self.store
                .database()
                .read("look for an index", |db| match reference.digest() {
                    Some(digest) => {
                        let known = db
                            .prepare_cached(
                                "SELECT 1 FROM repo_digests WHERE repository = ?1 AND digest = ?2",
                            )?
                            .exists(params![reference.name(), digest.as_bytes()])?;
                        Ok(known.then_some(*digest))
                    }
                    None => tagged_index(db, reference),
                })?;
        digest.map_or(Ok(None), |digest| self.index(&digest))
    }

    /// An index with its members; `None` where it has none here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn index(&self, digest: &Digest) -> Result<Option<Index>, StoreError> {
        let members = self
            .store
            .database()
            .read("read an index", |db| members(db, digest))?;
        Ok((!members.is_empty()).then_some(Index {
            digest: *digest,
            members,
        }))
    }

    /// Gives an index a tag; says whether it is there.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn tag_index(&self, reference: &Reference, index: &Digest) -> Result<bool, StoreError> {
        let _lock = self.store.lock_shared()?;
        self.store.database().write("tag the index", |transaction| {
            let set = || -> rusqlite::Result<bool> {
                let Some(best) = best(transaction, index)? else {
                    return Ok(false);
                };
                set_tag(transaction, reference, &best, Some(index))?;
                drop_unnamed(transaction)?;
                Ok(true)
            };
            set().map_err(failed("tag the index"))
        })
    }

    /// Takes an image out of an index; the image stays. With its last member the names of the
    /// index go.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn leave_index(&self, id: &Digest, index: &Digest) -> Result<(), StoreError> {
        self.store
            .database()
            .write("take an image out of an index", |transaction| {
                let leave = || -> rusqlite::Result<()> {
                    transaction
                        .prepare_cached(
                            "DELETE FROM index_images WHERE index_digest = ?1 AND image = ?2",
                        )?
                        .execute([index.as_bytes(), id.as_bytes()])?;
                    if !prefer(transaction, index)? {
                        for statement in [
                            "DELETE FROM tags WHERE index_digest = ?1",
                            "DELETE FROM repo_digests WHERE digest = ?1",
                        ] {
                            transaction
                                .prepare_cached(statement)?
                                .execute([index.as_bytes()])?;
                        }
                    }
                    Ok(())
                };
                leave().map_err(failed("take an image out of an index"))
            })
    }
}

fn tagged_index(db: &Connection, reference: &Reference) -> rusqlite::Result<Option<Digest>> {
    let found: Option<Option<[u8; 32]>> = db
        .prepare_cached("SELECT index_digest FROM tags WHERE reference = ?1")?
        .query_row([reference.to_string()], |row| row.get(0))
        .optional()?;
    Ok(found.flatten().map(Digest::from_bytes))
}

fn members(db: &Connection, index: &Digest) -> rusqlite::Result<Vec<IndexMember>> {
    let mut statement = db.prepare_cached(
        "SELECT image, manifest, platform FROM index_images WHERE index_digest = ?1
         ORDER BY position",
    )?;
    let rows = statement.query_map([index.as_bytes()], |row| {
        let platform: String = row.get(2)?;
        Ok(IndexMember {
            image: Digest::from_bytes(row.get(0)?),
            manifest: Digest::from_bytes(row.get(1)?),
            // Only platforms are ever written.
            platform: platform.parse().unwrap_or_default(),
        })
    })?;
    rows.collect()
}

/// Makes an image a member of an index.
pub(super) fn join(db: &Connection, id: &Digest, member: &Membership) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO index_images
         (index_digest, manifest, position, platform, rank, image) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        member.index.as_bytes(),
        member.manifest.as_bytes(),
        i64::try_from(member.position).unwrap_or(i64::MAX),
        member.platform.to_string(),
        Platform::host()
            .rank(&member.platform)
            .unwrap_or(NOT_AT_ALL),
        id.as_bytes()
    ])?;
    prefer(db, &member.index)?;
    Ok(())
}

/// Takes an image out of all indexes; their names go to members that are left.
pub(super) fn leave(db: &Connection, id: &Digest) -> rusqlite::Result<()> {
    let query = "SELECT DISTINCT index_digest FROM index_images WHERE image = ?1";
    let indexes = digests_of(db, query, id.as_bytes())?;
    db.prepare_cached("DELETE FROM index_images WHERE image = ?1")?
        .execute([id.as_bytes()])?;
    for index in indexes {
        prefer(db, &index)?;
    }
    Ok(())
}

/// The member that serves this machine best.
fn best(db: &Connection, index: &Digest) -> rusqlite::Result<Option<Digest>> {
    let found: Option<[u8; 32]> = db
        .prepare_cached(
            "SELECT image FROM index_images WHERE index_digest = ?1
             ORDER BY rank, position LIMIT 1",
        )?
        .query_row([index.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(found.map(Digest::from_bytes))
}

/// Has the names of an index lead to its best member; says whether it has any.
fn prefer(db: &Connection, index: &Digest) -> rusqlite::Result<bool> {
    let Some(best) = best(db, index)? else {
        return Ok(false);
    };
    for statement in [
        "UPDATE tags SET image = ?2 WHERE index_digest = ?1",
        "UPDATE repo_digests SET image = ?2 WHERE digest = ?1",
    ] {
        db.prepare_cached(statement)?
            .execute([index.as_bytes(), best.as_bytes()])?;
    }
    Ok(true)
}

/// Forgets the indexes that have no name any more; their members are images like others then.
pub(super) fn drop_unnamed(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM index_images
         WHERE index_digest NOT IN (SELECT index_digest FROM tags WHERE index_digest IS NOT NULL)
           AND index_digest NOT IN (SELECT digest FROM repo_digests)",
    )?
    .execute([])?;
    Ok(())
}
