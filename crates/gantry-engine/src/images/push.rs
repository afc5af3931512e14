//! Uploading images.
//!
//! The store keeps layers unpacked. A push first looks whether the registry has a compressed
//! form of a layer that is known (from a pull or an earlier push), here or in another of its
//! repositories; only else the tar is made again and compressed while it goes out. When every
//! layer is found in the form the image came with, its manifest goes out byte for byte.

mod index;
mod manifest;

use gantry_model::image::Descriptor;
use gantry_model::{Digest, Platform, Reference};
use gantry_store::{Lease, RepoDigest};

use super::compress::Method;
use super::destination::Destination;
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
    /// Uploads the image of that name, for all its platforms that are here or for that one.
    ///
    /// # Errors
    /// [`ImageError::NothingToPush`] when no image has it; the registry's and the store's.
    pub fn push(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
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
        let Some(id) = store.images().find(reference)? else {
            let name = reference.familiar();
            return Err(ImageError::NothingToPush { name });
        };
        let whole = match platform {
            None => store.images().index_of(reference)?,
            Some(_) => None,
        };
        let top = match whole {
            Some(index) if index.members.len() > 1 || self.is_attested(&index)? => {
                self.push_index(reference, &index, &lease, transfer)?
            }
            _ => {
                let id = match platform {
                    Some(_) => self.id_for(&reference.to_string(), platform)?,
                    None => id,
                };
                self.push_single(reference, &id, &lease, transfer)?
            }
        };
        self.tell("push", &reference.familiar(), &reference.familiar_name());
        Ok(Pushed {
            tag: tag.to_owned(),
            digest: top.digest,
            size: top.size,
        })
    }

    /// Uploads an image under the tag.
    fn push_single(
        &self,
        reference: &Reference,
        id: &Digest,
        lease: &Lease,
        transfer: &dyn Transfer,
    ) -> Result<Descriptor, ImageError> {
        let Document { descriptor, bytes } = self.push_parts(reference, id, lease, transfer)?;
        let client = self.client()?;
        client.push_manifest(reference, &descriptor.media_type, &bytes)?;
        let store = self.store()?;
        store.blobs().put(&bytes)?;
        store.images().add_blob(id, &descriptor.digest)?;
        let digest = RepoDigest {
            repository: reference.name(),
            digest: descriptor.digest,
            media_type: descriptor.media_type.clone(),
        };
        store.images().add_digest(id, &digest)?;
        Ok(descriptor)
    }

    /// Uploads the layers and the configuration of an image; its manifest.
    fn push_parts(
        &self,
        reference: &Reference,
        id: &Digest,
        lease: &Lease,
        transfer: &dyn Transfer,
    ) -> Result<Document, ImageError> {
        let store = self.store()?;
        lease.image(id)?;
        let image = store.images().image(id)?;
        let tag = reference.tag().unwrap_or_default();
        transfer.begin(tag, &reference.name(), &image.layers);
        let original = self.original(&image)?;
        let family = original.as_ref().map_or(Family::Docker, |o| o.family);
        let preferred = original
            .as_ref()
            .map(|o| o.layers(&image.layers))
            .unwrap_or_default();
        let repository = self.repository(reference)?;
        let packing = Packing {
            images: *self,
            destination: &repository,
            family,
            method: Method::default(),
            kept: None,
            preferred,
            transfer,
        };
        let packed = packing.layers(&image.layers)?.into_iter();
        let layers: Vec<Descriptor> = packed.map(|layer| layer.descriptor).collect();
        let config = store.images().config_bytes(id)?;
        repository.small(&family.configuration(&config), &config)?;
        Ok(match original {
            Some(original) if original.has(&layers) => original.document,
            _ => document::manifest(family, &config, layers),
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
