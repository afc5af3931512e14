//! Caches that come.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_model::image::{Descriptor, ImageConfig, Index, Manifest};
use gantry_model::{Digest, Platform, Reference, StepLink, StepRecord, StepResult, media_type};

use super::config::{self, CacheConfig, CacheInput, CacheLayer, CacheRecord, LayerFacts};
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
    /// The steps as BuildKit names them, by what they follow.
    records: Vec<StepRecord>,
    /// The layers that these made, by their numbers.
    tops: Vec<Option<Offered>>,
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
            records: Vec::new(),
            tops: Vec::new(),
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
        match self.offered.get(&config::digest_of(key)) {
            Some(offered) => self.bring_offered(offered),
            None => Ok(None),
        }
    }

    /// The steps as BuildKit names them.
    #[must_use]
    pub fn records(&self) -> &[StepRecord] {
        &self.records
    }

    /// The layer of one of the [records](Self::records), as for [`bring`](Self::bring).
    ///
    /// # Errors
    /// The layer cannot be had, or is not what the cache says.
    pub fn bring_record(&self, record: usize) -> Result<Option<Borrowed>, ImageError> {
        match self.tops.get(record) {
            Some(Some(offered)) => self.bring_offered(offered),
            _ => Ok(None),
        }
    }

    fn bring_offered(&self, offered: &Offered) -> Result<Option<Borrowed>, ImageError> {
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

    /// How many steps it has by BuildKit's names.
    #[must_use]
    pub fn named_steps(&self) -> usize {
        let steps = self.records.iter().zip(&self.tops);
        steps
            .filter(|(record, top)| !record.inputs.is_empty() && top.is_some())
            .count()
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
            self.offer(&config, &index.manifests);
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
            self.offer(&config, &manifest.layers);
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
        let layers = pairs
            .zip(-1..)
            .map(|((layer, diff_id), parent)| CacheLayer {
                blob: layer.digest,
                parent,
                annotations: Some(LayerFacts {
                    media_type: layer.media_type.clone(),
                    diff_id: Some(*diff_id),
                    size: layer.size,
                    created_at: String::new(),
                }),
            });
        let config = CacheConfig {
            layers: layers.collect(),
            records,
        };
        self.offer(&config, &[]);
        Ok(())
    }

    /// Takes in the steps with layers that can be had: ours, which have no inputs, and BuildKit's.
    /// `entries` say what the layers are, where the list does not.
    fn offer(&mut self, config: &CacheConfig, entries: &[Descriptor]) {
        let entries: HashMap<&Digest, &Descriptor> =
            entries.iter().map(|entry| (&entry.digest, entry)).collect();
        let layers: Vec<Option<Offered>> = config
            .layers
            .iter()
            .map(|layer| offered(layer, entries.get(&layer.blob).copied()))
            .collect();
        for record in &config.records {
            let result = result(config, record);
            let top = result.as_ref().and_then(|(numbers, created)| {
                let top = layers.get(*numbers.last()?)?.as_ref()?;
                let created = [*created, &top.created]
                    .into_iter()
                    .find(|text| text.parse::<jiff::Timestamp>().is_ok())
                    .map_or_else(|| jiff::Timestamp::UNIX_EPOCH.to_string(), str::to_owned);
                Some(Offered {
                    created,
                    ..top.clone()
                })
            });
            let chain = result.and_then(|(numbers, _)| {
                let diff_id = |number: &usize| Some(layers.get(*number)?.as_ref()?.diff_id);
                numbers.iter().map(diff_id).collect::<Option<Vec<_>>>()
            });
            let made = chain.zip(top.as_ref()).map(|(layers, top)| StepResult {
                layers,
                created: top.created.clone(),
            });
            if let (Some(top), true) = (&top, record.inputs.is_empty()) {
                let digest = record.digest.clone();
                self.offered.entry(digest).or_insert_with(|| top.clone());
            }
            self.records.push(named(record, made));
            self.tops.push(top);
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

/// A layer of the list, where it is one that can be had.
fn offered(layer: &CacheLayer, entry: Option<&Descriptor>) -> Option<Offered> {
    let offered = match (&layer.annotations, entry) {
        (Some(facts), _) => Offered {
            blob: Descriptor::new(&facts.media_type, layer.blob, facts.size),
            diff_id: facts.diff_id?,
            created: facts.created_at.clone(),
        },
        (None, Some(entry)) => Offered {
            blob: Descriptor::new(&entry.media_type, layer.blob, entry.size),
            diff_id: entry.annotations.get(config::DIFF_ID)?.parse().ok()?,
            created: String::new(),
        },
        (None, None) => return None,
    };
    media_type::layer_compression(&offered.blob.media_type).map(|_| offered)
}

/// The numbers of the layers that a step made, base first, and when.
fn result<'c>(config: &CacheConfig, record: &'c CacheRecord) -> Option<(Vec<usize>, &'c str)> {
    let Some(result) = record.results.first() else {
        let chained = record.chains.first()?;
        return Some((chained.layers.clone(), &chained.created_at));
    };
    let mut numbers = Vec::new();
    let mut next = Some(result.layer);
    while let Some(number) = next {
        // A list that leads in a circle is none.
        if numbers.len() == config.layers.len() {
            return None;
        }
        numbers.push(number);
        next = usize::try_from(config.layers.get(number)?.parent).ok();
    }
    numbers.reverse();
    Some((numbers, &result.created_at))
}

/// A record with its number kept; what cannot be read is nobody's step.
fn named(record: &CacheRecord, made: Option<StepResult>) -> StepRecord {
    let link = |input: &CacheInput| {
        let selector = match input.selector.as_str() {
            "" => None,
            text => Some(text.parse().ok()?),
        };
        Some(StepLink {
            record: input.link,
            selector,
        })
    };
    match record.digest.parse() {
        Ok(digest) => StepRecord {
            digest,
            inputs: (record.inputs.iter())
                .map(|links| links.iter().filter_map(link).collect())
                .collect(),
            made,
        },
        Err(_) => StepRecord {
            digest: record_of_nobody(),
            inputs: vec![Vec::new()],
            made: None,
        },
    }
}

/// No digest of anything.
fn record_of_nobody() -> Digest {
    Digest::from_bytes([0; 32])
}
