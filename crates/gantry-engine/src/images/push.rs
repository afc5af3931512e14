//! Uploading images.
//!
//! The store keeps layers unpacked. A push first looks whether the registry has a compressed
//! form of a layer that is known (from a pull or an earlier push), here or in another of its
//! repositories; only else the tar is made again and compressed while it goes out. When every
//! layer is found in the form the image came with, its manifest goes out byte for byte.

mod manifest;

use gantry_model::image::Descriptor;
use gantry_model::{Digest, Reference, media_type};
use gantry_store::RepoDigest;

use super::compress::Method;
use super::document::{self, Document, Family};
use super::packing::Packing;
use super::progress::Transfer;
use super::{ImageError, Images};

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The tag.
    pub tag: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Size of the manifest.
    pub size: u64,
}

impl Images<'_> {
    /// Uploads the image of that name.
    ///
    /// # Errors
    /// [`ImageError::NothingToPush`] when no image has it; the registry's and the store's.
    pub fn push(
        &self,
        reference: &Reference,
        transfer: &dyn Transfer,
    ) -> Result<Pushed, ImageError> {
        let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
            return Err(ImageError::ByDigest {
                verb: "push",
                reference: Box::new(reference.clone()),
            });
        };
        let store = self.store()?;
        let lease = store.lease()?;
        let name = reference.familiar();
        let Some(id) = store.images().find(reference)? else {
            return Err(ImageError::NothingToPush { name });
        };
        lease.image(&id)?;
        let image = store.images().image(&id)?;
        transfer.begin(tag, &reference.name(), &image.layers);
        let original = self.original(&image)?;
        let family = original.as_ref().map_or(Family::Docker, |o| o.family);
        let preferred = original
            .as_ref()
            .map(|o| o.layers(&image.layers))
            .unwrap_or_default();
        let packing = Packing {
            images: *self,
            destination: &self.repository(reference)?,
            family,
            method: Method::default(),
            kept: None,
            preferred,
            transfer,
        };
        let packed = packing.layers(&image.layers)?.into_iter();
        let layers: Vec<Descriptor> = packed.map(|layer| layer.descriptor).collect();
        let config = store.images().config_bytes(&id)?;
        let Document { descriptor, bytes } = match original {
            Some(original) if original.has(&layers) => original.document,
            _ => document::manifest(family, &config, layers),
        };
        let client = self.client()?;
        if client.has_blob(reference, &id)?.is_none() {
            let whole = Descriptor::new(media_type::OCI_CONFIG, id, config.len() as u64);
            client.push_bytes(reference, &whole, &config)?;
        }
        client.push_manifest(reference, &descriptor.media_type, &bytes)?;
        store.blobs().put(&bytes)?;
        store.images().add_blob(&id, &descriptor.digest)?;
        let digest = RepoDigest {
            repository: reference.name(),
            digest: descriptor.digest,
            media_type: descriptor.media_type,
        };
        store.images().add_digest(&id, &digest)?;
        self.tell("push", &reference.familiar(), &reference.familiar_name());
        Ok(Pushed {
            tag: tag.to_owned(),
            digest: digest.digest,
            size: bytes.len() as u64,
        })
    }

    /// The tags of a repository that images here have (`push --all-tags`).
    ///
    /// # Errors
    /// [`ImageError::NothingToPush`] when there is none, [`ImageError::Store`] when one of the
    /// images is damaged.
    pub fn tags_of(&self, repository: &Reference) -> Result<Vec<Reference>, ImageError> {
        let images = self.of_repository(repository)?;
        let mut tags: Vec<Reference> = images.into_iter().flat_map(|(_, tags)| tags).collect();
        tags.sort();
        if tags.is_empty() {
            return Err(ImageError::NothingToPush {
                name: repository.familiar_name(),
            });
        }
        Ok(tags)
    }
}
