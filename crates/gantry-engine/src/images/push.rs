//! Uploading images.
//!
//! The store keeps layers unpacked. A push first looks whether the registry has a compressed
//! form of a layer that is known (from a pull or an earlier push), here or in another of its
//! repositories; only else the tar is made again and compressed while it goes out. When every
//! layer is found in the form the image came with, its manifest goes out byte for byte.

mod gzip;
mod manifest;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gantry_model::image::Descriptor;
use gantry_model::{Digest, Reference, media_type};
use gantry_store::{Image, LayerBlob, RepoDigest};

use super::document::{self, Document, Family};
use super::progress::{LayerPhase, LayerProgress, Transfer};
use super::{ImageError, Images, parallel};

/// Uploads at once.
const CONNECTIONS: usize = 3;
/// How often an upload that broke off is made.
const UPLOADS: u32 = 3;

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
        let layers = self.push_layers(reference, &image, family, &preferred, transfer)?;
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

    fn push_layers(
        &self,
        reference: &Reference,
        image: &Image,
        family: Family,
        preferred: &HashMap<Digest, Descriptor>,
        transfer: &dyn Transfer,
    ) -> Result<Vec<Descriptor>, ImageError> {
        let mut waiting: Vec<Digest> = image.layers.clone();
        waiting.sort();
        waiting.dedup();
        for id in &waiting {
            tell(transfer, id, LayerPhase::Waiting, 0, None);
        }
        let threads = parallel::processors();
        let done = Mutex::new(HashMap::new());
        parallel::each(waiting, CONNECTIONS, |diff_id, _stop| {
            let known = preferred.get(&diff_id);
            let descriptor =
                self.push_layer(reference, &diff_id, family, known, threads, transfer)?;
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(diff_id, descriptor);
            Ok::<(), ImageError>(())
        })?;
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(image
            .layers
            .iter()
            .filter_map(|diff_id| done.get(diff_id).cloned())
            .collect())
    }

    fn push_layer(
        &self,
        reference: &Reference,
        diff_id: &Digest,
        family: Family,
        preferred: Option<&Descriptor>,
        threads: usize,
        transfer: &dyn Transfer,
    ) -> Result<Descriptor, ImageError> {
        let known = self.store()?.layers().blobs(diff_id)?;
        if let Some((descriptor, phase)) = self.in_registry(reference, &known, family, preferred)? {
            self.note(reference, diff_id, &descriptor)?;
            tell(
                transfer,
                diff_id,
                phase,
                descriptor.size,
                Some(descriptor.size),
            );
            return Ok(descriptor);
        }
        tell(transfer, diff_id, LayerPhase::Preparing, 0, None);
        let info = self.store()?.layers().info(diff_id)?;
        let total = Some(info.tar_size);
        let mut tries = 1;
        let descriptor = loop {
            match self.upload(reference, diff_id, family, threads, &|count| {
                tell(transfer, diff_id, LayerPhase::Pushing, count, total);
            }) {
                // The tar can be made again as often as need be.
                Err(ImageError::Registry(error)) if error.is_temporary() && tries < UPLOADS => {
                    tries += 1;
                }
                result => break result?,
            }
        };
        self.note(reference, diff_id, &descriptor)?;
        tell(transfer, diff_id, LayerPhase::Pushed, info.tar_size, total);
        Ok(descriptor)
    }

    /// Makes a layer's tar again, compresses it and sends it, all at once.
    fn upload(
        &self,
        reference: &Reference,
        diff_id: &Digest,
        family: Family,
        threads: usize,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<Descriptor, ImageError> {
        let tar = self.store()?.layers().tar(diff_id)?;
        let mut counted = Counted {
            inner: tar,
            count: 0,
            tell,
        };
        let client = self.client()?;
        Ok(gzip::compressed(&mut counted, threads, |stream| {
            // The client reads, then asks for the digest: never both at once.
            let stream = std::cell::RefCell::new(stream);
            let mut body = SharedStream(&stream);
            let mut digest = || stream.borrow().digest();
            client.push_blob(reference, family.gzip_layer(), &mut body, &mut digest)
        })?)
    }

    /// A known compressed form that the registry has in this repository, or can take over from
    /// another of its own.
    fn in_registry(
        &self,
        reference: &Reference,
        known: &[LayerBlob],
        family: Family,
        preferred: Option<&Descriptor>,
    ) -> Result<Option<(Descriptor, LayerPhase)>, ImageError> {
        let client = self.client()?;
        let mut usable: Vec<(&LayerBlob, Descriptor)> = known
            .iter()
            .filter_map(|blob| {
                let media_type = family.layer(&blob.media_type)?;
                Some((blob, Descriptor::new(media_type, blob.digest, blob.size)))
            })
            .collect();
        // The form the image came with first, because then its manifest can stay as it is.
        usable.sort_by_key(|(blob, _)| preferred.is_none_or(|p| p.digest != blob.digest));
        for (blob, descriptor) in &usable {
            let wanted = preferred
                .filter(|p| p.digest == blob.digest)
                .unwrap_or(descriptor);
            if client.has_blob(reference, &blob.digest)? == Some(blob.size) {
                return Ok(Some((wanted.clone(), LayerPhase::AlreadyExists)));
            }
            for repository in &blob.repositories {
                let Ok(from) = repository.parse::<Reference>() else {
                    continue;
                };
                if from.registry() == reference.registry()
                    && from.repository() != reference.repository()
                    && client.mount_blob(reference, &blob.digest, from.repository())?
                {
                    return Ok(Some((wanted.clone(), LayerPhase::Mounted)));
                }
            }
        }
        Ok(None)
    }

    fn note(
        &self,
        reference: &Reference,
        diff_id: &Digest,
        descriptor: &Descriptor,
    ) -> Result<(), ImageError> {
        let blob = LayerBlob {
            digest: descriptor.digest,
            size: descriptor.size,
            media_type: descriptor.media_type.clone(),
            repositories: vec![reference.name()],
        };
        Ok(self.store()?.layers().add_blob(diff_id, &blob)?)
    }
}

fn tell(transfer: &dyn Transfer, id: &Digest, phase: LayerPhase, current: u64, total: Option<u64>) {
    transfer.layer(LayerProgress {
        id: *id,
        phase,
        current,
        total,
    });
}

/// Says how much of the tar has been read.
struct Counted<R, F> {
    inner: R,
    count: u64,
    tell: F,
}

impl<R: std::io::Read, F: Fn(u64)> std::io::Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        (self.tell)(self.count);
        Ok(read)
    }
}

struct SharedStream<'a, 'b>(&'a std::cell::RefCell<&'b mut gzip::Compressed>);

impl std::io::Read for SharedStream<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}
