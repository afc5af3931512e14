//! Indexes put together in registries, out of what is in registries: nothing comes here.

use std::io::Read;

use gantry_model::image::{Descriptor, ImageConfig, Index, Manifest};
use gantry_model::{Digest, Platform, Reference, media_type};
use gantry_store::LayerBlob;

use super::destination::Destination;
use super::document::{DOCUMENT_LIMIT, Document, parse};
use super::{Annotation, AnnotationPlace, ImageError, Images, layout, select};

/// What an index is put together of.
#[derive(Debug, Clone, Default)]
pub struct Assembly {
    /// Images and indexes, in order; of an index all that it names.
    pub sources: Vec<Reference>,
    /// Whether what the first target names comes first.
    pub append: bool,
    /// Only images of these platforms; all without.
    pub platforms: Vec<Platform>,
    /// What is written on the index.
    pub annotations: Vec<Annotation>,
    /// Whether a single image becomes an index, too.
    pub prefer_index: bool,
}

/// An index that was put together, or the one document there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Its type, digest and size.
    pub descriptor: Descriptor,
    /// The document.
    pub bytes: Vec<u8>,
    entries: Vec<(Reference, Descriptor)>,
}

impl Images<'_> {
    /// Puts an index together; nothing is uploaded.
    ///
    /// # Errors
    /// The registry's; [`ImageError::Form`] when nothing is left to put together.
    pub fn assemble(
        &self,
        target: Option<&Reference>,
        assembly: &Assembly,
    ) -> Result<Assembled, ImageError> {
        let appended = target.filter(|_| assembly.append);
        let sources: Vec<&Reference> = appended.into_iter().chain(&assembly.sources).collect();
        let plain = assembly.annotations.is_empty() && assembly.platforms.is_empty();
        let mut entries: Vec<(Reference, Descriptor)> = Vec::new();
        for source in &sources {
            let fetched = self.client()?.resolve(source)?;
            let is_index = media_type::is_index(&fetched.descriptor.media_type);
            let found = if is_index {
                parse::<Index>(&fetched.bytes, "index", &fetched.descriptor.digest)?.manifests
            } else {
                vec![self.described(source, &fetched.descriptor, &fetched.bytes)?]
            };
            let found = found.into_iter().map(|entry| ((*source).clone(), entry));
            let known = |digest: &Digest, all: &[(Reference, Descriptor)]| {
                all.iter().any(|(_, entry)| entry.digest == *digest)
            };
            for (from, entry) in found {
                if !known(&entry.digest, &entries) {
                    entries.push((from, entry));
                }
            }
            if sources.len() == 1 && plain && (is_index || !assembly.prefer_index) {
                return Ok(Assembled {
                    descriptor: fetched.descriptor,
                    bytes: fetched.bytes,
                    entries,
                });
            }
        }
        choose(&mut entries, &assembly.platforms);
        if entries.is_empty() {
            return Err(ImageError::Form {
                reason: "none of the sources has an image for these platforms".to_owned(),
            });
        }
        let manifests = entries.iter().map(|(_, entry)| entry.clone()).collect();
        let mut index = layout::index(manifests);
        for annotation in &assembly.annotations {
            let (name, value) = (annotation.name.clone(), annotation.value.clone());
            let wanted = |platform: Option<&Platform>| {
                annotation.platform.is_none() || annotation.platform.as_ref() == platform
            };
            match annotation.place {
                AnnotationPlace::Index => drop(index.annotations.insert(name, value)),
                AnnotationPlace::ManifestDescriptor => {
                    for entry in &mut index.manifests {
                        if !select::is_attestation(entry) && wanted(entry.platform.as_ref()) {
                            entry.annotations.insert(name.clone(), value.clone());
                        }
                    }
                }
                AnnotationPlace::Manifest | AnnotationPlace::IndexDescriptor => {
                    return Err(ImageError::Form {
                        reason: "only annotations of the index and of its entries can be given to \
                                 images that are there"
                            .to_owned(),
                    });
                }
            }
        }
        let document = Document::new(media_type::OCI_INDEX, &index);
        Ok(Assembled {
            descriptor: document.descriptor,
            bytes: document.bytes,
            entries,
        })
    }

    /// Uploads what was put together under a name, with what the name's repository lacks of it.
    ///
    /// # Errors
    /// The registry's.
    pub fn push_assembled(
        &self,
        assembled: &Assembled,
        target: &Reference,
    ) -> Result<(), ImageError> {
        let repository = self.repository(target)?;
        for (from, entry) in &assembled.entries {
            if from.name() != target.name() {
                self.copy_manifest(from, entry, &repository)?;
            }
        }
        let kind = &assembled.descriptor.media_type;
        self.client()?
            .push_manifest(target, kind, &assembled.bytes)?;
        Ok(())
    }

    /// What an index says of an image: its manifest with its platform.
    fn described(
        &self,
        source: &Reference,
        manifest: &Descriptor,
        bytes: &[u8],
    ) -> Result<Descriptor, ImageError> {
        let parsed: Manifest = parse(bytes, "manifest", &manifest.digest)?;
        let mut config = Vec::new();
        self.client()?
            .blob(source, &parsed.config)?
            .take(DOCUMENT_LIMIT)
            .read_to_end(&mut config)
            .map_err(ImageError::stream("read the image configuration"))?;
        let digest = parsed.config.digest;
        let config: ImageConfig = parse(&config, "image configuration", &digest)?;
        let mut described = manifest.clone();
        described.platform = Some(config.platform()).filter(|p| !p.architecture.is_empty());
        Ok(described)
    }

    /// Copies a manifest with its blobs to another repository.
    fn copy_manifest(
        &self,
        from: &Reference,
        entry: &Descriptor,
        to: &dyn Destination,
    ) -> Result<(), ImageError> {
        let client = self.client()?;
        let fetched = client.manifest(from, entry)?;
        let manifest: Manifest = parse(&fetched.bytes, "manifest", &entry.digest)?;
        for part in manifest.layers.iter().chain([&manifest.config]) {
            let blob = LayerBlob {
                digest: part.digest,
                size: part.size,
                media_type: part.media_type.clone(),
                repositories: vec![from.name()],
            };
            if to.held(&[&blob])?.is_some() {
                continue;
            }
            // The registry holds what arrives to the digest.
            let mut body = client.blob(from, part)?;
            to.take(&part.media_type, &mut body, &mut || part.digest)?;
        }
        to.document(&Document {
            descriptor: fetched.descriptor,
            bytes: fetched.bytes,
        })
    }
}

/// Leaves the images of these platforms, and what is said of them.
fn choose(entries: &mut Vec<(Reference, Descriptor)>, platforms: &[Platform]) {
    if platforms.is_empty() {
        return;
    }
    let fits = |entry: &Descriptor| {
        let own = entry.platform.as_ref();
        own.is_some_and(|own| platforms.iter().any(|wanted| wanted.rank(own) == Some(0)))
    };
    let left: Vec<String> = entries
        .iter()
        .filter(|(_, entry)| fits(entry))
        .map(|(_, entry)| entry.digest.to_string())
        .collect();
    entries.retain(|(_, entry)| {
        let about = entry.annotations.get("vnd.docker.reference.digest");
        fits(entry) || about.is_some_and(|digest| left.contains(digest))
    });
}
