//! Lists of manifests: images of several platforms put together, from a build or by hand.
//!
//! A list is an index of the store under a name. The store has layers unpacked and no compressed
//! form of them: the manifest of an image that was made here names the plain tars, and so does what
//! `save` writes. A push makes manifests of its own.

use gantry_model::image::{Descriptor, Index as IndexDocument};
use gantry_model::{Digest, Platform, Reference, media_type};
use gantry_store::{Index, Membership, NewImage};

use super::document::{self, DOCUMENT_LIMIT, Document, Family};
use super::progress::Transfer;
use super::{ExportPart, ImageError, Images, PullOptions, layout};

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The index.
    pub index: Descriptor,
    /// The image of it that serves this machine best.
    pub id: Digest,
}

/// What is said anew of the platform of one image of a list; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlatformChange {
    /// Architecture.
    pub architecture: Option<String>,
    /// Operating system.
    pub os: Option<String>,
    /// Version of the operating system.
    pub os_version: Option<String>,
    /// Features of the operating system; none leaves them as they are.
    pub os_features: Vec<String>,
    /// Variant of the architecture.
    pub variant: Option<String>,
}

/// An image in a list.
struct Entry {
    image: Digest,
    manifest: Document,
    platform: Platform,
}

impl Images<'_> {
    /// Enters images, one for each platform, whose layers are in the store, as one under these
    /// names; without a name they are images like others.
    ///
    /// # Errors
    /// The store's, and [`ImageError::Document`] for a configuration that is none.
    pub fn keep(&self, parts: &[ExportPart], names: &[Reference]) -> Result<Kept, ImageError> {
        let mut entries = Vec::new();
        for part in parts {
            let malformed = |reason| ImageError::Document {
                what: "image configuration",
                digest: document::digest(&part.config),
                reason,
            };
            let config = document::parse_config(&part.config).map_err(malformed)?;
            let layers = self.plain_layers(&config.rootfs.diff_ids)?;
            self.store()?.blobs().put(&part.config)?;
            entries.push(Entry {
                image: document::digest(&part.config),
                manifest: document::manifest(Family::Oci, &part.config, layers),
                platform: config.platform(),
            });
        }
        self.enter(&entries, names)
    }

    /// Makes a list of the images that have these names, each with all its platforms that are
    /// here. What is not here is pulled, for all its platforms.
    ///
    /// # Errors
    /// [`ImageError::ListExists`] when there is a list of that name and it is not to be amended;
    /// those of [`Images::pull`].
    pub fn create_list(
        &self,
        list: &Reference,
        members: &[String],
        amend: bool,
        transfer: &dyn Transfer,
    ) -> Result<Kept, ImageError> {
        let store = self.store()?;
        let lease = store.lease()?;
        let mut entries = Vec::new();
        if let Some(index) = store.images().index_of(list)? {
            if !amend {
                return Err(ImageError::ListExists);
            }
            entries = self.entries(&index)?;
        }
        for member in members {
            if store.images().resolve_id(member)?.is_none() {
                let options = PullOptions {
                    all_platforms: true,
                    ..PullOptions::default()
                };
                self.pull(&member.parse()?, &options, transfer)?;
            }
            for entry in self.entries_of(member)? {
                lease.image(&entry.image)?;
                let digest = entry.manifest.descriptor.digest;
                entries.retain(|known| known.manifest.descriptor.digest != digest);
                entries.push(entry);
            }
        }
        self.enter(&entries, std::slice::from_ref(list))
    }

    /// Says something else of the platform of an image of a list.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] when there is no such list, or the image is not in it.
    pub fn annotate_list(
        &self,
        list: &Reference,
        member: &str,
        change: &PlatformChange,
    ) -> Result<Kept, ImageError> {
        let missing = |name: String| ImageError::NotFound { name };
        let index = self.store()?.images().index_of(list)?;
        let index = index.ok_or_else(|| missing(list.familiar()))?;
        let mut entries = self.entries(&index)?;
        let meant: Vec<Digest> = self.entries_of(member)?.iter().map(|e| e.image).collect();
        let mut found = false;
        for entry in entries.iter_mut().filter(|e| meant.contains(&e.image)) {
            found = true;
            change.apply(&mut entry.platform);
        }
        if !found {
            return Err(missing(format!("{member} in {}", list.familiar())));
        }
        self.enter(&entries, std::slice::from_ref(list))
    }

    /// The manifest or index that a name has, as it stands: that of the list of that name here,
    /// else that of the registry.
    ///
    /// # Errors
    /// The registry's.
    pub fn document_of(&self, name: &Reference) -> Result<(Descriptor, Vec<u8>), ImageError> {
        if let Some(index) = self.store()?.images().index_of(name)? {
            let bytes = self.store()?.blobs().read(&index.digest, DOCUMENT_LIMIT)?;
            let kind = media_type_of(&bytes, media_type::OCI_INDEX);
            let descriptor = Descriptor::new(&kind, index.digest, bytes.len() as u64);
            return Ok((descriptor, bytes));
        }
        let fetched = self.client()?.resolve(name)?;
        Ok((fetched.descriptor, fetched.bytes))
    }

    /// The images that a name means, as entries of a list.
    fn entries_of(&self, name: &str) -> Result<Vec<Entry>, ImageError> {
        if let Some(index) = self.index(name)? {
            return self.entries(&index);
        }
        let image = self.resolve(name)?;
        let manifest = match self.original(&image)? {
            Some(original) => original.document,
            None => {
                let config = self.store()?.images().config_bytes(&image.id)?;
                let layers = self.plain_layers(&image.layers)?;
                document::manifest(Family::Oci, &config, layers)
            }
        };
        Ok(vec![Entry {
            image: image.id,
            manifest,
            platform: image.config.platform(),
        }])
    }

    /// The members of an index, with what it says of their platforms.
    fn entries(&self, index: &Index) -> Result<Vec<Entry>, ImageError> {
        let blobs = self.store()?.blobs();
        let bytes = blobs.read(&index.digest, DOCUMENT_LIMIT)?;
        let written: IndexDocument = document::parse(&bytes, "index", &index.digest)?;
        let mut entries = Vec::new();
        for member in &index.members {
            let said = written
                .manifests
                .iter()
                .find(|e| e.digest == member.manifest);
            let platform = said.and_then(|entry| entry.platform.clone());
            let bytes = blobs.read(&member.manifest, DOCUMENT_LIMIT)?;
            let kind = media_type_of(&bytes, media_type::OCI_MANIFEST);
            entries.push(Entry {
                image: member.image,
                manifest: Document {
                    descriptor: Descriptor::new(&kind, member.manifest, bytes.len() as u64),
                    bytes,
                },
                platform: platform.unwrap_or_else(|| member.platform.clone()),
            });
        }
        Ok(entries)
    }

    /// Writes the index of these entries, and has the names be its.
    fn enter(&self, entries: &[Entry], names: &[Reference]) -> Result<Kept, ImageError> {
        let store = self.store()?;
        let described = entries.iter().map(|entry| Descriptor {
            platform: Some(entry.platform.clone()),
            ..entry.manifest.descriptor.clone()
        });
        let index = Document::new(media_type::OCI_INDEX, &layout::index(described.collect()));
        store.blobs().put(&index.bytes)?;
        let mut id = index.descriptor.digest;
        for (position, entry) in entries.iter().enumerate() {
            store.blobs().put(&entry.manifest.bytes)?;
            id = store.images().put(&NewImage {
                config: &store.images().config_bytes(&entry.image)?,
                blobs: vec![index.descriptor.digest, entry.manifest.descriptor.digest],
                tags: names.to_vec(),
                digests: Vec::new(),
                member: Some(Membership {
                    index: index.descriptor.digest,
                    manifest: entry.manifest.descriptor.digest,
                    position,
                    platform: entry.platform.clone(),
                }),
            })?;
        }
        let id = match names.first() {
            Some(name) => store.images().find(name)?.unwrap_or(id),
            None => id,
        };
        Ok(Kept {
            index: index.descriptor,
            id,
        })
    }
}

impl PlatformChange {
    fn apply(&self, platform: &mut Platform) {
        if let Some(architecture) = &self.architecture {
            platform.architecture.clone_from(architecture);
        }
        if let Some(os) = &self.os {
            platform.os.clone_from(os);
        }
        if self.os_version.is_some() {
            platform.os_version.clone_from(&self.os_version);
        }
        if !self.os_features.is_empty() {
            platform.os_features.clone_from(&self.os_features);
        }
        if self.variant.is_some() {
            platform.variant.clone_from(&self.variant);
        }
    }
}

/// The type that a document says it is of; OCI 1.0 left it out.
fn media_type_of(bytes: &[u8], usual: &str) -> String {
    let document: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let said = document.as_ref().and_then(|d| d.get("mediaType")?.as_str());
    said.filter(|kind| !kind.is_empty())
        .unwrap_or(usual)
        .to_owned()
}
