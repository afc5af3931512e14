//! Usage: what takes how much of the disk, and what could be had back.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::Digest;

use crate::collect::{Roots, Snapshot};
use crate::error::StoreError;
use crate::lease::{self, Resource};
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
    /// Bytes on disk of layers that nothing refers to.
    pub garbage_bytes: u64,
}

/// Who needs a layer, beside build records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerUse {
    /// Bytes it takes on the disk.
    pub bytes: u64,
    /// Whether an image or a root has it: it stays whatever becomes of records.
    pub shared: bool,
    /// Whether a living command holds it.
    pub held: bool,
    /// The layer that it is a patch of, which stays as long as it does.
    pub patch_of: Option<Digest>,
}

impl Store {
    /// Who needs each layer.
    ///
    /// # Errors
    /// When the database or the leases cannot be read.
    pub fn layer_uses(&self, roots: &Roots) -> Result<BTreeMap<Digest, LayerUse>, StoreError> {
        let lock = self.lock_exclusive()?;
        let held = lease::held(&self.leases_path())?;
        drop(lock);
        let snapshot = Snapshot::read(self)?;
        let of_images = snapshot.images.values().flat_map(|image| &image.layers);
        let shared = with_patched(&snapshot, of_images.chain(&roots.layers));
        let held_layers = held.iter().filter_map(|resource| match resource {
            Resource::Layer(layer) => Some(layer),
            Resource::Image(_) | Resource::Blob(_) => None,
        });
        let held = with_patched(&snapshot, held_layers);
        let of = |layer: &Digest| LayerUse {
            bytes: snapshot.disk_usage(layer),
            shared: roots.unknown || shared.contains(layer),
            held: held.contains(layer),
            patch_of: snapshot.patch_of(layer).copied(),
        };
        let layers = snapshot.layers.keys();
        Ok(layers.map(|layer| (*layer, of(layer))).collect())
    }

    /// Measures the store, by its tables.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn usage(&self, roots: &Roots) -> Result<Usage, StoreError> {
        Ok(measure(&Snapshot::read(self)?, roots))
    }
}

/// Layers, and those that they are patches of.
fn with_patched<'s>(
    snapshot: &'s Snapshot,
    layers: impl Iterator<Item = &'s Digest>,
) -> BTreeSet<&'s Digest> {
    layers
        .flat_map(|layer| [Some(layer), snapshot.patch_of(layer)])
        .flatten()
        .collect()
}

fn measure(snapshot: &Snapshot, roots: &Roots) -> Usage {
    let mut users: BTreeMap<&Digest, u32> = BTreeMap::new();
    for image in snapshot.images.values() {
        for layer in image.layers.iter().collect::<BTreeSet<_>>() {
            *users.entry(layer).or_default() += 1;
        }
    }
    let in_use = |id: &Digest| roots.images.contains(id);
    let in_use_layers = snapshot
        .images
        .iter()
        .filter(|(id, _)| in_use(id))
        .flat_map(|(_, image)| &image.layers)
        .chain(&roots.layers);
    let needed = with_patched(snapshot, in_use_layers);
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
    let recorded = snapshot.records.values().flat_map(|record| &record.layers);
    let of_records = with_patched(snapshot, recorded);
    let of_images = with_patched(snapshot, users.keys().copied());
    let only_records = |layer: &&Digest| !of_images.contains(*layer) && !needed.contains(*layer);
    Usage {
        images: images.collect(),
        images_bytes: disk(&mut of_images.iter().copied()),
        images_reclaimable: disk(
            &mut of_images
                .iter()
                .copied()
                .filter(|layer| !needed.contains(layer)),
        ),
        garbage_bytes: disk(
            &mut snapshot
                .layers
                .keys()
                .filter(|layer| only_records(layer) && !of_records.contains(layer)),
        ),
    }
}
