//! Collection: taking away what nothing refers to.

mod snapshot;

use std::collections::BTreeSet;

use gantry_model::Digest;
use rusqlite::params;

pub(crate) use snapshot::{RecordRow, Snapshot};

use crate::database::failed;
use crate::error::StoreError;
use crate::ingest::IngestEntry;
use crate::layers::mapped;
use crate::lease::{self, Resource};
use crate::store::{Store, StoreLock};
use crate::tree;

/// What somebody outside of the store's own tables refers to: containers by their documents.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    /// Images in use.
    pub images: BTreeSet<Digest>,
    /// Layers in use.
    pub layers: BTreeSet<Digest>,
    /// Blobs in use.
    pub blobs: BTreeSet<Digest>,
    /// Somebody's needs could not be read: whatever is here may be in use, so that every image,
    /// layer and blob stays.
    pub unknown: bool,
}

/// Which images a collection takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ImagePolicy {
    /// None: only what no image, record, lease or root refers to.
    #[default]
    Keep,
    /// Those without a tag that are not in use (`image prune`).
    Dangling,
    /// All that are not in use (`image prune -a`).
    Unused,
}

/// Which build records a collection takes, beside those whose layers or blobs are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RecordPolicy {
    /// None.
    #[default]
    Keep,
    /// These, by kind and key: whoever made them knows which are worth least.
    These(BTreeSet<(String, Vec<u8>)>),
}

/// What a collection is to take away.
#[derive(Debug, Clone, Default)]
pub struct CollectPolicy {
    /// Which images.
    pub images: ImagePolicy,
    /// Images which [`ImagePolicy`] would take but a filter of the caller keeps.
    pub spared: BTreeSet<Digest>,
    /// Which build records.
    pub records: RecordPolicy,
    /// Only say what would be taken away.
    pub dry_run: bool,
}

/// What a collection took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images by id, with the tags and repository digests they had.
    pub images: Vec<(Digest, Vec<String>)>,
    /// Layers by diff ID.
    pub layers: Vec<Digest>,
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// How many build records.
    pub records: u64,
    /// How many entries of dead processes.
    pub stale: u64,
    /// Bytes of disk set free.
    pub bytes: u64,
}

impl Store {
    /// Takes away what nothing refers to; safe at any time beside other commands.
    ///
    /// Decided and hidden under the store's exclusive lock: rows go in one transaction, folders
    /// move to `ingest/`. Deleting them, which takes long, happens without the lock, and what a
    /// killed process did not delete is swept by the next.
    ///
    /// # Errors
    /// When the database or a file cannot be changed; what was decided before is carried on by
    /// the next collection.
    pub fn collect(&self, roots: &Roots, policy: &CollectPolicy) -> Result<Collected, StoreError> {
        let stale = if policy.dry_run {
            self.ingest_unswept()?.stale()?
        } else {
            self.ingest_unswept()?.sweep()?
        };
        let lock = self.lock_exclusive()?;
        let snapshot = Snapshot::read(self)?;
        // Leases before nothing else: whoever is about to make something visible holds the
        // store's lock shared, and has written its lease by then.
        let held = Held::new(roots, &lease::held(&self.leases_path())?);
        let doomed = doomed(self, &snapshot, &held, policy)?;
        let mut collected = Collected {
            images: doomed
                .images
                .iter()
                .map(|id| (*id, snapshot.names_of(id)))
                .collect(),
            layers: doomed.layers.iter().copied().collect(),
            blobs: doomed.blobs.iter().copied().collect(),
            records: u64::try_from(doomed.records.len()).unwrap_or(u64::MAX),
            stale: u64::try_from(stale.len()).unwrap_or(u64::MAX),
            bytes: doomed.layers.iter().map(|id| snapshot.disk_usage(id)).sum(),
        };
        for digest in &doomed.blobs {
            collected.bytes += self.blobs().size(digest).unwrap_or(0);
        }
        if policy.dry_run {
            return Ok(collected);
        }
        forget(self, &doomed)?;
        let mut hidden = hide(self, &lock, &doomed)?;
        hidden.extend(hide_fixups(self, &lock)?);
        hidden.extend(mapped::hide(self)?);
        drop(lock);
        drop(hidden);
        Ok(collected)
    }
}

/// What is in use by somebody outside of the tables.
struct Held {
    images: BTreeSet<Digest>,
    layers: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
    everything: bool,
}

impl Held {
    fn new<'a>(roots: &Roots, leases: impl IntoIterator<Item = &'a Resource>) -> Self {
        let mut held = Self {
            images: roots.images.clone(),
            layers: roots.layers.clone(),
            blobs: roots.blobs.clone(),
            everything: roots.unknown,
        };
        for resource in leases {
            match resource {
                Resource::Image(id) => held.images.insert(*id),
                Resource::Layer(diff_id) => held.layers.insert(*diff_id),
                Resource::Blob(digest) => held.blobs.insert(*digest),
            };
        }
        held
    }
}

/// What a collection is going to take.
#[derive(Default)]
struct Doomed {
    images: BTreeSet<Digest>,
    records: Vec<(String, Vec<u8>)>,
    /// Layers with a row, a folder, or both.
    layers: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
    /// Names in `layers/` that are no layer's.
    strangers: Vec<String>,
}

fn doomed(
    store: &Store,
    snapshot: &Snapshot,
    held: &Held,
    policy: &CollectPolicy,
) -> Result<Doomed, StoreError> {
    let images: BTreeSet<Digest> = snapshot
        .images
        .keys()
        .filter(|id| takes_image(snapshot, held, policy, id))
        .copied()
        .collect();
    let (folders, strangers) = layer_folders(store)?;
    let blobs: BTreeSet<Digest> = store.blobs().list()?.into_iter().collect();
    let records = doomed_records(snapshot, policy, &blobs);
    let mut live_layers = held.layers.clone();
    let mut live_blobs = held.blobs.clone();
    let kept_images = snapshot
        .images
        .iter()
        .filter(|(id, _)| !images.contains(*id));
    for (id, image) in kept_images {
        live_layers.extend(&image.layers);
        live_blobs.insert(*id);
        live_blobs.extend(&image.blobs);
    }
    // A leased image may be on its way: its configuration is there before its row.
    live_blobs.extend(&held.images);
    let gone: BTreeSet<&(String, Vec<u8>)> = records.iter().collect();
    for (_, record) in snapshot
        .records
        .iter()
        .filter(|(key, _)| !gone.contains(key))
    {
        live_layers.extend(&record.layers);
        live_blobs.extend(&record.blobs);
    }
    if held.everything {
        live_layers.extend(snapshot.layers.keys());
        live_layers.extend(&folders);
        live_blobs.extend(&blobs);
    }
    let patched: Vec<&Digest> = live_layers
        .iter()
        .filter_map(|layer| snapshot.patch_of(layer))
        .collect();
    live_layers.extend(patched);
    let all_layers: BTreeSet<Digest> = snapshot.layers.keys().copied().chain(folders).collect();
    Ok(Doomed {
        images,
        records,
        layers: all_layers.difference(&live_layers).copied().collect(),
        blobs: blobs.difference(&live_blobs).copied().collect(),
        strangers: if policy.dry_run {
            Vec::new()
        } else {
            strangers
        },
    })
}

fn takes_image(snapshot: &Snapshot, held: &Held, policy: &CollectPolicy, id: &Digest) -> bool {
    let needed = |id: &Digest| held.images.contains(id) || policy.spared.contains(id);
    // What has one name stays or goes as a whole.
    let with_others = |members: &Vec<Digest>| members.contains(id) && members.iter().any(needed);
    let in_use = held.everything || needed(id) || snapshot.indexes.values().any(with_others);
    match policy.images {
        ImagePolicy::Keep => false,
        ImagePolicy::Dangling => !in_use && !snapshot.is_named(id),
        ImagePolicy::Unused => !in_use,
    }
}

/// The records that go: those the policy names, and those whose layers or blobs are gone.
fn doomed_records(
    snapshot: &Snapshot,
    policy: &CollectPolicy,
    blobs: &BTreeSet<Digest>,
) -> Vec<(String, Vec<u8>)> {
    let broken = |record: &RecordRow| {
        !record
            .layers
            .iter()
            .all(|layer| snapshot.layers.contains_key(layer))
            || !record.blobs.iter().all(|blob| blobs.contains(blob))
    };
    let by_policy = |key: &(String, Vec<u8>)| match &policy.records {
        RecordPolicy::Keep => false,
        RecordPolicy::These(these) => these.contains(key),
    };
    snapshot
        .records
        .iter()
        .filter(|(key, record)| broken(record) || by_policy(key))
        .map(|(key, _)| key.clone())
        .collect()
}

/// The diff IDs that have a folder, and the names of folders that are no diff ID.
fn layer_folders(store: &Store) -> Result<(Vec<Digest>, Vec<String>), StoreError> {
    let entries = tree::sorted_entries(store.layers_directory()?)
        .map_err(|errno| StoreError::io("list", store.root().join("layers"), errno))?;
    let mut layers = Vec::new();
    let mut strangers = Vec::new();
    for entry in entries {
        let name = entry.name.to_string_lossy().into_owned();
        match Digest::from_hex(&name) {
            Ok(diff_id) => layers.push(diff_id),
            Err(_) => strangers.push(name),
        }
    }
    Ok((layers, strangers))
}

/// Deletes the rows: from here on nothing names what is about to go.
fn forget(store: &Store, doomed: &Doomed) -> Result<(), StoreError> {
    store
        .database()
        .write("forget what is collected", |transaction| {
            let run = || -> rusqlite::Result<()> {
                for id in &doomed.images {
                    crate::images::delete(transaction, id)?;
                }
                for (kind, key) in &doomed.records {
                    for table in ["record_layers", "record_blobs", "records"] {
                        let statement = format!("DELETE FROM {table} WHERE kind = ?1 AND key = ?2");
                        transaction
                            .prepare_cached(&statement)?
                            .execute(params![kind, key])?;
                    }
                }
                for diff_id in &doomed.layers {
                    for statement in [
                        "DELETE FROM layer_sources WHERE digest IN
                     (SELECT digest FROM layer_blobs WHERE diff_id = ?1)",
                        "DELETE FROM layer_blobs WHERE diff_id = ?1",
                        "DELETE FROM layers WHERE diff_id = ?1",
                    ] {
                        transaction
                            .prepare_cached(statement)?
                            .execute([diff_id.as_bytes()])?;
                    }
                }
                Ok(())
            };
            run().map_err(failed("forget what is collected"))
        })
}

/// Moves folders out of sight and unlinks blobs; dropping the result deletes the folders.
fn hide(store: &Store, _lock: &StoreLock, doomed: &Doomed) -> Result<Vec<IngestEntry>, StoreError> {
    let layers = store.layers_directory()?;
    let ingest = store.ingest()?;
    let mut hidden = Vec::new();
    let names = doomed
        .layers
        .iter()
        .map(Digest::hex)
        .chain(doomed.strangers.iter().cloned());
    for name in names {
        hidden.extend(ingest.take(layers, &name)?);
    }
    for digest in &doomed.blobs {
        store.blobs().remove(digest)?;
    }
    Ok(hidden)
}

/// Moves the fixups of chains out of sight that have lost a layer.
fn hide_fixups(store: &Store, _lock: &StoreLock) -> Result<Vec<IngestEntry>, StoreError> {
    let path = store.root().join("fixups");
    let failed = |errno| StoreError::io("list", &path, errno);
    let fixups = tree::open_directory(store.directory(), "fixups").map_err(failed)?;
    let mut hidden = Vec::new();
    for entry in tree::sorted_entries(&fixups).map_err(failed)? {
        let name = entry.name.to_string_lossy().into_owned();
        let list = std::fs::read_to_string(path.join(&name).join("layers")).unwrap_or_default();
        let mut whole = !list.is_empty();
        for line in list.lines() {
            whole &= match line.parse() {
                Ok(diff_id) => store.layers().contains(&diff_id)?,
                Err(_) => false,
            };
        }
        if !whole {
            hidden.extend(store.ingest()?.take(&fixups, &name)?);
        }
    }
    Ok(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewImage, Record};

    fn layer(store: &Store, content: &str) -> Digest {
        let draft = store.layers().draft().unwrap();
        std::fs::write(draft.upper().join("file"), content).unwrap();
        draft.commit().unwrap().diff_id
    }

    fn image(store: &Store, layers: &[Digest], tag: Option<&str>) -> Digest {
        let config = serde_json::json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": layers}});
        let config = serde_json::to_vec(&config).unwrap();
        let tags = tag.map(|t| t.parse().unwrap()).into_iter().collect();
        store
            .images()
            .put(&NewImage {
                config: &config,
                tags,
                ..NewImage::default()
            })
            .unwrap()
    }

    fn collect(root: &std::path::Path, roots: &Roots, policy: &CollectPolicy) -> Collected {
        // A handle of its own: what the other one brought in is no longer held.
        Store::open(root).unwrap().collect(roots, policy).unwrap()
    }

    #[test]
    fn only_what_nothing_refers_to_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let store = Store::open(&root).unwrap();
        let (base, top, lone) = (
            layer(&store, "base"),
            layer(&store, "top"),
            layer(&store, "lone"),
        );
        let tagged = image(&store, &[base], Some("keep"));
        let dangling = image(&store, &[base, top], None);
        let held = collect(&root, &Roots::default(), &CollectPolicy::default());
        assert_eq!(held.layers, [], "the first handle still holds what it made");
        drop(store);
        let first = collect(&root, &Roots::default(), &CollectPolicy::default());
        assert_eq!(first.layers, [lone]);
        let policy = CollectPolicy {
            images: ImagePolicy::Dangling,
            ..CollectPolicy::default()
        };
        let rooted = Roots {
            images: [dangling].into(),
            ..Roots::default()
        };
        assert_eq!(collect(&root, &rooted, &policy).images, []);
        let dry = CollectPolicy {
            dry_run: true,
            ..policy.clone()
        };
        assert_eq!(collect(&root, &Roots::default(), &dry).layers, [top]);
        let second = collect(&root, &Roots::default(), &policy);
        assert_eq!(
            (second.images, second.layers),
            (vec![(dangling, vec![])], vec![top])
        );
        assert!(second.bytes > 0);
        let store = Store::open(&root).unwrap();
        assert!(
            store.images().contains(&tagged).unwrap() && store.layers().contains(&base).unwrap()
        );
        assert!(!store.blobs().contains(&dangling).unwrap());
        assert_eq!(std::fs::read_dir(root.join("layers")).unwrap().count(), 1);
    }

    #[test]
    fn what_has_one_name_goes_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let store = Store::open(&root).unwrap();
        let index = Digest::from_bytes([1; 32]);
        let put = |name: &str, position: u8| {
            let config = serde_json::json!({"os": "linux", "author": name,
                "rootfs": {"type": "layers", "diff_ids": []}});
            let image = NewImage {
                config: &serde_json::to_vec(&config).unwrap(),
                tags: vec!["app".parse().unwrap()],
                member: Some(crate::Membership {
                    index,
                    manifest: Digest::from_bytes([position; 32]),
                    position: usize::from(position),
                    platform: "linux/s390x".parse().unwrap(),
                }),
                ..NewImage::default()
            };
            store.images().put(&image).unwrap()
        };
        let both = [put("a", 0), put("b", 1)];
        drop(store);
        let policy = |images| CollectPolicy {
            images,
            ..CollectPolicy::default()
        };
        let dangling = policy(ImagePolicy::Dangling);
        assert_eq!(collect(&root, &Roots::default(), &dangling).images, []);
        let used = Roots {
            images: [both[1]].into(),
            ..Roots::default()
        };
        let unused = policy(ImagePolicy::Unused);
        assert_eq!(collect(&root, &used, &unused).images, []);
        assert_eq!(collect(&root, &Roots::default(), &unused).images.len(), 2);
    }

    #[test]
    fn records_keep_their_layers_until_they_go() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let store = Store::open(&root).unwrap();
        let (old, new) = (layer(&store, "old"), layer(&store, "new"));
        let mut records = [
            Record::new("step", b"old", b"v"),
            Record::new("step", b"new", b"v"),
        ];
        records[0].layers.push(old);
        records[1].layers.push(new);
        store.records().put(&records).unwrap();
        drop(store);
        assert_eq!(
            collect(&root, &Roots::default(), &CollectPolicy::default()).layers,
            []
        );
        let these = |keys: &[&[u8]]| CollectPolicy {
            records: RecordPolicy::These(
                keys.iter()
                    .map(|key| ("step".to_owned(), key.to_vec()))
                    .collect(),
            ),
            ..CollectPolicy::default()
        };
        let gone = collect(&root, &Roots::default(), &these(&[b"old", b"nonesuch"]));
        assert_eq!((gone.records, gone.layers), (1, vec![old]));
        let rest = these(&[b"new"]);
        assert_eq!(collect(&root, &Roots::default(), &rest).layers, [new]);
    }
}
