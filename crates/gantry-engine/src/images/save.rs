//! Writing images to an archive.
//!
//! `blobs/` holds the layers as plain tars, the configurations, and an OCI manifest of each
//! image; `index.json` and `oci-layout` make an OCI layout of it, and (as Docker does since 25)
//! `manifest.json` and `repositories` make it Docker's, too.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};

use gantry_model::image::{Descriptor, Index};
use gantry_model::{Digest, Reference, media_type};
use gantry_store::Image;
use gantry_store::tar::{Entry, EntryKind, WriteError, Writer};
use serde::Serialize;

use super::archive::ArchiveError;
use super::document::{self, Family};
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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    layer_sources: BTreeMap<Digest, Descriptor>,
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
        out: &mut dyn Write,
    ) -> Result<(), ImageError> {
        let store = self.store()?;
        let lease = store.lease()?;
        let chosen = self.choose(names)?;
        for one in &chosen {
            lease.image(&one.image.id)?;
        }
        let mut writer = Archiver {
            tar: Writer::new(out),
            written: HashSet::new(),
        };
        writer.folder("blobs")?;
        writer.folder("blobs/sha256")?;
        let mut manifests = Vec::new();
        let mut items = Vec::new();
        let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for one in &chosen {
            let layers = self.write_layers(&mut writer, &one.image)?;
            let config = store.images().config_bytes(&one.image.id)?;
            let manifest = document::manifest(Family::Oci, &config, layers.clone());
            writer.blob(&one.image.id, &config)?;
            writer.blob(&manifest.descriptor.digest, &manifest.bytes)?;
            manifests.extend(entries(&manifest.descriptor, one));
            for name in &one.names {
                let last = one.image.layers.last().unwrap_or(&one.image.id).hex();
                let tag = name.tag().unwrap_or("latest").to_owned();
                repositories
                    .entry(name.familiar_name())
                    .or_default()
                    .insert(tag, last);
            }
            items.push(item(one, layers));
        }
        writer.file("index.json", &document::json(&index(manifests)))?;
        if kind == ArchiveKind::Docker {
            writer.file("manifest.json", &document::json(&items))?;
        }
        writer.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        if kind == ArchiveKind::Docker && !repositories.is_empty() {
            writer.file("repositories", &document::json(&repositories))?;
        }
        writer.tar.finish().map_err(failed)?;
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
            if !writer.written.contains(diff_id) {
                writer.stream(diff_id, size, &mut layers.tar(diff_id)?)?;
            }
            descriptors.push(Descriptor::new(media_type::OCI_LAYER, *diff_id, size));
        }
        Ok(descriptors)
    }
}

fn entries(manifest: &Descriptor, chosen: &Chosen) -> Vec<Descriptor> {
    if chosen.names.is_empty() {
        return vec![manifest.clone()];
    }
    let named = chosen.names.iter().map(|name| {
        let mut entry = manifest.clone();
        let tag = name.tag().unwrap_or("latest").to_owned();
        entry
            .annotations
            .insert("io.containerd.image.name".to_owned(), name.to_string());
        entry
            .annotations
            .insert("org.opencontainers.image.ref.name".to_owned(), tag);
        entry
    });
    named.collect()
}

fn item(chosen: &Chosen, layers: Vec<Descriptor>) -> Item {
    let names: Vec<String> = chosen.names.iter().map(Reference::familiar).collect();
    Item {
        config: blob_name(&chosen.image.id),
        repo_tags: (!names.is_empty()).then_some(names),
        layers: layers
            .iter()
            .map(|layer| blob_name(&layer.digest))
            .collect(),
        layer_sources: layers
            .into_iter()
            .map(|layer| (layer.digest, layer))
            .collect(),
    }
}

fn index(manifests: Vec<Descriptor>) -> Index {
    Index {
        schema_version: 2,
        media_type: media_type::OCI_INDEX.to_owned(),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn failed(error: WriteError) -> ArchiveError {
    ArchiveError::Write {
        source: std::io::Error::other(error),
    }
}

/// Writes each blob once.
struct Archiver<'a> {
    tar: Writer<&'a mut dyn Write>,
    written: HashSet<Digest>,
}

impl Archiver<'_> {
    fn folder(&mut self, name: &str) -> Result<(), ArchiveError> {
        let entry = Entry::new(EntryKind::Directory, name);
        self.tar
            .append(&entry, &mut std::io::empty())
            .map_err(failed)
    }

    fn file(&mut self, name: &str, mut content: &[u8]) -> Result<(), ArchiveError> {
        let mut entry = Entry::new(EntryKind::Regular, name);
        entry.size = content.len() as u64;
        self.tar.append(&entry, &mut content).map_err(failed)
    }

    fn blob(&mut self, digest: &Digest, content: &[u8]) -> Result<(), ArchiveError> {
        if self.written.insert(*digest) {
            self.file(&blob_name(digest), content)
        } else {
            Ok(())
        }
    }

    fn stream(
        &mut self,
        digest: &Digest,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        let mut entry = Entry::new(EntryKind::Regular, blob_name(digest));
        entry.size = size;
        self.tar.append(&entry, content).map_err(failed)?;
        self.written.insert(*digest);
        Ok(())
    }
}
