//! Images, their tags and their digests in repositories.
//!
//! An image is named by the digest of its configuration blob. Its layers, manifests and indexes
//! are referenced by rows, so that a collection knows what belongs to it.

mod indexes;
mod rows;

use gantry_model::image::ImageConfig;
use gantry_model::{Digest, Fault, FaultKind, Reference};
use rusqlite::{OptionalExtension, params};

use crate::blobs::sha256;
use crate::database::failed;
use crate::error::StoreError;
use crate::lease::Resource;
use crate::store::Store;

pub(crate) use rows::delete;

pub use indexes::{Index, IndexMember, Membership};
use rows::{ImageRows, by_tag, insert, rows_of, set_blob, set_digest, set_tag};

/// Most bytes of a configuration that are read.
pub const CONFIG_LIMIT: u64 = 8 << 20;

/// `repository@digest`: under which manifest digest a repository holds an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepoDigest {
    /// Registry and repository, canonical (`docker.io/library/busybox`).
    pub repository: String,
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Media type of the manifest or index.
    pub media_type: String,
}

/// An image that is to be stored.
#[derive(Debug, Clone, Default)]
pub struct NewImage<'a> {
    /// The configuration, byte for byte; every layer it names must be in the store.
    pub config: &'a [u8],
    /// Manifests and indexes it came with, already stored as blobs.
    pub blobs: Vec<Digest>,
    /// Tags to give it (taken from other images which have them).
    pub tags: Vec<Reference>,
    /// Where it is known to exist.
    pub digests: Vec<RepoDigest>,
    /// The index it came in: its tags then name the index.
    pub member: Option<Membership>,
}

/// An image of the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of its configuration.
    pub id: Digest,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers by diff ID, base first.
    pub layers: Vec<Digest>,
    /// Its tags, in order of their names.
    pub tags: Vec<Reference>,
    /// Where it is known to exist.
    pub digests: Vec<RepoDigest>,
    /// The indexes with a name that it is a member of.
    pub indexes: Vec<Digest>,
    /// Manifests and indexes it came with.
    pub blobs: Vec<Digest>,
    /// When it was stored, in seconds since 1970.
    pub stored: i64,
}

/// By what an image is called: all that the tables say of it to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageNames {
    /// Digest of its configuration.
    pub id: Digest,
    /// Its tags, in order of their names.
    pub tags: Vec<Reference>,
    /// Where it is known to exist.
    pub digests: Vec<RepoDigest>,
    /// The indexes with a name that it is a member of.
    pub indexes: Vec<Digest>,
}

/// An image whose configuration cannot be read. What it needs stands in the tables, so that a
/// collection keeps it.
#[derive(Debug)]
pub struct DamagedImage {
    /// The image, by its names.
    pub names: ImageNames,
    /// What is wrong with its configuration.
    pub error: StoreError,
}

/// All images of a store.
#[derive(Debug, Default)]
pub struct ImageList {
    /// Those that are whole, the newest stored first.
    pub whole: Vec<Image>,
    /// Those that cannot be shown.
    pub damaged: Vec<DamagedImage>,
}

/// The images of a store.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    store: &'a Store,
}

impl<'a> Images<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Stores an image: once this returns, it survives a power cut.
    ///
    /// # Errors
    /// [`StoreError::Config`] for a malformed configuration, [`StoreError::NoLayer`] and
    /// [`StoreError::NoBlob`] for what it refers to and the store does not have,
    /// [`StoreError::DanglingHardLink`] for layers that do not fit together.
    pub fn put(&self, image: &NewImage<'_>) -> Result<Digest, StoreError> {
        let id = sha256(image.config);
        let config: ImageConfig = serde_json::from_slice(image.config)
            .map_err(|source| StoreError::Config { id, source })?;
        // One that was damaged is healed.
        if !self.store.blobs().is_whole(&id) {
            self.store.blobs().put(image.config)?;
        }
        // What does not fit together now never does: told here, and not at each start.
        self.store.layers().lowers(&config.rootfs.diff_ids)?;
        self.store.layers().sync(&config.rootfs.diff_ids)?;
        let lock = self.store.lock_shared()?;
        self.store.hold(&lock, Resource::Image(id))?;
        for digest in std::iter::once(&id).chain(&image.blobs) {
            if !self.store.blobs().contains(digest)? {
                return Err(StoreError::NoBlob { digest: *digest });
            }
        }
        for diff_id in &config.rootfs.diff_ids {
            if !self.store.layers().contains(diff_id)? {
                return Err(StoreError::NoLayer { diff_id: *diff_id });
            }
        }
        self.store
            .database()
            .write("store the image", |transaction| {
                insert(transaction, &id, &config.rootfs.diff_ids, image)
                    .map_err(failed("store the image"))
            })?;
        Ok(id)
    }

    /// Whether an image of this id is there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn contains(&self, id: &Digest) -> Result<bool, StoreError> {
        self.store.database().read("look for an image", |db| {
            db.prepare_cached("SELECT 1 FROM images WHERE id = ?1")?
                .exists([id.as_bytes()])
        })
    }

    /// Gives an image a tag, which it takes from another image that has it; the id of that.
    ///
    /// # Errors
    /// [`StoreError::NoImage`] when there is no such image.
    pub fn tag(&self, reference: &Reference, id: &Digest) -> Result<Option<Digest>, StoreError> {
        let _lock = self.store.lock_shared()?;
        self.store.database().write("tag the image", |transaction| {
            let known = transaction
                .prepare_cached("SELECT 1 FROM images WHERE id = ?1")
                .and_then(|mut statement| statement.exists([id.as_bytes()]))
                .map_err(failed("look for the image"))?;
            if !known {
                return Err(StoreError::NoImage {
                    name: id.to_string(),
                });
            }
            let before =
                by_tag(transaction, &reference.to_string()).map_err(failed("read the tag"))?;
            set_tag(transaction, reference, id, None)
                .and_then(|()| indexes::drop_unnamed(transaction))
                .map_err(failed("tag the image"))?;
            Ok(before.filter(|before| before != id))
        })
    }

    /// Adds a repository digest to an image.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn add_digest(&self, id: &Digest, digest: &RepoDigest) -> Result<(), StoreError> {
        self.store
            .database()
            .write("note a digest of the image", |transaction| {
                set_digest(transaction, id, digest).map_err(failed("note a digest of the image"))
            })
    }

    /// Keeps a manifest or index with an image.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`] when it is not stored.
    pub fn add_blob(&self, id: &Digest, digest: &Digest) -> Result<(), StoreError> {
        let _lock = self.store.lock_shared()?;
        if !self.store.blobs().contains(digest)? {
            return Err(StoreError::NoBlob { digest: *digest });
        }
        self.store
            .database()
            .write("keep a manifest", |transaction| {
                set_blob(transaction, id, digest).map_err(failed("keep a manifest"))
            })
    }

    /// Takes a tag away; the id of the image that had it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn untag(&self, reference: &Reference) -> Result<Option<Digest>, StoreError> {
        let name = reference.to_string();
        self.store
            .database()
            .write("remove the tag", |transaction| {
                let remove = || -> rusqlite::Result<Option<Digest>> {
                    let id = by_tag(transaction, &name)?;
                    transaction
                        .prepare_cached("DELETE FROM tags WHERE reference = ?1")?
                        .execute([&name])?;
                    indexes::drop_unnamed(transaction)?;
                    Ok(id)
                };
                remove().map_err(failed("remove the tag"))
            })
    }

    /// Takes a repository digest away; says whether it was there.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn remove_digest(&self, repository: &str, digest: &Digest) -> Result<bool, StoreError> {
        self.store
            .database()
            .write("remove a digest of the image", |transaction| {
                transaction
                    .prepare_cached(
                        "DELETE FROM repo_digests WHERE repository = ?1 AND digest = ?2",
                    )
                    .and_then(|mut s| s.execute(params![repository, digest.as_bytes()]))
                    .and_then(|count| indexes::drop_unnamed(transaction).map(|()| count > 0))
                    .map_err(failed("remove a digest of the image"))
            })
    }

    /// Removes an image with its tags and digests; its layers and blobs are garbage from now
    /// on, unless something else refers to them. Says whether it was there.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn remove(&self, id: &Digest) -> Result<bool, StoreError> {
        self.store
            .database()
            .write("remove the image", |transaction| {
                delete(transaction, id).map_err(failed("remove the image"))
            })
    }

    /// The id of the image a person means by `name`: a tag, a repository digest, an id or the
    /// unique prefix of one. `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::AmbiguousId`] when the prefix fits several.
    pub fn resolve_id(&self, name: &str) -> Result<Option<Digest>, StoreError> {
        if let Some(id) = name.strip_prefix("sha256:") {
            return self.by_prefix(id);
        }
        if let Ok(reference) = name.parse::<Reference>()
            && let Some(id) = self.find(&reference)?
        {
            return Ok(Some(id));
        }
        self.by_prefix(name)
    }

    /// The id of the image that has this tag or repository digest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn find(&self, reference: &Reference) -> Result<Option<Digest>, StoreError> {
        self.store
            .database()
            .read("look for an image", |db| match reference.digest() {
                Some(digest) => {
                    let found: Option<[u8; 32]> = db
                        .prepare_cached(
                            "SELECT image FROM repo_digests WHERE repository = ?1 AND digest = ?2",
                        )?
                        .query_row(params![reference.name(), digest.as_bytes()], |row| {
                            row.get(0)
                        })
                        .optional()?;
                    Ok(found.map(Digest::from_bytes))
                }
                None => by_tag(db, &reference.to_string()),
            })
    }

    fn by_prefix(&self, prefix: &str) -> Result<Option<Digest>, StoreError> {
        let images = "SELECT id FROM images WHERE id BETWEEN ?1 AND ?2";
        if let Some(id) = self.only(images, prefix)? {
            return Ok(Some(id));
        }
        let index = self.index_by_id(prefix)?;
        Ok(index.and_then(|index| Some(index.best()?.image)))
    }

    /// The only digest that a query gives for what begins like this.
    fn only(&self, query: &str, prefix: &str) -> Result<Option<Digest>, StoreError> {
        let prefix = prefix.to_ascii_lowercase();
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return Ok(None);
        }
        let bound = |fill: char| {
            Digest::from_hex(&format!(
                "{prefix}{}",
                fill.to_string().repeat(64 - prefix.len())
            ))
            .expect("64 hexadecimal digits")
        };
        let (low, high) = (bound('0'), bound('f'));
        let ids: Vec<Digest> = self.store.database().read("look for an image", |db| {
            db.prepare_cached(query)?
                .query_map([low.as_bytes(), high.as_bytes()], |row| {
                    row.get(0).map(Digest::from_bytes)
                })?
                .collect()
        })?;
        match ids.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some(*id)),
            several => Err(StoreError::AmbiguousId {
                prefix,
                count: several.len(),
            }),
        }
    }

    /// The image a person means by `name` (see [`Images::resolve_id`]).
    ///
    /// # Errors
    /// [`StoreError::NoImage`] when there is none.
    pub fn resolve(&self, name: &str) -> Result<Image, StoreError> {
        match self.resolve_id(name)? {
            Some(id) => self.image(&id),
            None => Err(StoreError::NoImage {
                name: name.to_owned(),
            }),
        }
    }

    /// The configuration of an image as it came, verified.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`] when there is none.
    pub fn config_bytes(&self, id: &Digest) -> Result<Vec<u8>, StoreError> {
        self.store.blobs().read(id, CONFIG_LIMIT)
    }

    /// The configuration of an image: all that a start needs, with one file read and no query.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`] when there is none.
    pub fn config(&self, id: &Digest) -> Result<ImageConfig, StoreError> {
        serde_json::from_slice(&self.config_bytes(id)?)
            .map_err(|source| StoreError::Config { id: *id, source })
    }

    /// Everything about the image of this id.
    ///
    /// # Errors
    /// [`StoreError::NoImage`] when there is none.
    pub fn image(&self, id: &Digest) -> Result<Image, StoreError> {
        Ok(self.rows(id)?.into_image(*id, self.config(id)?))
    }

    /// The names of the image of this id, which it has however damaged it is.
    ///
    /// # Errors
    /// [`StoreError::NoImage`] when there is none.
    pub fn names(&self, id: &Digest) -> Result<ImageNames, StoreError> {
        Ok(self.rows(id)?.into_names(*id))
    }

    fn rows(&self, id: &Digest) -> Result<ImageRows, StoreError> {
        let rows = self
            .store
            .database()
            .read("read an image", |db| rows_of(db, id))?;
        rows.ok_or_else(|| StoreError::NoImage {
            name: id.to_string(),
        })
    }

    /// The ids of all images, the newest stored first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn ids(&self) -> Result<Vec<Digest>, StoreError> {
        self.store.database().read("list images", |db| {
            db.prepare_cached("SELECT id FROM images ORDER BY created DESC, id")?
                .query_map([], |row| row.get(0).map(Digest::from_bytes))?
                .collect()
        })
    }

    /// All images; one that is damaged is no reason to show none.
    ///
    /// # Errors
    /// When the database cannot be read, or a configuration for a reason that is not its own.
    pub fn list(&self) -> Result<ImageList, StoreError> {
        let mut list = ImageList::default();
        for id in self.ids()? {
            let rows = match self.rows(&id) {
                // Removed since.
                Err(StoreError::NoImage { .. }) => continue,
                rows => rows?,
            };
            match self.config(&id) {
                Ok(config) => list.whole.push(rows.into_image(id, config)),
                // Also a configuration that is gone, unless the image was removed since.
                Err(error) if is_of_the_blob(&error) => {
                    if self.contains(&id)? {
                        let names = rows.into_names(id);
                        list.damaged.push(DamagedImage { names, error });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(list)
    }
}

/// Whether the error says that a blob cannot serve, and not that none can be read now.
fn is_of_the_blob(error: &StoreError) -> bool {
    error.kind() == FaultKind::Corrupt
        || matches!(
            error,
            StoreError::NoBlob { .. } | StoreError::BlobTooLarge { .. }
        )
}

#[cfg(test)]
mod tests;
