//! Caches that come.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_model::image::{Descriptor, ImageConfig, Index, Manifest};
use gantry_model::{Digest, Platform, Reference, media_type};

use super::config::{self, CacheConfig, CacheLayer, CacheRecord, LayerFacts};
use super::mounts::OfferedMount;
use super::{CachePlace, Caches};
use crate::Engine;
use crate::images::bundle::Bundle;
use crate::images::document::parse;
use crate::images::folder::LayoutFolder;
use crate::images::layout;
use crate::images::{ImageError, document, select};

/// A layer that a cache has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Borrowed {
    /// The layer, which is in the store.
    pub diff_id: Digest,
    /// When it was made, RFC 3339.
    pub created: String,
}

/// A layer as a cache tells of it.
#[derive(Debug, Clone)]
struct Offered {
    blob: Descriptor,
    diff_id: Digest,
    created: String,
}

/// A cache that was read; its layers come when they are asked for.
#[derive(Debug)]
pub struct ImportedCache<'a> {
    pub(super) engine: &'a Engine,
    source: Source,
    offered: HashMap<String, Offered>,
    /// Steps that are known by what they follow, as BuildKit's are.
    foreign: usize,
    /// Cache mounts by name.
    pub(super) mounts: BTreeMap<String, OfferedMount>,
    /// Layers and mounts that could not be had: they are not asked for again.
    lost: Mutex<Vec<Digest>>,
}

#[derive(Debug)]
enum Source {
    Registry(Reference),
    Folder(LayoutFolder),
}

impl<'a> Caches<'a> {
    /// Reads what a cache has, without its layers. An image is looked at for a cache within it,
    /// that of this machine's platform.
    ///
    /// # Errors
    /// The registry's, and what is wrong with the documents.
    pub fn import(&self, place: &CachePlace) -> Result<ImportedCache<'a>, ImageError> {
        let (source, top, bytes) = match place {
            CachePlace::Registry(reference) => {
                let fetched = self.engine.registry()?.resolve(reference)?;
                let source = Source::Registry(reference.clone());
                (source, fetched.descriptor, fetched.bytes)
            }
            CachePlace::Folder {
                folder,
                tag,
                digest,
            } => {
                let layout = LayoutFolder::open(folder).map_err(|source| ImageError::File {
                    action: "open",
                    path: folder.clone(),
                    source,
                })?;
                let named = |entry: &Descriptor| {
                    let name = entry.annotations.get(layout::REF_NAME);
                    digest.map_or(name == Some(tag), |digest| entry.digest == digest)
                };
                let entries = layout.entries_if_any()?;
                let Some(top) = entries.into_iter().find(named) else {
                    let name = digest.map_or_else(|| tag.clone(), |digest| digest.to_string());
                    return Err(ImageError::NotFound {
                        name: format!("cache {name} in {}", folder.display()),
                    });
                };
                let bytes = layout.blob(&top.digest, "index", document::DOCUMENT_LIMIT)?;
                (Source::Folder(layout), top, bytes)
            }
        };
        let mut cache = ImportedCache {
            engine: self.engine,
            source,
            offered: HashMap::new(),
            foreign: 0,
            mounts: BTreeMap::new(),
            lost: Mutex::new(Vec::new()),
        };
        cache.read(&top, &bytes)?;
        Ok(cache)
    }
}

impl ImportedCache<'_> {
    /// How many steps it has.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.offered.len()
    }

    /// The layer under this key, brought into the store and verified; `None` where the cache has
    /// none.
    ///
    /// # Errors
    /// The layer cannot be had, or is not what the cache says.
    pub fn bring(&self, key: &[u8; 32]) -> Result<Option<Borrowed>, ImageError> {
        let Some(offered) = self.offered.get(&config::digest_of(key)) else {
            return Ok(None);
        };
        let diff_id = offered.diff_id;
        if self.lost().contains(&diff_id) {
            return Ok(None);
        }
        if !self.engine.store()?.layers().contains(&diff_id)?
            && let Err(error) = self.fetch(offered)
        {
            self.lost().push(diff_id);
            return Err(error);
        }
        Ok(Some(Borrowed {
            diff_id,
            created: offered.created.clone(),
        }))
    }

    /// How many steps it has that BuildKit alone finds.
    #[must_use]
    pub fn foreign_steps(&self) -> usize {
        self.foreign
    }

    /// How many cache mounts it has.
    #[must_use]
    pub fn mounts(&self) -> usize {
        self.mounts.len()
    }

    /// What cannot be had.
    pub(super) fn lost(&self) -> MutexGuard<'_, Vec<Digest>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The repository that it is in.
    pub(super) fn repository(&self) -> Vec<String> {
        match &self.source {
            Source::Registry(reference) => vec![reference.name()],
            Source::Folder(_) => Vec::new(),
        }
    }

    /// A blob as it comes, unverified.
    pub(super) fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        Ok(match &self.source {
            Source::Registry(reference) => Box::new(self.engine.registry()?.blob(reference, blob)?),
            Source::Folder(layout) => {
                Box::new(layout.open(&layout::blob_name(&blob.digest), "cache")?)
            }
        })
    }

    fn fetch(&self, offered: &Offered) -> Result<(), ImageError> {
        let Offered { blob, diff_id, .. } = offered;
        let images = self.engine.images();
        images.unpack_blob(self.open(blob)?, blob, diff_id, None)?;
        match &self.source {
            Source::Registry(reference) => images.note_source(reference, blob, diff_id),
            Source::Folder(_) => Ok(()),
        }
    }

    fn read(&mut self, top: &Descriptor, bytes: &[u8]) -> Result<(), ImageError> {
        if !media_type::is_index(&top.media_type) {
            return self.read_manifest(&parse(bytes, "manifest", &top.digest)?);
        }
        let index: Index = parse(bytes, "index", &top.digest)?;
        let is_cache = |entry: &&Descriptor| entry.media_type == config::MEDIA_TYPE;
        if let Some(entry) = index.manifests.iter().find(is_cache) {
            let config = parse(&self.blob(entry)?, "cache", &entry.digest)?;
            self.offer(&config);
            self.mounts = OfferedMount::among(&index.manifests);
            return Ok(());
        }
        // An index of images; a cache may be within that of this machine.
        let Ok(number) = select::choose(&index, &Platform::host()) else {
            return Ok(());
        };
        let entry = &index.manifests[number];
        let bytes = match &self.source {
            Source::Registry(reference) => {
                self.engine.registry()?.manifest(reference, entry)?.bytes
            }
            Source::Folder(layout) => {
                layout.blob(&entry.digest, "index", document::DOCUMENT_LIMIT)?
            }
        };
        self.read_manifest(&parse(&bytes, "manifest", &entry.digest)?)
    }

    fn read_manifest(&mut self, manifest: &Manifest) -> Result<(), ImageError> {
        let bytes = self.blob(&manifest.config)?;
        let digest = manifest.config.digest;
        if manifest.config.media_type == config::MEDIA_TYPE {
            let config = parse(&bytes, "cache", &digest)?;
            self.offer(&config);
            self.mounts = OfferedMount::among(&manifest.layers);
            return Ok(());
        }
        let config: ImageConfig = parse(&bytes, "image configuration", &digest)?;
        let Some(text) = config.other.get(config::INLINE).and_then(|v| v.as_str()) else {
            return Ok(());
        };
        let malformed = |reason: String| ImageError::Document {
            what: "cache within the image configuration",
            digest,
            reason,
        };
        let text = STANDARD
            .decode(text)
            .map_err(|e| malformed(e.to_string()))?;
        let records: Vec<CacheRecord> =
            serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
        let pairs = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let layers = pairs.map(|(layer, diff_id)| CacheLayer {
            blob: layer.digest,
            parent: -1,
            annotations: Some(LayerFacts {
                media_type: layer.media_type.clone(),
                diff_id: Some(*diff_id),
                size: layer.size,
                created_at: String::new(),
            }),
        });
        self.offer(&CacheConfig {
            layers: layers.collect(),
            records,
        });
        Ok(())
    }

    /// Takes in what could be a step of ours: without inputs, with a layer that can be had. The
    /// rest of BuildKit's records means nothing here.
    fn offer(&mut self, config: &CacheConfig) {
        for record in &config.records {
            let Some(result) = record.results.first() else {
                continue;
            };
            if !record.inputs.is_empty() {
                self.foreign += 1;
                continue;
            }
            let layer = config.layers.get(result.layer);
            let Some((layer, facts)) = layer.and_then(|l| Some((l, l.annotations.as_ref()?)))
            else {
                continue;
            };
            let known_type = media_type::layer_compression(&facts.media_type).is_some();
            let (Some(diff_id), true) = (facts.diff_id, known_type) else {
                continue;
            };
            let created = [&result.created_at, &facts.created_at]
                .into_iter()
                .find(|text| text.parse::<jiff::Timestamp>().is_ok())
                .map_or_else(|| jiff::Timestamp::UNIX_EPOCH.to_string(), String::clone);
            let offered = Offered {
                blob: Descriptor::new(&facts.media_type, layer.blob, facts.size),
                diff_id,
                created,
            };
            self.offered.entry(record.digest.clone()).or_insert(offered);
        }
    }

    /// A document, verified.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        if descriptor.size > config::LIMIT {
            return Err(ImageError::Document {
                what: "cache",
                digest: descriptor.digest,
                reason: format!("it has {} bytes", descriptor.size),
            });
        }
        let reference = match &self.source {
            Source::Folder(layout) => {
                return Ok(layout.blob(&descriptor.digest, "cache", config::LIMIT)?);
            }
            Source::Registry(reference) => reference,
        };
        let mut bytes = Vec::new();
        self.engine
            .registry()?
            .blob(reference, descriptor)?
            .take(config::LIMIT)
            .read_to_end(&mut bytes)
            .map_err(ImageError::stream("read the cache"))?;
        let actual = document::digest(&bytes);
        if actual != descriptor.digest {
            let expected = descriptor.digest;
            return Err(gantry_store::StoreError::DigestMismatch { expected, actual }.into());
        }
        Ok(bytes)
    }
}
