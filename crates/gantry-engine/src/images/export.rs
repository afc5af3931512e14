//! Carrying what a build made to where it was asked for: a registry, an archive, a folder.
//!
//! Unlike `push` and `save` this takes images that need not be in the store, only their layers,
//! and leaves the choice of form: compression, media types, annotations, attestations.

mod annotation;
pub(crate) mod attestation;
mod files;
mod retime;
mod stated;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use gantry_model::image::{Descriptor, ImageConfig, Index, Manifest};
use gantry_model::{Digest, Reference};
use gantry_store::RepoDigest;

pub use annotation::{Annotation, AnnotationPlace};
pub use attestation::Attestation;
pub use files::{FilesPart, FolderMode};
pub use stated::FileStatements;

use super::compress::{LayerCompression, Method};
use super::destination::Destination;
use super::document::{self, Document, Family};
use super::layout::{self, ArchiveLayout, DockerParts, FolderLayout};
use super::packing::{PackedLayer, Packing};
use super::progress::Transfer;
use super::save::ArchiveKind;
use super::{ImageError, Images};
use annotation::Annotations;

/// An image for one platform that leaves.
#[derive(Debug, Clone, Default)]
pub struct ExportPart {
    /// The configuration; the layers it names are in the store.
    pub config: Vec<u8>,
    /// How many of the layers, from below, are those of a base image.
    pub base: usize,
    /// What is said of the image.
    pub attestations: Vec<Attestation>,
}

/// The form in which images leave.
#[derive(Debug, Clone)]
pub struct ExportForm {
    /// How layers are compressed.
    pub compression: LayerCompression,
    /// The level of the compression; its usual one without.
    pub level: Option<i32>,
    /// Whether layers of base images are brought into this form, too.
    pub force: bool,
    /// Whether documents have OCI's media types rather than Docker's.
    pub oci: bool,
    /// What is written beside images.
    pub annotations: Vec<Annotation>,
    /// Whether attestations are artefacts in the words of OCI 1.1, with an empty configuration.
    pub artifacts: bool,
}

impl Default for ExportForm {
    fn default() -> Self {
        Self {
            compression: LayerCompression::default(),
            level: None,
            force: false,
            oci: true,
            annotations: Vec::new(),
            artifacts: false,
        }
    }
}

/// What left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The manifest, or the index where there is one.
    pub top: Descriptor,
    /// The configurations, in the order of the parts. With a table of contents in the layers these
    /// are others than the store's.
    pub configs: Vec<Digest>,
}

/// A part in the form in which it left.
struct Packed {
    manifest: Document,
    config: Vec<u8>,
    layers: Vec<PackedLayer>,
}

impl Images<'_> {
    /// Uploads images under their names, of which there is one at least; with `by_digest` under
    /// their digests alone.
    ///
    /// # Errors
    /// The registry's, and [`ImageError::Form`] for what the form cannot have.
    pub fn export_to_registry(
        &self,
        parts: &[ExportPart],
        form: &ExportForm,
        names: &[Reference],
        by_digest: bool,
        transfer: &dyn Transfer,
    ) -> Result<Exported, ImageError> {
        let mut exported = None;
        let mut seen = HashSet::new();
        for name in names {
            if !seen.insert(name.name()) {
                continue;
            }
            let repository = self.repository(name)?;
            let (top, packed) = self.carry(parts, form, names, &repository, transfer)?;
            let tags = names
                .iter()
                .filter(|n| !by_digest && n.name() == name.name());
            for tag in tags {
                self.client()?
                    .push_manifest(tag, &top.descriptor.media_type, &top.bytes)?;
                self.tell("push", &tag.familiar(), &tag.familiar_name());
            }
            self.remember(name, &top, &packed)?;
            exported = Some(outcome(&top, &packed));
        }
        exported.ok_or_else(|| ImageError::Form {
            reason: "an image needs a name to be pushed".to_owned(),
        })
    }

    /// Writes images into an archive.
    ///
    /// # Errors
    /// [`ImageError::Archive`], and [`ImageError::Form`] for what the form cannot have.
    pub fn export_to_archive(
        &self,
        parts: &[ExportPart],
        form: &ExportForm,
        names: &[Reference],
        kind: ArchiveKind,
        out: &mut (dyn Write + Send),
        transfer: &dyn Transfer,
    ) -> Result<Exported, ImageError> {
        let aside = self.store()?.root().join("ingest");
        let archive = ArchiveLayout::new(out, aside)?;
        let (top, packed) = self.carry(parts, form, names, &archive, transfer)?;
        let docker = match (kind, packed.as_slice()) {
            (ArchiveKind::Oci, _) => None,
            (ArchiveKind::Docker, [one]) => Some(one.docker(names)),
            (ArchiveKind::Docker, _) => {
                return Err(ImageError::Form {
                    reason: "an archive of Docker's has one platform: choose type=oci".to_owned(),
                });
            }
        };
        archive.finish(layout::entries(&top.descriptor, names), docker.as_ref())?;
        Ok(outcome(&top, &packed))
    }

    /// Writes images into an OCI layout in a folder.
    ///
    /// # Errors
    /// [`ImageError::File`], and [`ImageError::Form`] for what the form cannot have.
    pub fn export_to_folder(
        &self,
        parts: &[ExportPart],
        form: &ExportForm,
        names: &[Reference],
        folder: &Path,
        transfer: &dyn Transfer,
    ) -> Result<Exported, ImageError> {
        let folder = FolderLayout::new(folder)?;
        let (top, packed) = self.carry(parts, form, names, &folder, transfer)?;
        folder.finish(layout::entries(&top.descriptor, names))?;
        Ok(outcome(&top, &packed))
    }

    /// Carries everything over but names; the topmost document has been taken, too.
    fn carry(
        &self,
        parts: &[ExportPart],
        form: &ExportForm,
        names: &[Reference],
        destination: &dyn Destination,
        transfer: &dyn Transfer,
    ) -> Result<(Document, Vec<Packed>), ImageError> {
        let annotations = Annotations(&form.annotations);
        let family = if form.oci {
            Family::Oci
        } else {
            Family::Docker
        };
        let mut packed = Vec::new();
        let mut attached = Vec::new();
        for part in parts {
            let one = self.pack(part, form, family, destination, transfer)?;
            if !part.attestations.is_empty() {
                let platform = parse(&part.config)?.platform();
                let said = &part.attestations;
                let beside =
                    attestation::attach(&one.manifest, &platform, said, names, form.artifacts);
                beside.give(destination)?;
                attached.push(beside.entry);
            }
            packed.push(one);
        }
        let one = match packed.as_mut_slice() {
            [one] if attached.is_empty() => one,
            _ => {
                let manifests = packed.iter().map(|one| one.manifest.descriptor.clone());
                let index = Index {
                    media_type: family.index().to_owned(),
                    annotations: annotations.of(AnnotationPlace::Index, None),
                    ..layout::index(manifests.chain(attached).collect())
                };
                let mut document = Document::new(family.index(), &index);
                destination.document(&document)?;
                document.descriptor.annotations =
                    annotations.of(AnnotationPlace::IndexDescriptor, None);
                return Ok((document, packed));
            }
        };
        if annotations.any_of_index() {
            return Err(ImageError::Form {
                reason: "index annotations are not supported for a single platform".to_owned(),
            });
        }
        let mut top = one.manifest.clone();
        top.descriptor.platform = None;
        Ok((top, packed))
    }

    /// Carries the layers, the configuration and the manifest of one image over.
    fn pack(
        &self,
        part: &ExportPart,
        form: &ExportForm,
        family: Family,
        destination: &dyn Destination,
        transfer: &dyn Transfer,
    ) -> Result<Packed, ImageError> {
        let mut config = parse(&part.config)?;
        let platform = config.platform();
        let diff_ids = std::mem::take(&mut config.rootfs.diff_ids);
        let base = diff_ids.iter().take(part.base).filter(|_| !form.force);
        let packing = Packing {
            images: *self,
            destination,
            family,
            method: Method {
                compression: form.compression,
                level: form.level,
            },
            kept: Some(base.copied().collect()),
            preferred: HashMap::new(),
            transfer,
        };
        transfer.begin("", "", &diff_ids);
        let layers = packing.layers(&diff_ids)?;
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
        let bytes = if config.rootfs.diff_ids == diff_ids {
            part.config.clone()
        } else {
            document::json(&config)
        };
        let annotations = Annotations(&form.annotations);
        let descriptors: Vec<Descriptor> = layers.iter().map(|l| l.descriptor.clone()).collect();
        let of_config = family.configuration(&bytes);
        destination.small(&of_config, &bytes)?;
        let manifest = Manifest {
            annotations: annotations.of(AnnotationPlace::Manifest, Some(&platform)),
            ..document::bare_manifest(family, of_config, descriptors)
        };
        let mut manifest = Document::new(family.manifest(), &manifest);
        destination.document(&manifest)?;
        manifest.descriptor.annotations =
            annotations.of(AnnotationPlace::ManifestDescriptor, Some(&platform));
        manifest.descriptor.platform = Some(platform);
        Ok(Packed {
            manifest,
            config: bytes,
            layers,
        })
    }

    /// Notes under which digest a repository has images that are in the store.
    fn remember(
        &self,
        name: &Reference,
        top: &Document,
        packed: &[Packed],
    ) -> Result<(), ImageError> {
        let store = self.store()?;
        for one in packed {
            let id = document::digest(&one.config);
            if !store.images().contains(&id)? {
                continue;
            }
            for document in [&one.manifest, top] {
                store.blobs().put(&document.bytes)?;
                store.images().add_blob(&id, &document.descriptor.digest)?;
            }
            store.images().add_digest(
                &id,
                &RepoDigest {
                    repository: name.name(),
                    digest: top.descriptor.digest,
                    media_type: top.descriptor.media_type.clone(),
                },
            )?;
        }
        Ok(())
    }
}

impl Packed {
    fn docker(&self, names: &[Reference]) -> DockerParts {
        let mut parts = DockerParts::default();
        let id = document::digest(&self.config);
        let top = self.layers.last().map_or(id, |layer| layer.diff_id);
        let layers = self.layers.iter().map(|l| l.descriptor.clone()).collect();
        parts.add(&id, &top, names, layers);
        parts
    }
}

fn outcome(top: &Document, packed: &[Packed]) -> Exported {
    Exported {
        top: top.descriptor.clone(),
        configs: packed
            .iter()
            .map(|one| document::digest(&one.config))
            .collect(),
    }
}

/// A configuration of our own making.
fn parse(bytes: &[u8]) -> Result<ImageConfig, ImageError> {
    document::parse_config(bytes).map_err(|reason| ImageError::Document {
        what: "image configuration",
        digest: document::digest(bytes),
        reason,
    })
}
