//! What is in the build cache, a row for each: steps, cache mounts, what is known of contexts, and
//! what is kept beside.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_model::digest::hex_encode;
use gantry_store::{LayerUse, Recency, Record, Roots, Store};

use super::plan::Item;
use super::{CollectError, mounts};
use crate::cache::{ALIAS, CLEAN, Entry, INPUTS, LATEST, MARKS, STEP, decode_alias};
use crate::explain::trace::TRACE;

/// Letters of a row's id.
const ID: usize = 25;

/// One thing in the build cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRow {
    /// A name no other row has.
    pub id: String,
    /// Ids of the rows that it stands on.
    pub parents: Vec<String>,
    /// What kind of thing it is.
    pub kind: CacheKind,
    /// What it is, for people.
    pub description: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it was last used, in seconds since 1970.
    pub last_used: i64,
    /// How often it was used.
    pub uses: u64,
    /// Bytes it takes on the disk.
    pub size: u64,
    /// Whether an image has its layer, too: removing it sets little free.
    pub shared: bool,
    /// Whether a build uses it at this moment.
    pub in_use: bool,
    /// Whether it changes when it is used again.
    pub mutable: bool,
}

/// A kind of thing in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheKind {
    /// The result of a step.
    Regular,
    /// The folder of a cache mount.
    CacheMount,
    /// What is known of the files of a context.
    Local,
    /// What is kept to explain builds, to push images and the like.
    Internal,
}

impl CacheKind {
    /// What BuildKit calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::CacheMount => "exec.cachemount",
            Self::Local => "source.local",
            Self::Internal => "internal",
        }
    }
}

/// Where a row lies.
#[derive(Debug)]
pub(super) enum Place {
    /// Records, by kind and key.
    Records(Vec<RecordKey>),
    /// A file.
    File(PathBuf),
    /// The folder of a cache mount.
    Mount(PathBuf),
}

/// Kind and key of a record.
pub(super) type RecordKey = (String, Vec<u8>);

/// Everything in the cache: row, item of the plan and place have the same number.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) rows: Vec<CacheRow>,
    pub(super) items: Vec<Item>,
    pub(super) places: Vec<Place>,
    /// What the times of the items are compared by.
    recency: Recency,
    /// Bytes of the values of records.
    values: BTreeMap<RecordKey, u64>,
    /// The layers that images have, too, and their bytes.
    shared: BTreeMap<Digest, u64>,
}

impl Inventory {
    pub(super) fn take(store: &Store, root: &Path, roots: &Roots) -> Result<Self, CollectError> {
        let mut inventory = Self {
            rows: Vec::new(),
            items: Vec::new(),
            places: Vec::new(),
            recency: Recency::now(),
            values: BTreeMap::new(),
            shared: BTreeMap::new(),
        };
        let uses = store.layer_uses(roots)?;
        inventory.steps(store, &uses)?;
        inventory.others(store, &uses)?;
        inventory.mounts(&mounts::root(root))?;
        inventory.contexts(&root.join("build/stat"))?;
        Ok(inventory)
    }

    /// Bytes of the values of these records.
    pub(super) fn value_bytes(&self, records: &BTreeSet<RecordKey>) -> u64 {
        records.iter().filter_map(|key| self.values.get(key)).sum()
    }

    /// Bytes of the layers that images have, too.
    pub(super) fn shared_bytes(&self) -> u64 {
        self.shared.values().sum()
    }

    fn note_shared(&mut self, layer: Digest, used: LayerUse) {
        if used.shared {
            self.shared.insert(layer, used.bytes);
        }
    }

    fn add(&mut self, row: CacheRow, item: Item, place: Place) {
        self.rows.push(row);
        self.items.push(item);
        self.places.push(place);
    }

    fn note_values(&mut self, store: &Store, kind: &str) -> Result<(), CollectError> {
        for head in store.records().heads(kind)? {
            self.values.insert((kind.to_owned(), head.key), head.size);
        }
        Ok(())
    }

    /// Steps, each with what else is recorded for it.
    fn steps(
        &mut self,
        store: &Store,
        uses: &BTreeMap<Digest, LayerUse>,
    ) -> Result<(), CollectError> {
        for kind in [STEP, INPUTS, ALIAS, CLEAN, MARKS] {
            self.note_values(store, kind)?;
        }
        let records = store.records().list(STEP)?;
        let mut attached = Attached::read(store, &records)?;
        let numbers: HashMap<String, usize> = records
            .iter()
            .enumerate()
            .map(|(number, record)| (hex_encode(&record.key), number))
            .collect();
        for record in records {
            let entry = Entry::decode(&record.key, &record.value);
            let layer = record.layers.first();
            let used = layer.and_then(|layer| uses.get(layer).copied());
            let used = used.unwrap_or_default();
            if let Some(layer) = layer {
                self.note_shared(*layer, used);
            }
            let keys = attached.take(&record);
            let own = keys.iter().filter_map(|key| self.values.get(key)).sum();
            let parents = entry.as_ref().map_or(&[][..], |entry| &entry.parents);
            let item = Item {
                layers: layer.map_or_else(Vec::new, |layer| kept_by(uses, *layer)),
                own,
                recency: self.recency.of(record.last_used),
                parents: parents
                    .iter()
                    .filter_map(|parent| numbers.get(parent).copied())
                    .collect(),
                removable: false,
            };
            let row = step_row(&record, entry.as_ref(), used, own);
            self.add(row, item, Place::Records(keys));
        }
        Ok(())
    }

    /// Records of other kinds: those with a layer one by one, the rest as one row for each kind.
    fn others(
        &mut self,
        store: &Store,
        uses: &BTreeMap<Digest, LayerUse>,
    ) -> Result<(), CollectError> {
        for kind in store.records().kinds()? {
            if [STEP, INPUTS, ALIAS, CLEAN, MARKS].contains(&kind.as_str()) {
                continue;
            }
            self.note_values(store, &kind)?;
            let (small, layered): (Vec<Record>, Vec<Record>) = store
                .records()
                .list(&kind)?
                .into_iter()
                .partition(|record| record.layers.is_empty());
            for record in layered {
                self.layered(record, uses);
            }
            if !small.is_empty() {
                self.small(&kind, small);
            }
        }
        Ok(())
    }

    fn layered(&mut self, record: Record, uses: &BTreeMap<Digest, LayerUse>) {
        let own = record.value.len() as u64;
        let layer = record.layers[0];
        let used = uses.get(&layer).copied().unwrap_or_default();
        self.note_shared(layer, used);
        let name = format!("{} {}", record.kind, hex_encode(&record.key));
        let description = format!("a layer made for {}", record.kind);
        let row = CacheRow {
            created: record.created,
            last_used: record.last_used,
            uses: record.uses,
            size: used.bytes + own,
            shared: used.shared,
            in_use: used.held,
            ..CacheRow::of(CacheKind::Internal, &name, description)
        };
        let item = Item {
            layers: kept_by(uses, layer),
            own,
            recency: self.recency.of(record.last_used),
            ..Item::default()
        };
        let place = Place::Records(vec![(record.kind, record.key)]);
        self.add(row, item, place);
    }

    fn small(&mut self, kind: &str, records: Vec<Record>) {
        let size = records.iter().map(|record| record.value.len() as u64).sum();
        let times = || records.iter().map(|record| record.last_used);
        let latest = times().max_by_key(|time| self.recency.of(*time));
        let description = match kind {
            TRACE => "the steps of the last builds, for explanations".to_owned(),
            LATEST => "what each copy made last".to_owned(),
            other => format!("records of the kind {other}"),
        };
        let row = CacheRow {
            created: records
                .iter()
                .map(|record| record.created)
                .min()
                .unwrap_or(0),
            last_used: latest.unwrap_or(0),
            uses: records.len() as u64,
            size,
            mutable: true,
            ..CacheRow::of(CacheKind::Internal, kind, description)
        };
        let item = Item {
            own: size,
            recency: self.recency.of(row.last_used),
            ..Item::default()
        };
        let keys = records
            .into_iter()
            .map(|record| (kind.to_owned(), record.key));
        let place = Place::Records(keys.collect());
        self.add(row, item, place);
    }

    fn mounts(&mut self, folder: &Path) -> Result<(), CollectError> {
        for mount in mounts::list(folder)? {
            let note = &mount.note;
            let description = format!("cached mount {} with id {:?}", note.target, note.id);
            let name = mount.folder.to_string_lossy();
            let row = CacheRow {
                created: mount.created,
                last_used: mount.last_used,
                uses: note.uses,
                size: mount.size,
                in_use: mount.in_use,
                mutable: true,
                ..CacheRow::of(CacheKind::CacheMount, &name, description)
            };
            let item = Item {
                own: mount.size,
                recency: self.recency.of(mount.last_used),
                ..Item::default()
            };
            self.add(row, item, Place::Mount(mount.folder));
        }
        Ok(())
    }

    fn contexts(&mut self, folder: &Path) -> Result<(), CollectError> {
        let failed = |source| CollectError::io("read", folder, source);
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Ok(status) = entry.metadata() else {
                continue;
            };
            let path = entry.path();
            let description = "what is known of the files of a context".to_owned();
            let row = CacheRow {
                created: status.mtime(),
                last_used: status.mtime(),
                uses: 1,
                size: status.blocks() * 512,
                mutable: true,
                ..CacheRow::of(CacheKind::Local, &path.to_string_lossy(), description)
            };
            let item = Item {
                own: row.size,
                recency: self.recency.of(row.last_used),
                ..Item::default()
            };
            self.add(row, item, Place::File(path));
        }
        Ok(())
    }
}

impl CacheRow {
    fn of(kind: CacheKind, name: &str, description: String) -> Self {
        let id = blake3::hash(name.as_bytes()).to_hex();
        Self {
            id: id.as_str()[..ID].to_owned(),
            parents: Vec::new(),
            kind,
            description,
            created: 0,
            last_used: 0,
            uses: 0,
            size: 0,
            shared: false,
            in_use: false,
            mutable: false,
        }
    }
}

/// The layers that stay because of this one, which no image has: itself, and what it is a patch of.
fn kept_by(uses: &BTreeMap<Digest, LayerUse>, layer: Digest) -> Vec<(Digest, u64)> {
    let patched = uses.get(&layer).and_then(|used| used.patch_of);
    [Some(layer), patched]
        .into_iter()
        .flatten()
        .filter_map(|layer| Some((layer, uses.get(&layer).filter(|used| !used.shared)?.bytes)))
        .collect()
}

fn step_row(record: &Record, entry: Option<&Entry>, used: LayerUse, own: u64) -> CacheRow {
    let short = |key: &str| key.chars().take(ID).collect::<String>();
    CacheRow {
        id: short(&hex_encode(&record.key)),
        parents: entry.map_or_else(Vec::new, |entry| {
            entry.parents.iter().map(|parent| short(parent)).collect()
        }),
        kind: CacheKind::Regular,
        description: entry.map_or_else(
            || "a damaged record".to_owned(),
            |entry| entry.name.lines().next().unwrap_or_default().to_owned(),
        ),
        created: record.created,
        last_used: record.last_used,
        uses: record.uses,
        size: used.bytes + own,
        shared: used.shared,
        in_use: used.held,
        mutable: false,
    }
}

/// What is recorded for steps under other kinds, by the key of the step.
struct Attached {
    of_step: HashMap<Vec<u8>, Vec<RecordKey>>,
    /// What is noted of layers goes with the last step that has one.
    of_layer: HashMap<Digest, (usize, Vec<RecordKey>)>,
}

impl Attached {
    fn read(store: &Store, steps: &[Record]) -> Result<Self, CollectError> {
        let mut attached = Self {
            of_step: HashMap::new(),
            of_layer: HashMap::new(),
        };
        for head in store.records().heads(INPUTS)? {
            let key = (INPUTS.to_owned(), head.key.clone());
            attached.of_step.entry(head.key).or_default().push(key);
        }
        for alias in store.records().list(ALIAS)? {
            // One that leads nowhere goes with whatever its bytes name: nothing.
            let step = decode_alias(&alias.key, &alias.value).map(|key| key.0.to_vec());
            let key = (ALIAS.to_owned(), alias.key);
            attached
                .of_step
                .entry(step.unwrap_or_default())
                .or_default()
                .push(key);
        }
        for kind in [CLEAN, MARKS] {
            for record in store.records().list(kind)? {
                if let Some(layer) = record.layers.first() {
                    let noted = attached.of_layer.entry(*layer).or_default();
                    noted.1.push((kind.to_owned(), record.key));
                }
            }
        }
        for layer in steps.iter().flat_map(|step| &step.layers) {
            if let Some((users, _)) = attached.of_layer.get_mut(layer) {
                *users += 1;
            }
        }
        Ok(attached)
    }

    /// The records that go with a step, its own among them.
    fn take(&mut self, step: &Record) -> Vec<RecordKey> {
        let mut keys = vec![(STEP.to_owned(), step.key.clone())];
        keys.extend(self.of_step.remove(&step.key).unwrap_or_default());
        for layer in &step.layers {
            if let Some((users, noted)) = self.of_layer.get_mut(layer) {
                *users -= 1;
                if *users == 0 {
                    keys.append(noted);
                }
            }
        }
        keys
    }
}
