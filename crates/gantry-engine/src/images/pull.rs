//! Fetching images.
//!
//! The index or manifest is resolved, the platform chosen, and the layers the store does not
//! have are fetched by several threads at once, each straight from the connection into the
//! store's unpacker, which verifies both digests. The image gets its name last.

mod layers;

use std::io::Read;

use gantry_model::image::{Descriptor, ImageConfig, Index, Manifest};
use gantry_model::{Digest, Platform, Reference, media_type};
use gantry_registry::FetchedManifest;
use gantry_store::{Image, Lease, NewImage, RepoDigest, StoreError};

use super::document::{self, DOCUMENT_LIMIT};
use super::progress::Transfer;
use super::{ImageError, Images, select};

/// How to pull.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullOptions {
    /// The platform that was asked for; the host's when none was.
    pub platform: Option<Platform>,
}

/// When an image is looked for in its registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Only when it is not here.
    #[default]
    Missing,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a pull came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: Digest,
    /// Digest of the manifest or index that the reference names.
    pub digest: Digest,
    /// Whether anything is new: the image, or that it has this name.
    pub newer: bool,
}

/// A manifest that was resolved for a platform.
struct Resolved {
    /// Of the index, or of the manifest where there is no index.
    top: Descriptor,
    /// Index and manifest as they came.
    documents: Vec<Vec<u8>>,
    digest: Digest,
    manifest: Manifest,
}

impl Images<'_> {
    /// Fetches an image and gives it the name it was asked for by.
    ///
    /// # Errors
    /// The registry's, the store's, and what is wrong with the image.
    pub fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        transfer: &dyn Transfer,
    ) -> Result<Pulled, ImageError> {
        let store = self.store()?;
        let lease = store.lease()?;
        let fetched = self.client()?.resolve(reference)?;
        let resolved = self.for_platform(reference, fetched, options)?;
        let known = self.held_document(&lease, &resolved.manifest.config)?;
        let config_bytes = match known {
            Some(bytes) => bytes,
            None => self.fetch_config(reference, &resolved.manifest.config)?,
        };
        let config = self.check(reference, &resolved, &config_bytes, options, transfer)?;
        let id = resolved.manifest.config.digest;
        let digest = resolved.top.digest;
        let before = store.images().find(reference)?;
        self.fetch_layers(reference, &resolved.manifest, &config, &lease, transfer)?;
        let mut blobs = Vec::new();
        for document in &resolved.documents {
            blobs.push(store.blobs().put(document)?);
        }
        store.images().put(&NewImage {
            config: &config_bytes,
            blobs,
            tags: reference
                .digest()
                .is_none()
                .then(|| reference.clone())
                .into_iter()
                .collect(),
            digests: vec![RepoDigest {
                repository: reference.name(),
                digest,
                media_type: resolved.top.media_type,
            }],
            member: None,
        })?;
        self.tell("pull", &reference.familiar(), &reference.familiar_name());
        Ok(Pulled {
            id,
            digest,
            newer: before != Some(id),
        })
    }

    /// The tags of a repository in its registry, sorted.
    ///
    /// # Errors
    /// The registry's.
    pub fn remote_tags(&self, repository: &Reference) -> Result<Vec<String>, ImageError> {
        let mut tags = self.client()?.tags(repository)?;
        tags.sort();
        Ok(tags)
    }

    /// The image of that name for that platform, out of the store or its registry.
    ///
    /// With no platform, whatever has the name in the store is taken.
    ///
    /// # Errors
    /// [`ImageError::Missing`] when it is not here and may not be pulled; those of
    /// [`Images::pull`].
    pub fn resolve_or_pull(
        &self,
        name: &str,
        platform: Option<&Platform>,
        policy: PullPolicy,
        transfer: &dyn Transfer,
    ) -> Result<Image, ImageError> {
        let fits = |found: &Platform| platform.is_none_or(|p| p.rank(found).is_some());
        let reference = name.parse::<Reference>();
        let look = policy != PullPolicy::Always || reference.is_err();
        if look && let Some(id) = self.store()?.images().resolve_id(name)? {
            let image = self.store()?.images().image(&id)?;
            if fits(&image.config.platform()) {
                return Ok(image);
            }
            if let (PullPolicy::Never, Some(wanted)) = (policy, platform) {
                return Err(ImageError::OtherPlatform {
                    reference: name.to_owned(),
                    wanted: Box::new(wanted.clone()),
                    found: Box::new(image.config.platform()),
                });
            }
        }
        let reference = reference?;
        if policy == PullPolicy::Never {
            return Err(ImageError::Missing {
                reference: reference.familiar(),
            });
        }
        let pulled = self.pull(
            &reference,
            &PullOptions {
                platform: platform.cloned(),
            },
            transfer,
        )?;
        Ok(self.store()?.images().image(&pulled.id)?)
    }

    fn for_platform(
        &self,
        reference: &Reference,
        fetched: FetchedManifest,
        options: &PullOptions,
    ) -> Result<Resolved, ImageError> {
        let top = fetched.descriptor;
        if !media_type::is_index(&top.media_type) {
            let manifest = parse_manifest(&fetched.bytes, &top)?;
            let digest = top.digest;
            return Ok(Resolved {
                digest,
                top,
                documents: vec![fetched.bytes],
                manifest,
            });
        }
        let index: Index = parse(&fetched.bytes, "index", &top.digest)?;
        let wanted = options.platform.clone().unwrap_or_else(Platform::host);
        let entry = select::choose(&index, &wanted).map_err(|offered| ImageError::NoPlatform {
            reference: reference.familiar(),
            wanted: vec![wanted],
            offered,
        })?;
        if media_type::is_index(&entry.media_type) {
            return Err(ImageError::NotAnImage {
                reference: reference.familiar(),
                what: "an index of indexes".to_owned(),
            });
        }
        let bytes = match self.stored(entry)? {
            Some(bytes) => bytes,
            None => self.client()?.manifest(reference, entry)?.bytes,
        };
        let manifest = parse_manifest(&bytes, entry)?;
        Ok(Resolved {
            digest: entry.digest,
            top,
            documents: vec![fetched.bytes, bytes],
            manifest,
        })
    }

    /// A small document out of the store, if it is there and sound.
    fn stored(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>, ImageError> {
        match self
            .store()?
            .blobs()
            .read(&descriptor.digest, DOCUMENT_LIMIT)
        {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NoBlob { .. } | StoreError::DamagedBlob { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn held_document(
        &self,
        lease: &Lease,
        descriptor: &Descriptor,
    ) -> Result<Option<Vec<u8>>, ImageError> {
        if lease.blob(&descriptor.digest)? {
            self.stored(descriptor)
        } else {
            Ok(None)
        }
    }

    fn fetch_config(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, ImageError> {
        if descriptor.size > DOCUMENT_LIMIT {
            return Err(ImageError::Document {
                what: "image configuration",
                digest: descriptor.digest,
                reason: format!(
                    "it has {} bytes, more than the {DOCUMENT_LIMIT} allowed",
                    descriptor.size
                ),
            });
        }
        let mut bytes = Vec::new();
        self.client()?
            .blob(reference, descriptor)?
            .take(DOCUMENT_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(ImageError::stream("read the image configuration"))?;
        let actual = document::digest(&bytes);
        if actual != descriptor.digest {
            let expected = descriptor.digest;
            return Err(StoreError::DigestMismatch { expected, actual }.into());
        }
        Ok(bytes)
    }

    fn check(
        &self,
        reference: &Reference,
        resolved: &Resolved,
        bytes: &[u8],
        options: &PullOptions,
        transfer: &dyn Transfer,
    ) -> Result<ImageConfig, ImageError> {
        let Resolved {
            manifest, digest, ..
        } = resolved;
        if !is_image(manifest) {
            let kind = manifest
                .artifact_type
                .as_ref()
                .unwrap_or(&manifest.config.media_type);
            return Err(ImageError::NotAnImage {
                reference: reference.familiar(),
                what: format!("an artefact of type {kind}"),
            });
        }
        let malformed = |reason| ImageError::Document {
            what: "image configuration",
            digest: manifest.config.digest,
            reason,
        };
        let config = document::parse_config(bytes).map_err(malformed)?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            let reason = format!("it lists {layers} layers, the image configuration {diff_ids}");
            return Err(ImageError::Document {
                what: "manifest",
                digest: *digest,
                reason,
            });
        }
        let found = config.platform();
        let wanted = options.platform.clone().unwrap_or_else(Platform::host);
        if wanted.rank(&found).is_none() {
            if options.platform.is_some() {
                let (wanted, found) = (Box::new(wanted), Box::new(found));
                let reference = reference.familiar();
                return Err(ImageError::OtherPlatform {
                    reference,
                    wanted,
                    found,
                });
            }
            transfer.warning(&format!(
                "the image's platform ({found}) does not match this machine's ({wanted}) and no platform was asked for"
            ));
        }
        Ok(config)
    }
}

/// Whether a manifest is that of an image; a configuration of an unknown type is given the
/// benefit of the doubt only where old tools wrote no type at all.
fn is_image(manifest: &Manifest) -> bool {
    matches!(
        manifest.config.media_type.as_str(),
        media_type::OCI_CONFIG | media_type::DOCKER_CONFIG | "application/octet-stream" | ""
    )
}

fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    digest: &Digest,
) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::Document {
        what,
        digest: *digest,
        reason: error.to_string(),
    })
}

fn parse_manifest(bytes: &[u8], descriptor: &Descriptor) -> Result<Manifest, ImageError> {
    parse(bytes, "manifest", &descriptor.digest)
}
