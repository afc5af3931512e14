//! The build cache: keys of steps and the records under them.
//!
//! A key is made of what a step does and of the *content* it works on. A step that ran under a key
//! leaves a record with the layer it made. Records belong to the store: what refers to a layer that
//! is gone is not found. Nothing is taken from the cache unseen: a record carries a checksum, and a
//! seal that tells whether anything of its layer was touched since.

mod entry;
mod keys;
mod locks;

use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_model::digest::hex_encode;
use gantry_store::{Recency, Record, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::explain::inputs::Inputs;
use crate::marks::Marks;
use crate::run_folder::folder;

pub(crate) use entry::{Entry, decode_alias};
pub(crate) use keys::{Seen, key_of_definition, key_of_files, key_of_place, key_of_seen};
pub(crate) use locks::{KeyLock, wait_for_lock};

/// Records of steps: key → [`Entry`].
pub(crate) const STEP: &str = "build-entry";
/// What a step worked on: key → [`Inputs`].
pub(crate) const INPUTS: &str = "build-worked-on";
/// Other keys under which a step is known: key → key of the step.
pub(crate) const ALIAS: &str = "build-alias";
/// What a copy made last, wherever it stands now: key of its place → diff ID.
pub(crate) const LATEST: &str = "build-latest";
/// Most of these that are kept.
const MOST_LATEST: usize = 1024;
/// Points of the tar of a layer: diff ID → its seal, a line feed, [`Marks`].
pub(crate) const MARKS: &str = "build-marks";
/// Layers that were searched for secrets: key → nothing.
pub(crate) const CLEAN: &str = "build-clean";

/// The key of a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl Key {
    /// In hexadecimal.
    pub(crate) fn hex(&self) -> String {
        hex_encode(&self.0)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex_encode(&self.0[..8]))
    }
}

/// A layer of a root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// Its diff ID.
    pub(crate) diff_id: Digest,
    /// When it was made, RFC 3339; nothing for layers of a base image.
    pub(crate) created: Option<String>,
}

/// What the cache has under a key.
#[derive(Debug)]
pub(crate) enum Found {
    /// A record whose layer is as it was when it was made; the key is that of the step.
    Hit(Key, Box<Entry>),
    /// Nothing.
    Nothing,
    /// Something that must not be used, and was taken out: what is wrong with it.
    Damaged(String),
}

/// A step that ran, for the cache.
#[derive(Debug)]
pub(crate) struct Made<'m> {
    pub(crate) key: Key,
    /// Other keys that lead to the same.
    pub(crate) aliases: &'m [Key],
    pub(crate) entry: Entry,
    pub(crate) inputs: &'m Inputs,
    /// Points of the tar of its layer.
    pub(crate) marks: &'m Marks,
}

/// The records of one store, and the locks of steps that run.
#[derive(Debug)]
pub(crate) struct Cache {
    store: Store,
    locks: PathBuf,
    /// Whether nothing is noted.
    unrecorded: bool,
}

impl Cache {
    pub(crate) fn new(store: Store, run_root: &Path) -> Self {
        Self {
            store,
            locks: folder(run_root),
            unrecorded: false,
        }
    }

    /// Notes nothing from here on, if so.
    pub(crate) fn unrecorded(self, unrecorded: bool) -> Self {
        Self { unrecorded, ..self }
    }

    /// Whether no step was ever run that is remembered.
    pub(crate) fn is_empty(store: &Store) -> bool {
        // If it cannot be known now, it will be when something is looked up.
        store.records().is_empty(STEP).unwrap_or(false)
    }

    /// What a step made under this key, if the store still has it as it was.
    pub(crate) fn find(&self, key: &Key) -> Result<Found, StepError> {
        let record = match self.store.records().find(STEP, &key.0) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Found::Nothing),
            // A row that is not what rows of this table are.
            Err(StoreError::Database { .. }) => {
                return self.discard(key, "its record cannot be read");
            }
            Err(other) => return Err(other.into()),
        };
        match Entry::decode(&key.0, &record.value) {
            Some(entry) if record.layers == [entry.layer.diff_id] => self.examined(key, entry),
            _ => self.discard(key, "its record is not what was written"),
        }
    }

    /// The same for a key that may be another one of the step's.
    pub(crate) fn find_alias(&self, alias: &Key) -> Result<Found, StepError> {
        let record = self.store.records().find(ALIAS, &alias.0)?;
        match record.and_then(|record| decode_alias(&alias.0, &record.value)) {
            Some(key) => self.find(&key),
            None => Ok(Found::Nothing),
        }
    }

    /// Looks at the layer: nothing of it may have been touched since it was made, or else its
    /// content must still be what its digest says.
    fn examined(&self, key: &Key, mut entry: Entry) -> Result<Found, StepError> {
        let layers = self.store.layers();
        let diff_id = entry.layer.diff_id;
        let seal = match layers.seal(&diff_id) {
            Ok(seal) => Some(seal.to_string()),
            Err(StoreError::NoLayer { .. }) => return Ok(Found::Nothing),
            // What cannot be looked at is read as a whole.
            Err(_) => None,
        };
        if seal.is_some() && seal == entry.seal {
            return Ok(Found::Hit(*key, Box::new(entry)));
        }
        match layers.verify(&diff_id) {
            Ok(Ok(_)) => {
                entry.seal = seal;
                self.store.records().put(&[step_record(key, &entry)])?;
                Ok(Found::Hit(*key, Box::new(entry)))
            }
            Ok(Err(reason)) => {
                layers.distrust(&diff_id)?;
                self.discard(key, &reason)
            }
            Err(StoreError::NoLayer { .. }) => Ok(Found::Nothing),
            Err(other) => {
                layers.distrust(&diff_id)?;
                self.discard(key, &other.to_string())
            }
        }
    }

    fn discard(&self, key: &Key, reason: &str) -> Result<Found, StepError> {
        self.store.records().remove(STEP, &key.0)?;
        Ok(Found::Damaged(reason.to_owned()))
    }

    /// Records what a step made.
    pub(crate) fn record(&self, mut made: Made<'_>) -> Result<(), StepError> {
        if self.unrecorded {
            return Ok(());
        }
        let diff_id = made.entry.layer.diff_id;
        // Without a seal it is read as a whole when it is next used.
        made.entry.seal = self
            .store
            .layers()
            .seal(&diff_id)
            .ok()
            .map(|seal| seal.to_string());
        let mut inputs = Record::new(INPUTS, &made.key.0, &made.inputs.encode());
        // Both go together.
        inputs.layers = vec![diff_id];
        let mut records = vec![step_record(&made.key, &made.entry), inputs];
        if let (false, Some(seal)) = (made.marks.is_empty(), &made.entry.seal) {
            records.push(marks_record(diff_id, seal, made.marks));
        }
        for alias in made.aliases {
            records.push(alias_record(alias, &made.key, diff_id));
        }
        Ok(self.store.records().put(&records)?)
    }

    /// Makes a key lead to a step that is recorded.
    pub(crate) fn alias(&self, alias: &Key, key: &Key, layer: &Layer) -> Result<(), StepError> {
        if self.unrecorded {
            return Ok(());
        }
        let record = alias_record(alias, key, layer.diff_id);
        Ok(self.store.records().put(&[record])?)
    }

    /// What the step of this key worked on.
    pub(crate) fn inputs(&self, key: &Key) -> Option<Inputs> {
        let record = self.store.records().find(INPUTS, &key.0).ok().flatten();
        record.and_then(|record| Inputs::decode(&record.value))
    }

    /// The layer that the copy at this place made last, if that is known.
    pub(crate) fn latest(&self, place: &Key) -> Result<Option<Digest>, StepError> {
        let record = self.store.records().find(LATEST, &place.0)?;
        let id = record.and_then(|record| record.value.try_into().ok());
        Ok(id.map(Digest::from_bytes))
    }

    /// Notes the layer that the copy at this place made. It is not kept for that.
    pub(crate) fn note_latest(&self, place: &Key, layer: &Digest) -> Result<(), StepError> {
        let records = self.store.records();
        records.put(&[Record::new(LATEST, &place.0, layer.as_bytes())])?;
        let mut noted = records.heads(LATEST)?;
        let recency = Recency::now();
        noted.sort_by_key(|head| std::cmp::Reverse(recency.of(head.last_used)));
        for old in noted.iter().skip(MOST_LATEST) {
            records.remove(LATEST, &old.key)?;
        }
        Ok(())
    }

    /// The points of the tar of a layer, and its seal when they were noted.
    pub(crate) fn marks(&self, diff_id: &Digest) -> Option<(Marks, String)> {
        let key = diff_id.as_bytes();
        let record = self.store.records().find(MARKS, key).ok().flatten()?;
        let text = entry::checked(key, &record.value)?;
        let at = text.iter().position(|byte| *byte == b'\n')?;
        let seal = String::from_utf8(text[..at].to_vec()).ok()?;
        Some((Marks::decode(&text[at + 1..])?, seal))
    }

    /// Whether it was noted under this key that a layer is clean of secrets.
    pub(crate) fn is_clean(&self, key: &Key) -> Result<bool, StepError> {
        Ok(self.store.records().find(CLEAN, &key.0)?.is_some())
    }

    /// Notes under this key that a layer is clean of secrets.
    pub(crate) fn note_clean(&self, key: &Key, layer: &Layer) -> Result<(), StepError> {
        if self.unrecorded {
            return Ok(());
        }
        let mut record = Record::new(CLEAN, &key.0, &[]);
        record.layers = vec![layer.diff_id];
        Ok(self.store.records().put(&[record])?)
    }
}

fn step_record(key: &Key, entry: &Entry) -> Record {
    let mut record = Record::new(STEP, &key.0, &entry.encode(&key.0));
    record.layers = vec![entry.layer.diff_id];
    record
}

fn marks_record(diff_id: Digest, seal: &str, marks: &Marks) -> Record {
    let text = [seal.as_bytes(), b"\n", &marks.encode()].concat();
    let key = diff_id.as_bytes();
    let mut record = Record::new(MARKS, key, &entry::signed(key, &text));
    record.layers = vec![diff_id];
    record
}

fn alias_record(alias: &Key, key: &Key, diff_id: Digest) -> Record {
    let mut record = Record::new(ALIAS, &alias.0, &entry::encode_alias(&alias.0, key));
    record.layers = vec![diff_id];
    record
}
