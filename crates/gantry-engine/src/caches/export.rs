//! Caches that leave.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_model::image::{Descriptor, ImageConfig};
use gantry_model::{Digest, StepRecord};

use super::config::{self, CacheConfig, LayerFacts};
use super::mounts::LeavingMount;
use super::{CachePlace, CacheStep, Caches};
use crate::images::compress::{LayerCompression, Method};
use crate::images::destination::Destination;
use crate::images::document::{self, Document, Family};
use crate::images::layout::{self, FolderLayout};
use crate::images::packing::Packing;
use crate::images::{ImageError, Transfer};

/// How a cache leaves.
#[derive(Debug, Clone)]
pub struct CacheForm {
    /// How layers are compressed.
    pub compression: LayerCompression,
    /// The level; the usual one of the compression without.
    pub level: Option<i32>,
    /// Whether known layers are brought into this form, too.
    pub force: bool,
    /// Whether the document on top is a manifest, not an index.
    pub manifest: bool,
    /// Whether documents have OCI's media types.
    pub oci: bool,
    /// Whether a folder keeps nothing but this cache.
    pub reset: bool,
}

impl Default for CacheForm {
    fn default() -> Self {
        Self {
            compression: LayerCompression::default(),
            level: None,
            force: false,
            manifest: true,
            oci: true,
            reset: false,
        }
    }
}

impl Caches<'_> {
    /// Carries the steps (those of BuildKit's names in `records`), their layers and cache mounts to a place; the digest of the document on top.
    ///
    /// # Errors
    /// The registry's, the store's, and when a folder cannot be written.
    pub fn export(
        &self,
        steps: &[CacheStep],
        records: &[StepRecord],
        mounts: &[LeavingMount<'_>],
        place: &CachePlace,
        form: &CacheForm,
        transfer: &dyn Transfer,
    ) -> Result<Digest, ImageError> {
        match place {
            CachePlace::Registry(reference) => {
                let repository = self.engine.images().repository(reference)?;
                let top = self.carry((steps, records), mounts, &repository, form, transfer)?;
                let (media_type, bytes) = (&top.descriptor.media_type, &top.bytes);
                self.engine
                    .registry()?
                    .push_manifest(reference, media_type, bytes)?;
                Ok(top.descriptor.digest)
            }
            CachePlace::Folder { folder, tag, .. } => {
                let layout = FolderLayout::new(folder)?;
                let top = self.carry((steps, records), mounts, &layout, form, transfer)?;
                let mut entry = top.descriptor.clone();
                entry
                    .annotations
                    .insert(layout::REF_NAME.to_owned(), tag.clone());
                layout.finish(vec![entry])?;
                if form.reset {
                    layout.keep_only(&[top.descriptor.digest])?;
                }
                Ok(top.descriptor.digest)
            }
        }
    }

    fn carry(
        &self,
        (steps, records): (&[CacheStep], &[StepRecord]),
        mounts: &[LeavingMount<'_>],
        destination: &dyn Destination,
        form: &CacheForm,
        transfer: &dyn Transfer,
    ) -> Result<Document, ImageError> {
        let family = if form.oci {
            Family::Oci
        } else {
            Family::Docker
        };
        let mut seen = HashSet::new();
        let layers: Vec<Digest> = steps
            .iter()
            .flat_map(|step| &step.layers)
            .filter(|diff_id| seen.insert(**diff_id))
            .copied()
            .collect();
        let packing = Packing {
            images: self.engine.images(),
            destination,
            family,
            method: Method {
                compression: form.compression,
                level: form.level,
            },
            kept: form.force.then(HashSet::new),
            preferred: HashMap::new(),
            transfer,
        };
        let packed = packing.layers(&layers)?;
        let created: HashMap<&Digest, &String> = steps
            .iter()
            .filter_map(|step| Some((step.layers.last()?, &step.created)))
            .collect();
        let mut facts = HashMap::new();
        let mut descriptors = Vec::new();
        for (diff_id, layer) in layers.iter().zip(packed) {
            let created_at = created.get(diff_id).map(|text| (*text).clone());
            let of_layer = LayerFacts {
                media_type: layer.descriptor.media_type.clone(),
                diff_id: Some(layer.diff_id),
                size: layer.descriptor.size,
                created_at: created_at.unwrap_or_default(),
            };
            facts.insert(*diff_id, (layer.descriptor.digest, of_layer));
            let mut descriptor = layer.descriptor;
            // Without it BuildKit has no use for a layer.
            let diff_id = layer.diff_id.to_string();
            descriptor
                .annotations
                .insert(config::DIFF_ID.to_owned(), diff_id);
            descriptors.push(descriptor);
        }
        for mount in mounts {
            descriptors.push(mount.carry(destination, family)?);
        }
        let config = CacheConfig::new(steps, records, &facts);
        let config = Document::new(config::MEDIA_TYPE, &config);
        destination.small(&config.descriptor, &config.bytes)?;
        let top = on_top(config.descriptor, descriptors, family, form.manifest);
        destination.document(&top)?;
        Ok(top)
    }
}

/// The document on top: a manifest whose configuration is the cache's, or an index that has it
/// as its last entry.
fn on_top(
    config: Descriptor,
    mut layers: Vec<Descriptor>,
    family: Family,
    manifest: bool,
) -> Document {
    if manifest {
        let manifest = document::bare_manifest(family, config, layers);
        return Document::new(family.manifest(), &manifest);
    }
    layers.push(config);
    let index = gantry_model::image::Index {
        media_type: family.index().to_owned(),
        ..layout::index(layers)
    };
    Document::new(family.index(), &index)
}

/// Writes the steps whose layers an image has into its configuration (`type=inline`), those by
/// BuildKit's names with what they follow.
pub fn inline(config: &mut ImageConfig, steps: &[CacheStep], named: &[StepRecord]) {
    let diff_ids = &config.rootfs.diff_ids;
    let top = |layers: &[Digest]| {
        let top = layers.len().checked_sub(1)?;
        diff_ids.starts_with(layers).then_some(top)
    };
    let mut records: Vec<_> = steps
        .iter()
        .filter_map(|step| Some(config::record(step, top(&step.layers)?)))
        .collect();
    let before = records.len();
    records.extend(named.iter().map(|record| {
        let made = record.made.as_ref();
        config::named(record, made.and_then(|made| top(&made.layers)), before)
    }));
    let text = STANDARD.encode(document::json(&records));
    config.other.insert(config::INLINE.to_owned(), text.into());
}
