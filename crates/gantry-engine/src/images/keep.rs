//! Keeping images of several platforms in the store under one name.
//!
//! The store has layers unpacked and no compressed form of them: the manifests of what was made
//! here name the plain tars, and so does what `save` writes. A push makes manifests of its own.

use gantry_model::image::Descriptor;
use gantry_model::{Digest, Reference, media_type};
use gantry_store::{Membership, NewImage};

use super::document::{self, Document, Family};
use super::{ExportPart, ImageError, Images, layout};

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The index.
    pub index: Descriptor,
    /// The image of it that serves this machine best.
    pub id: Digest,
}

impl Images<'_> {
    /// Enters images, one for each platform, whose layers are in the store, as one under these
    /// names; without a name they are images like others.
    ///
    /// # Errors
    /// The store's, and [`ImageError::Document`] for a configuration that is none.
    pub fn keep(&self, parts: &[ExportPart], names: &[Reference]) -> Result<Kept, ImageError> {
        let store = self.store()?;
        let mut entries = Vec::new();
        let mut manifests = Vec::new();
        for part in parts {
            let malformed = |reason| ImageError::Document {
                what: "image configuration",
                digest: document::digest(&part.config),
                reason,
            };
            let config = document::parse_config(&part.config).map_err(malformed)?;
            let layers = self.plain_layers(&config.rootfs.diff_ids)?;
            let manifest = document::manifest(Family::Oci, &part.config, layers);
            let mut entry = manifest.descriptor.clone();
            entry.platform = Some(config.platform());
            entries.push(entry);
            manifests.push((manifest, config.platform()));
        }
        let index = Document::new(media_type::OCI_INDEX, &layout::index(entries));
        store.blobs().put(&index.bytes)?;
        let mut id = index.descriptor.digest;
        let described = parts.iter().zip(&manifests).enumerate();
        for (position, (part, (manifest, platform))) in described {
            store.blobs().put(&manifest.bytes)?;
            id = store.images().put(&NewImage {
                config: &part.config,
                blobs: vec![index.descriptor.digest, manifest.descriptor.digest],
                tags: names.to_vec(),
                digests: Vec::new(),
                member: Some(Membership {
                    index: index.descriptor.digest,
                    manifest: manifest.descriptor.digest,
                    position,
                    platform: platform.clone(),
                }),
            })?;
        }
        let id = match names.first() {
            Some(name) => store.images().find(name)?.unwrap_or(id),
            None => id,
        };
        Ok(Kept {
            index: index.descriptor,
            id,
        })
    }
}
