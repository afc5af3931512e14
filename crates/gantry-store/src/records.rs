//! Build records: what a step of a build gave, under the key of its definition and inputs.
//!
//! The store keeps them and what they refer to; what a kind, a key or a value means is the
//! builder's.

use gantry_model::Digest;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::database::failed;
use crate::error::StoreError;
use crate::lease::Resource;
use crate::store::{Store, now};

/// A build record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What kind of record this is (`step`, `context`, …).
    pub kind: String,
    /// Its key within the kind.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The layers it needs.
    pub layers: Vec<Digest>,
    /// The blobs it needs.
    pub blobs: Vec<Digest>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it was last used, in seconds since 1970.
    pub last_used: i64,
    /// How often it was used.
    pub uses: u64,
}

/// A build record without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHead {
    /// Its key within the kind.
    pub key: Vec<u8>,
    /// When it was last used, in seconds since 1970.
    pub last_used: i64,
    /// Bytes of its value.
    pub size: u64,
}

impl Record {
    /// A record made now.
    #[must_use]
    pub fn new(kind: &str, key: &[u8], value: &[u8]) -> Self {
        Self {
            kind: kind.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            layers: Vec::new(),
            blobs: Vec::new(),
            created: now(),
            last_used: now(),
            uses: 0,
        }
    }
}

/// The records of a store.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    store: &'a Store,
}

impl<'a> Records<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// The record of this key, if there is one and every layer and blob it needs is there;
    /// these are then held for as long as the store's handle lives.
    ///
    /// # Errors
    /// When the database cannot be read or the lease not be written.
    pub fn find(&self, kind: &str, key: &[u8]) -> Result<Option<Record>, StoreError> {
        let Some(record) = self.read(kind, key)? else {
            return Ok(None);
        };
        if record.layers.is_empty() && record.blobs.is_empty() {
            return Ok(Some(record));
        }
        let lock = self.store.lock_shared()?;
        for diff_id in &record.layers {
            self.store.hold(&lock, Resource::Layer(*diff_id))?;
            if !self.store.layers().contains(diff_id)? {
                return Ok(None);
            }
        }
        for digest in &record.blobs {
            self.store.hold(&lock, Resource::Blob(*digest))?;
            if !self.store.blobs().contains(digest)? {
                return Ok(None);
            }
        }
        Ok(Some(record))
    }

    /// Whether there is no record of this kind.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_empty(&self, kind: &str) -> Result<bool, StoreError> {
        self.store.database().read("look for records", |db| {
            let mut statement =
                db.prepare_cached("SELECT 1 FROM records WHERE kind = ?1 LIMIT 1")?;
            Ok(!statement.exists([kind])?)
        })
    }

    fn read(&self, kind: &str, key: &[u8]) -> Result<Option<Record>, StoreError> {
        self.store.database().read("read a record", |db| {
            let found = db
                .prepare_cached(
                    "SELECT value, created, last_used, uses FROM records WHERE kind = ?1 AND key = ?2",
                )?
                .query_row(params![kind, key], |row| {
                    Ok(Record {
                        kind: kind.to_owned(),
                        key: key.to_owned(),
                        value: row.get(0)?,
                        layers: Vec::new(),
                        blobs: Vec::new(),
                        created: row.get(1)?,
                        last_used: row.get(2)?,
                        uses: row.get::<_, i64>(3)?.unsigned_abs(),
                    })
                })
                .optional()?;
            let Some(mut record) = found else { return Ok(None) };
            let references = |table: &str| -> rusqlite::Result<Vec<Digest>> {
                db.prepare_cached(table)?
                    .query_map(params![kind, key], |row| row.get(0).map(Digest::from_bytes))?
                    .collect()
            };
            record.layers =
                references("SELECT diff_id FROM record_layers WHERE kind = ?1 AND key = ?2")?;
            record.blobs =
                references("SELECT digest FROM record_blobs WHERE kind = ?1 AND key = ?2")?;
            Ok(Some(record))
        })
    }

    /// Stores records, over older ones of the same keys, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NoLayer`] or [`StoreError::NoBlob`] when one needs what is not there.
    pub fn put(&self, records: &[Record]) -> Result<(), StoreError> {
        for record in records {
            if let Some(missing) = record
                .layers
                .iter()
                .find(|d| !self.store.layers().contains(d).unwrap_or(false))
            {
                return Err(StoreError::NoLayer { diff_id: *missing });
            }
            if let Some(missing) = record
                .blobs
                .iter()
                .find(|d| !self.store.blobs().contains(d).unwrap_or(false))
            {
                return Err(StoreError::NoBlob { digest: *missing });
            }
        }
        let _lock = self.store.lock_shared()?;
        self.store.database().write("store records", |transaction| {
            for record in records {
                insert(transaction, record).map_err(failed("store a record"))?;
            }
            Ok(())
        })
    }

    /// Marks records as used now, in one transaction; says how many of them there are.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn touch(&self, keys: &[(&str, &[u8])]) -> Result<usize, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        self.store.database().write("mark records as used", |transaction| {
            let mark = || -> rusqlite::Result<usize> {
                let mut found = 0;
                let mut statement = transaction.prepare_cached(
                    "UPDATE records SET last_used = ?3, uses = uses + 1 WHERE kind = ?1 AND key = ?2",
                )?;
                for (kind, key) in keys {
                    found += statement.execute(params![kind, key, now()])?;
                }
                Ok(found)
            };
            mark().map_err(failed("mark a record as used"))
        })
    }

    /// Every record of a kind, without looking whether what it needs is there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&self, kind: &str) -> Result<Vec<Record>, StoreError> {
        let keys: Vec<Vec<u8>> = self.store.database().read("list records", |db| {
            db.prepare_cached("SELECT key FROM records WHERE kind = ?1 ORDER BY key")?
                .query_map(params![kind], |row| row.get(0))?
                .collect()
        })?;
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            records.extend(self.read(kind, &key)?);
        }
        Ok(records)
    }

    /// The kinds that there are records of.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn kinds(&self) -> Result<Vec<String>, StoreError> {
        self.store.database().read("list kinds of records", |db| {
            db.prepare_cached("SELECT DISTINCT kind FROM records ORDER BY kind")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    /// Every record of a kind without its value.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn heads(&self, kind: &str) -> Result<Vec<RecordHead>, StoreError> {
        self.store.database().read("list records", |db| {
            db.prepare_cached("SELECT key, last_used, length(value) FROM records WHERE kind = ?1")?
                .query_map([kind], |row| {
                    Ok(RecordHead {
                        key: row.get(0)?,
                        last_used: row.get(1)?,
                        size: row.get::<_, i64>(2)?.unsigned_abs(),
                    })
                })?
                .collect()
        })
    }

    /// Removes a record; what only it needed is garbage from now on.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn remove(&self, kind: &str, key: &[u8]) -> Result<(), StoreError> {
        self.store
            .database()
            .write("remove a record", |transaction| {
                delete(transaction, kind, key).map_err(failed("remove a record"))
            })
    }
}

fn insert(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    delete(transaction, &record.kind, &record.key)?;
    transaction
        .prepare_cached(
            "INSERT INTO records (kind, key, value, created, last_used, uses) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            record.kind,
            record.key,
            record.value,
            record.created,
            record.last_used,
            i64::try_from(record.uses).unwrap_or(i64::MAX),
        ])?;
    for (statement, digests) in [
        (
            "INSERT OR IGNORE INTO record_layers (kind, key, diff_id) VALUES (?1, ?2, ?3)",
            &record.layers,
        ),
        (
            "INSERT OR IGNORE INTO record_blobs (kind, key, digest) VALUES (?1, ?2, ?3)",
            &record.blobs,
        ),
    ] {
        let mut statement = transaction.prepare_cached(statement)?;
        for digest in digests {
            statement.execute(params![record.kind, record.key, digest.as_bytes()])?;
        }
    }
    Ok(())
}

pub(crate) fn delete(
    transaction: &Transaction<'_>,
    kind: &str,
    key: &[u8],
) -> rusqlite::Result<()> {
    for statement in [
        "DELETE FROM records WHERE kind = ?1 AND key = ?2",
        "DELETE FROM record_layers WHERE kind = ?1 AND key = ?2",
        "DELETE FROM record_blobs WHERE kind = ?1 AND key = ?2",
    ] {
        transaction
            .prepare_cached(statement)?
            .execute(params![kind, key])?;
    }
    Ok(())
}
