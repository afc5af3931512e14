//! Usage: what takes how much of the disk, and what could be had back.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::Digest;

use crate::collect::{Roots, Snapshot};
use crate::error::StoreError;
use crate::store::Store;

/// What one image takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The image.
    pub id: Digest,
    /// Bytes of all its layers, as their tars count them.
    pub size: u64,
    /// Of these, bytes in layers that other images have, too.
    pub shared: u64,
    /// Whether a root (a container) uses it.
    pub in_use: bool,
}

/// What the store takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// Bytes on disk of all layers that images have.
    pub images_bytes: u64,
    /// Of these, bytes in layers which no image in use has.
    pub images_reclaimable: u64,
    /// How many build records there are.
    pub records: u64,
    /// How many of them are not shared with an image in use.
    pub records_unused: u64,
    /// Bytes on disk of layers which only build records have, and of the records.
    pub records_bytes: u64,
    /// Bytes on disk of layers that nothing refers to.
    pub garbage_bytes: u64,
}

impl Store {
    /// Measures the store, by its tables.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn usage(&self, roots: &Roots) -> Result<Usage, StoreError> {
        Ok(measure(&Snapshot::read(self)?, roots))
    }
}

fn measure(snapshot: &Snapshot, roots: &Roots) -> Usage {
    let mut users: BTreeMap<&Digest, u32> = BTreeMap::new();
    for image in snapshot.images.values() {
        for layer in image.layers.iter().collect::<BTreeSet<_>>() {
            *users.entry(layer).or_default() += 1;
        }
    }
    let in_use = |id: &Digest| roots.images.contains(id);
    let needed: BTreeSet<&Digest> = snapshot
        .images
        .iter()
        .filter(|(id, _)| in_use(id))
        .flat_map(|(_, image)| &image.layers)
        .chain(&roots.layers)
        .collect();
    let size = |layer: &Digest| snapshot.layers.get(layer).map_or(0, |size| size.tar_size);
    let images = snapshot.images.iter().map(|(id, image)| ImageUsage {
        id: *id,
        size: image.layers.iter().map(size).sum(),
        shared: image.layers.iter().filter(|l| users[l] > 1).map(size).sum(),
        in_use: in_use(id),
    });
    let disk = |layers: &mut dyn Iterator<Item = &Digest>| -> u64 {
        layers.map(|layer| snapshot.disk_usage(layer)).sum()
    };
    let of_records: BTreeSet<&Digest> = snapshot
        .records
        .values()
        .flat_map(|record| &record.layers)
        .collect();
    let values: u64 = snapshot.records.values().map(|record| record.size).sum();
    let unused = snapshot.records.values().filter(|record| {
        !record.layers.is_empty() && record.layers.iter().all(|layer| !needed.contains(layer))
    });
    let only_records = |layer: &&Digest| !users.contains_key(*layer) && !needed.contains(*layer);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Usage {
        images: images.collect(),
        images_bytes: disk(&mut users.keys().copied()),
        images_reclaimable: disk(
            &mut users
                .keys()
                .copied()
                .filter(|layer| !needed.contains(layer)),
        ),
        records: count(snapshot.records.len()),
        records_unused: count(unused.count()),
        records_bytes: disk(&mut of_records.iter().copied().filter(only_records)) + values,
        garbage_bytes: disk(
            &mut snapshot
                .layers
                .keys()
                .filter(|layer| only_records(layer) && !of_records.contains(layer)),
        ),
    }
}
