//! Where images are carried to: a registry, a folder, an archive.

use std::io::Read;

use gantry_model::image::Descriptor;
use gantry_model::{Digest, Reference, media_type};
use gantry_registry::Client;
use gantry_store::LayerBlob;

use super::document::Document;
use super::progress::LayerPhase;
use super::{ImageError, Images};

/// Takes the parts of images. Called from several threads at once.
pub(crate) trait Destination: Sync {
    /// The first of these forms of a layer that is there, or can be had without its content: its
    /// number, and how it came to be there.
    fn held(&self, forms: &[&LayerBlob]) -> Result<Option<(usize, LayerPhase)>, ImageError>;

    /// Takes a blob; its digest is asked for when `body` has been read to its end.
    fn take(
        &self,
        media_type: &str,
        body: &mut dyn Read,
        digest: &mut dyn FnMut() -> Digest,
    ) -> Result<Descriptor, ImageError>;

    /// Takes a small blob that is in memory, unless it is there.
    fn small(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), ImageError>;

    /// Takes a manifest or index under its digest.
    fn document(&self, document: &Document) -> Result<(), ImageError>;

    /// Takes a manifest under its digest that says something of `subject`.
    fn referrer(&self, document: &Document, subject: &Digest) -> Result<(), ImageError> {
        let _ = subject;
        self.document(document)
    }

    /// The repository that what was taken can be found in later.
    fn repository(&self) -> Option<String> {
        None
    }
}

/// A repository of a registry.
#[derive(Debug)]
pub(crate) struct Repository<'a> {
    client: &'a Client,
    reference: Reference,
}

impl<'a> Images<'a> {
    /// The repository of a reference as a destination.
    pub(crate) fn repository(&self, reference: &Reference) -> Result<Repository<'a>, ImageError> {
        Ok(Repository {
            client: self.client()?,
            reference: reference.clone(),
        })
    }
}

impl Destination for Repository<'_> {
    fn held(&self, forms: &[&LayerBlob]) -> Result<Option<(usize, LayerPhase)>, ImageError> {
        let reference = &self.reference;
        for (number, blob) in forms.iter().enumerate() {
            if self.client.has_blob(reference, &blob.digest)? == Some(blob.size) {
                return Ok(Some((number, LayerPhase::AlreadyExists)));
            }
            for repository in &blob.repositories {
                let Ok(from) = repository.parse::<Reference>() else {
                    continue;
                };
                if from.registry() == reference.registry()
                    && from.repository() != reference.repository()
                    && self
                        .client
                        .mount_blob(reference, &blob.digest, from.repository())?
                {
                    return Ok(Some((number, LayerPhase::Mounted)));
                }
            }
        }
        Ok(None)
    }

    fn take(
        &self,
        media_type: &str,
        body: &mut dyn Read,
        digest: &mut dyn FnMut() -> Digest,
    ) -> Result<Descriptor, ImageError> {
        Ok(self
            .client
            .push_blob(&self.reference, media_type, body, digest)?)
    }

    fn small(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), ImageError> {
        let held = self.client.has_blob(&self.reference, &descriptor.digest)?;
        if held.is_none() {
            let whole = Descriptor::new(media_type::OCI_CONFIG, descriptor.digest, descriptor.size);
            self.client.push_bytes(&self.reference, &whole, bytes)?;
        }
        Ok(())
    }

    fn document(&self, document: &Document) -> Result<(), ImageError> {
        let Descriptor {
            media_type, digest, ..
        } = &document.descriptor;
        let place = self.reference.with_digest(*digest);
        self.client
            .push_manifest(&place, media_type, &document.bytes)?;
        Ok(())
    }

    fn referrer(&self, document: &Document, subject: &Digest) -> Result<(), ImageError> {
        let (entry, bytes) = (&document.descriptor, &document.bytes);
        Ok(self
            .client
            .push_referrer(&self.reference, entry, bytes, subject)?)
    }

    fn repository(&self) -> Option<String> {
        Some(self.reference.name())
    }
}
