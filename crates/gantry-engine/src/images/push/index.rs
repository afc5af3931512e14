//! Pushing an image of several platforms: each of them, then the index that names them.
//!
//! When everything that the index names goes out as it came, the index does, too, byte for byte.

use gantry_model::Reference;
use gantry_model::image::{Descriptor, Index as IndexDocument, Manifest};
use gantry_store::{Index, Lease, Membership, NewImage, RepoDigest};

use crate::images::attestations::STATEMENT_LIMIT;
use crate::images::destination::Destination;
use crate::images::document::{self, DOCUMENT_LIMIT, Document, Family};
use crate::images::export::attestation::attach;
use crate::images::progress::Transfer;
use crate::images::{ImageError, Images, select};

impl Images<'_> {
    /// Uploads the members of an index, then the index under the tag.
    pub(super) fn push_index(
        &self,
        reference: &Reference,
        index: &Index,
        lease: &Lease,
        transfer: &dyn Transfer,
    ) -> Result<Descriptor, ImageError> {
        let store = self.store()?;
        let repository = self.repository(reference)?;
        let written = store.blobs().read(&index.digest, DOCUMENT_LIMIT)?;
        let mut known: IndexDocument = document::parse(&written, "index", &index.digest)?;
        if known.media_type.is_empty() {
            // OCI 1.0 left it out.
            known.media_type = Family::Oci.index().to_owned();
        }
        let mut entries: Vec<Descriptor> = Vec::new();
        let mut manifests = Vec::new();
        for entry in &known.manifests {
            let Some(member) = index.members.iter().find(|m| m.manifest == entry.digest) else {
                // Of what is said of an image only that goes with it which is still of it.
                if select::is_attestation(entry)
                    && self.push_attestation(entry, &entries, &repository)?
                {
                    entries.push(entry.clone());
                }
                continue;
            };
            let manifest = self.push_parts(reference, &member.image, lease, transfer)?;
            repository.document(&manifest)?;
            entries.push(Descriptor {
                annotations: entry.annotations.clone(),
                platform: entry.platform.clone(),
                ..manifest.descriptor.clone()
            });
            manifests.push((member, manifest));
        }
        for (member, manifest) in &manifests {
            // What is said of an image that has another manifest now is said of that one.
            let said = match manifest.descriptor.digest == member.manifest {
                true => Vec::new(),
                false => self.kept_attestations(&known, &member.manifest)?,
            };
            if !said.is_empty() {
                let names = [reference.clone()];
                let attached = attach(manifest, &member.platform, &said, &names, false);
                attached.give(&repository)?;
                entries.push(attached.entry);
            }
        }
        let digests = |all: &[Descriptor]| all.iter().map(|e| e.digest).collect::<Vec<_>>();
        let top = if digests(&entries) == digests(&known.manifests) {
            Document {
                descriptor: Descriptor::new(&known.media_type, index.digest, written.len() as u64),
                bytes: written,
            }
        } else {
            let absent = known
                .manifests
                .iter()
                .filter(|entry| !select::is_attestation(entry));
            if absent.count() > index.members.len() {
                transfer.warning(&format!(
                    "not all platforms of {} are here: the pushed index has those that are",
                    reference.familiar()
                ));
            }
            known.manifests = entries;
            Document::new(&known.media_type, &known)
        };
        let Document { descriptor, bytes } = &top;
        self.client()?
            .push_manifest(reference, &descriptor.media_type, bytes)?;
        store.blobs().put(bytes)?;
        for (position, (member, manifest)) in manifests.iter().enumerate() {
            store.blobs().put(&manifest.bytes)?;
            store.images().put(&NewImage {
                config: &store.images().config_bytes(&member.image)?,
                blobs: vec![descriptor.digest, manifest.descriptor.digest],
                digests: vec![RepoDigest {
                    repository: reference.name(),
                    digest: descriptor.digest,
                    media_type: descriptor.media_type.clone(),
                }],
                member: Some(Membership {
                    index: descriptor.digest,
                    manifest: manifest.descriptor.digest,
                    position,
                    platform: member.platform.clone(),
                }),
                ..NewImage::default()
            })?;
        }
        Ok(top.descriptor)
    }

    /// Uploads what is said of one of the images, if all of it is here; says whether it was.
    fn push_attestation(
        &self,
        entry: &Descriptor,
        images: &[Descriptor],
        repository: &dyn Destination,
    ) -> Result<bool, ImageError> {
        let subject = entry.annotations.get("vnd.docker.reference.digest");
        let about = |image: &Descriptor| subject.is_some_and(|s| *s == image.digest.to_string());
        if !images.iter().any(about) {
            return Ok(false);
        }
        let blobs = self.store()?.blobs();
        let Ok(bytes) = blobs.read(&entry.digest, DOCUMENT_LIMIT) else {
            return Ok(false);
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
            return Ok(false);
        };
        let parts = || manifest.layers.iter().chain([&manifest.config]);
        let mut read = Vec::new();
        for part in parts() {
            let Ok(bytes) = blobs.read(&part.digest, STATEMENT_LIMIT) else {
                return Ok(false);
            };
            read.push(bytes);
        }
        for (part, bytes) in parts().zip(&read) {
            repository.small(part, bytes)?;
        }
        repository.document(&Document {
            descriptor: entry.clone(),
            bytes,
        })?;
        Ok(true)
    }
}
