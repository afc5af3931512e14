//! What is said of images that came from elsewhere: kept with them, and found again.
//!
//! As BuildKit attaches them: an index has an entry for the attestations of each of its images,
//! which names the image's manifest in an annotation. The statements are the layers of the entry's
//! manifest (`vnd.docker.reference.*`, in-toto attestation framework).

use std::io::Read;

use gantry_model::image::{Descriptor, Index, Manifest};
use gantry_model::{Digest, Platform, Reference};
use gantry_store::StoreError;
use serde::Deserialize;
use serde_json::Value;

use super::document::{self, DOCUMENT_LIMIT};
use super::export::attestation::STATEMENT;
use super::{Attestation, ImageError, Images, select};

/// Most bytes of one statement: bills of material are long.
pub(crate) const STATEMENT_LIMIT: u64 = 64 << 20;

/// What of a statement matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    predicate_type: String,
    predicate: Value,
}

impl Images<'_> {
    /// What is said of an image, as far as whoever built it attached it: out of the store, else
    /// from the registry that the image came from. Signatures are not looked at.
    ///
    /// # Errors
    /// As with [`Images::id_for`]; the registry's, and [`ImageError::Document`] for what is
    /// malformed.
    pub fn attestations(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Vec<Attestation>, ImageError> {
        let image = self.resolve_for(name, platform)?;
        let own = self.index(name)?.map(|index| (None, index.digest));
        let pulled = image.digests.iter().filter_map(|known| {
            let repository = known.repository.parse::<Reference>().ok()?;
            Some((Some(repository.with_digest(known.digest)), known.digest))
        });
        let places: Vec<(Option<Reference>, Digest)> = own.into_iter().chain(pulled).collect();
        // The repository may have what the store does not.
        let from = places.iter().find_map(|(reference, _)| reference.clone());
        for (reference, digest) in &places {
            let Some(index) = self.index_at(reference.as_ref(), digest)? else {
                continue;
            };
            let from = reference.as_ref().or(from.as_ref());
            for entry in &index.manifests {
                if select::is_attestation(entry) || !self.is_of(entry, &image.id, from)? {
                    continue;
                }
                let mut all = Vec::new();
                for entry in about(&index, &entry.digest) {
                    all.extend(self.statements(entry, from)?);
                }
                if !all.is_empty() {
                    return Ok(all);
                }
            }
        }
        Ok(Vec::new())
    }

    /// The documents, manifests first, of what an index says of one of its images, from its registry.
    pub(crate) fn fetch_attestations(
        &self,
        reference: &Reference,
        index: &Index,
        image: &Digest,
    ) -> Result<Vec<Vec<u8>>, ImageError> {
        let mut documents = Vec::new();
        for entry in about(index, image) {
            let bytes = self.part(entry, Some(reference), Part::Manifest)?;
            let Some(bytes) = bytes else { continue };
            let manifest: Manifest = document::parse(&bytes, "manifest", &entry.digest)?;
            documents.push(bytes);
            for part in manifest.layers.iter().chain([&manifest.config]) {
                documents.extend(self.part(part, Some(reference), Part::Blob)?);
            }
        }
        Ok(documents)
    }

    /// What the store has of an index's words on one of its images.
    pub(crate) fn kept_attestations(
        &self,
        index: &Index,
        image: &Digest,
    ) -> Result<Vec<Attestation>, ImageError> {
        let mut all = Vec::new();
        for entry in about(index, image) {
            all.extend(self.statements(entry, None)?);
        }
        Ok(all)
    }

    /// Whether something is said here of an image of the index.
    pub(crate) fn is_attested(&self, index: &gantry_store::Index) -> Result<bool, ImageError> {
        let Some(written) = self.written(index)? else {
            return Ok(false);
        };
        for member in &index.members {
            if !self
                .kept_attestations(&written, &member.manifest)?
                .is_empty()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An index as it came.
    pub(crate) fn written(&self, index: &gantry_store::Index) -> Result<Option<Index>, ImageError> {
        let bytes = self.small(&index.digest, DOCUMENT_LIMIT)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn index_at(
        &self,
        reference: Option<&Reference>,
        digest: &Digest,
    ) -> Result<Option<Index>, ImageError> {
        let bytes = match (self.small(digest, DOCUMENT_LIMIT)?, reference) {
            (Some(bytes), _) => bytes,
            (None, Some(reference)) => self.client()?.resolve(reference)?.bytes,
            (None, None) => return Ok(None),
        };
        // A manifest is no index, and says nothing of itself.
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Whether an entry of an index is that image's.
    fn is_of(
        &self,
        entry: &Descriptor,
        id: &Digest,
        from: Option<&Reference>,
    ) -> Result<bool, ImageError> {
        let bytes = self.small(&entry.digest, DOCUMENT_LIMIT)?;
        let bytes = match bytes {
            Some(bytes) => Some(bytes),
            // Its platform may be another's, so that it was never fetched.
            None if entry.platform.is_none() => self.part(entry, from, Part::Manifest)?,
            None => None,
        };
        let manifest = bytes.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
        Ok(manifest.is_some_and(|manifest| manifest.config.digest == *id))
    }

    /// The statements of an entry; what cannot be had here is left out without a repository.
    fn statements(
        &self,
        entry: &Descriptor,
        from: Option<&Reference>,
    ) -> Result<Vec<Attestation>, ImageError> {
        let Some(bytes) = self.part(entry, from, Part::Manifest)? else {
            return Ok(Vec::new());
        };
        let manifest: Manifest = document::parse(&bytes, "manifest", &entry.digest)?;
        let mut all = Vec::new();
        for layer in manifest.layers.iter().filter(|l| l.media_type == STATEMENT) {
            let Some(bytes) = self.part(layer, from, Part::Blob)? else {
                continue;
            };
            let said: Said = document::parse(&bytes, "statement", &layer.digest)?;
            all.push(Attestation {
                predicate_type: said.predicate_type,
                predicate: said.predicate,
            });
        }
        Ok(all)
    }

    /// A document out of the store, else from a registry, verified.
    fn part(
        &self,
        descriptor: &Descriptor,
        from: Option<&Reference>,
        part: Part,
    ) -> Result<Option<Vec<u8>>, ImageError> {
        let limit = part.limit();
        if let Some(bytes) = self.small(&descriptor.digest, limit)? {
            return Ok(Some(bytes));
        }
        let Some(from) = from else { return Ok(None) };
        if part == Part::Manifest {
            return Ok(Some(self.client()?.manifest(from, descriptor)?.bytes));
        }
        let mut bytes = Vec::new();
        self.client()?
            .blob(from, descriptor)?
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(ImageError::stream("read a statement"))?;
        if bytes.len() as u64 > limit {
            return Err(ImageError::Document {
                what: "statement",
                digest: descriptor.digest,
                reason: format!("it has more than the {limit} bytes allowed"),
            });
        }
        let (expected, actual) = (descriptor.digest, document::digest(&bytes));
        if actual != expected {
            return Err(StoreError::DigestMismatch { expected, actual }.into());
        }
        Ok(Some(bytes))
    }

    /// A small blob of the store, if it is there and sound.
    pub(crate) fn small(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, ImageError> {
        match self.store()?.blobs().read(digest, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NoBlob { .. } | StoreError::DamagedBlob { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Manifest,
    Blob,
}

impl Part {
    const fn limit(self) -> u64 {
        match self {
            Self::Manifest => DOCUMENT_LIMIT,
            Self::Blob => STATEMENT_LIMIT,
        }
    }
}

/// The entries that say something of an image of an index.
pub(crate) fn about<'i>(
    index: &'i Index,
    image: &Digest,
) -> impl Iterator<Item = &'i Descriptor> + use<'i> {
    let image = image.to_string();
    index.manifests.iter().filter(move |entry| {
        let subject = entry.annotations.get("vnd.docker.reference.digest");
        select::is_attestation(entry) && subject.is_some_and(|subject| *subject == image)
    })
}
