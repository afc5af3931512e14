//! Writing images to an archive.
//!
//! `blobs/` holds the layers as plain tars, the configurations, and an OCI manifest of each
//! image, or an index of them where it is of several platforms; `index.json` and `oci-layout` make an OCI layout of it, and (as Docker does since 25)
//! `manifest.json` and `repositories` make it Docker's, too.

use std::io::Write;

use gantry_model::image::Descriptor;
use gantry_model::{Digest, Platform, Reference, media_type};
use gantry_store::{Image, Index};

use super::document::{self, Document, Family};
use super::export::attestation::attach;
use super::layout::{self, Archiver, DockerParts};
use super::{ImageError, Images};

/// The layout of an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArchiveKind {
    /// Docker's, which is an OCI layout as well.
    #[default]
    Docker,
    /// An OCI layout and nothing else.
    Oci,
}

/// An image with the names it is saved by.
struct Chosen {
    image: Image,
    names: Vec<Reference>,
    /// The index that the names are those of, where it has other members here.
    index: Option<Index>,
}

/// A manifest that has been written, and what it is of.
struct Written {
    manifest: Document,
    layers: Vec<Descriptor>,
}

impl Images<'_> {
    /// Writes images; a name without a tag means all tags of the repository. Of an image of several
    /// platforms all that are here are written, or that one.
    ///
    /// # Errors
    /// As with [`Images::id_for`], and what goes wrong while writing.
    pub fn save(
        &self,
        names: &[String],
        platform: Option<&Platform>,
        kind: ArchiveKind,
        out: &mut (dyn Write + Send),
    ) -> Result<(), ImageError> {
        let store = self.store()?;
        let lease = store.lease()?;
        let chosen = self.choose(names, platform)?;
        for one in &chosen {
            lease.image(&one.image.id)?;
            for member in one.index.iter().flat_map(|index| &index.members) {
                lease.image(&member.image)?;
            }
        }
        let mut writer = Archiver::new(out)?;
        let mut manifests = Vec::new();
        let mut docker = DockerParts::default();
        for one in &chosen {
            let top = match &one.index {
                Some(index) => self.write_index(&mut writer, index, &one.names)?,
                None => {
                    self.write_image(&mut writer, &one.image.id)?
                        .manifest
                        .descriptor
                }
            };
            manifests.extend(layout::entries(&top, &one.names));
            // Docker's own document knows one platform of an image.
            let layers = self.write_image(&mut writer, &one.image.id)?.layers;
            let top = one.image.layers.last().unwrap_or(&one.image.id);
            docker.add(&one.image.id, top, &one.names, layers);
        }
        writer.finish(manifests, (kind == ArchiveKind::Docker).then_some(&docker))?;
        for one in &chosen {
            let id = one.image.id.to_string();
            self.tell("save", &id, &id);
        }
        Ok(())
    }

    fn choose(
        &self,
        names: &[String],
        platform: Option<&Platform>,
    ) -> Result<Vec<Chosen>, ImageError> {
        let mut chosen: Vec<Chosen> = Vec::new();
        for name in names {
            for (image, tags) in self.named(name, platform)? {
                let index = match (platform, tags.first()) {
                    (None, Some(tag)) => self.store()?.images().index_of(tag)?,
                    _ => None,
                };
                let index = match index {
                    Some(index) if index.members.len() > 1 || self.is_attested(&index)? => {
                        Some(index)
                    }
                    _ => None,
                };
                match chosen
                    .iter_mut()
                    .find(|known| known.image.id == image.id && known.index == index)
                {
                    Some(known) => {
                        known.names.extend(tags);
                        known.names.dedup();
                    }
                    None => chosen.push(Chosen {
                        image,
                        names: tags,
                        index,
                    }),
                }
            }
        }
        Ok(chosen)
    }

    /// The images that one word means, and under which names.
    fn named(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Vec<(Image, Vec<Reference>)>, ImageError> {
        let Ok(reference) = name.parse::<Reference>() else {
            return Ok(vec![(self.resolve_for(name, platform)?, Vec::new())]);
        };
        let last = name.rsplit('/').next().unwrap_or(name);
        if !last.contains([':', '@']) {
            let mut all = Vec::new();
            for (image, tags) in self.of_repository(&reference)? {
                // Each tag may be of another index.
                for tag in tags {
                    let image = match platform {
                        Some(_) => self.resolve_for(&tag.to_string(), platform)?,
                        None => image.clone(),
                    };
                    all.push((image, vec![tag]));
                }
            }
            if !all.is_empty() {
                return Ok(all);
            }
        }
        let image = self.resolve_for(name, platform)?;
        let tags = if image.tags.contains(&reference) {
            vec![reference]
        } else {
            Vec::new()
        };
        Ok(vec![(image, tags)])
    }

    /// Writes the members of an index with what is said of them, and an index of what was written.
    fn write_index(
        &self,
        writer: &mut Archiver<'_>,
        index: &Index,
        names: &[Reference],
    ) -> Result<Descriptor, ImageError> {
        let mut entries = Vec::new();
        let mut beside = Vec::new();
        let written = self.written(index)?;
        for member in &index.members {
            let manifest = self.write_image(writer, &member.image)?.manifest;
            let mut entry = manifest.descriptor.clone();
            entry.platform = Some(member.platform.clone());
            entries.push(entry);
            let said = match &written {
                Some(written) => self.kept_attestations(written, &member.manifest)?,
                None => Vec::new(),
            };
            if !said.is_empty() {
                // The manifest is another than the one that came: its layers are plain here.
                let attached = attach(&manifest, &member.platform, &said, names, false);
                for (part, bytes) in &attached.blobs {
                    writer.blob(&part.digest, bytes)?;
                }
                let Document { descriptor, bytes } = &attached.manifest;
                writer.blob(&descriptor.digest, bytes)?;
                beside.push(attached.entry);
            }
        }
        entries.extend(beside);
        let document = Document::new(media_type::OCI_INDEX, &layout::index(entries));
        writer.blob(&document.descriptor.digest, &document.bytes)?;
        Ok(document.descriptor)
    }

    /// Writes what is not written yet of an image.
    fn write_image(&self, writer: &mut Archiver<'_>, id: &Digest) -> Result<Written, ImageError> {
        let store = self.store()?;
        let config = store.images().config_bytes(id)?;
        let diff_ids = store.images().config(id)?.rootfs.diff_ids;
        let layers = self.plain_layers(&diff_ids)?;
        for layer in &layers {
            if !writer.has(&layer.digest) {
                let mut tar = store.layers().tar(&layer.digest)?;
                writer.stream(&layer.digest, layer.size, &mut tar)?;
            }
        }
        let manifest = document::manifest(Family::Oci, &config, layers.clone());
        writer.blob(id, &config)?;
        writer.blob(&manifest.descriptor.digest, &manifest.bytes)?;
        Ok(Written { manifest, layers })
    }

    /// What points to layers as they are in the store.
    pub(crate) fn plain_layers(&self, diff_ids: &[Digest]) -> Result<Vec<Descriptor>, ImageError> {
        let layers = self.store()?.layers();
        let plain = |diff_id: &Digest| {
            let size = layers.info(diff_id)?.tar_size;
            Ok(Descriptor::new(media_type::OCI_LAYER, *diff_id, size))
        };
        diff_ids.iter().map(plain).collect()
    }
}
