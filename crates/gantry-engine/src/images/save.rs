//! Writing images to an archive.
//!
//! `blobs/` holds the layers as plain tars, the configurations, and an OCI manifest of each
//! image; `index.json` and `oci-layout` make an OCI layout of it, and (as Docker does since 25)
//! `manifest.json` and `repositories` make it Docker's, too.

use std::io::Write;

use gantry_model::image::Descriptor;
use gantry_model::{Reference, media_type};
use gantry_store::Image;

use super::document::{self, Family};
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
}

impl Images<'_> {
    /// Writes images; a name without a tag means all tags of the repository.
    ///
    /// # Errors
    /// [`ImageError::NotFound`], and what goes wrong while writing.
    pub fn save(
        &self,
        names: &[String],
        kind: ArchiveKind,
        out: &mut (dyn Write + Send),
    ) -> Result<(), ImageError> {
        let store = self.store()?;
        let lease = store.lease()?;
        let chosen = self.choose(names)?;
        for one in &chosen {
            lease.image(&one.image.id)?;
        }
        let mut writer = Archiver::new(out)?;
        let mut manifests = Vec::new();
        let mut docker = DockerParts::default();
        for one in &chosen {
            let layers = self.write_layers(&mut writer, &one.image)?;
            let config = store.images().config_bytes(&one.image.id)?;
            let manifest = document::manifest(Family::Oci, &config, layers.clone());
            writer.blob(&one.image.id, &config)?;
            writer.blob(&manifest.descriptor.digest, &manifest.bytes)?;
            manifests.extend(layout::entries(&manifest.descriptor, &one.names));
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

    fn choose(&self, names: &[String]) -> Result<Vec<Chosen>, ImageError> {
        let mut chosen: Vec<Chosen> = Vec::new();
        for name in names {
            for (image, tags) in self.named(name)? {
                match chosen.iter_mut().find(|known| known.image.id == image.id) {
                    Some(known) => {
                        known.names.extend(tags);
                        known.names.dedup();
                    }
                    None => chosen.push(Chosen { image, names: tags }),
                }
            }
        }
        Ok(chosen)
    }

    /// The images that one word means, and under which names.
    fn named(&self, name: &str) -> Result<Vec<(Image, Vec<Reference>)>, ImageError> {
        let Ok(reference) = name.parse::<Reference>() else {
            return Ok(vec![(self.resolve(name)?, Vec::new())]);
        };
        let last = name.rsplit('/').next().unwrap_or(name);
        if !last.contains([':', '@']) {
            let all = self.of_repository(&reference)?;
            if !all.is_empty() {
                return Ok(all);
            }
        }
        let image = self.resolve(name)?;
        let tags = if image.tags.contains(&reference) {
            vec![reference]
        } else {
            Vec::new()
        };
        Ok(vec![(image, tags)])
    }

    fn write_layers(
        &self,
        writer: &mut Archiver<'_>,
        image: &Image,
    ) -> Result<Vec<Descriptor>, ImageError> {
        let layers = self.store()?.layers();
        let mut descriptors = Vec::new();
        for diff_id in &image.layers {
            let size = layers.info(diff_id)?.tar_size;
            if !writer.has(diff_id) {
                writer.stream(diff_id, size, &mut layers.tar(diff_id)?)?;
            }
            descriptors.push(Descriptor::new(media_type::OCI_LAYER, *diff_id, size));
        }
        Ok(descriptors)
    }
}
