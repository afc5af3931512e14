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
use gantry_store::{Image, Lease, Membership, NewImage, RepoDigest, StoreError};

use super::document::{self, DOCUMENT_LIMIT, parse};
use super::progress::Transfer;
use super::{ImageError, Images, select};

/// How to pull.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullOptions {
    /// The platforms that were asked for; the host's when none was.
    pub platforms: Vec<Platform>,
    /// Whether all platforms are wanted that there are.
    pub all_platforms: bool,
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
    /// Index and manifest as they came, then what is said of the image.
    documents: Vec<Vec<u8>>,
    digest: Digest,
    manifest: Manifest,
    /// Its place in the index, where there is one, and the platform it has there.
    place: Option<(usize, Option<Platform>)>,
    wanted: Wanted,
}

/// For which platform an image was wanted.
#[derive(Debug, Clone)]
enum Wanted {
    /// For this machine's, as none was asked for.
    Host,
    /// For the one that was asked for.
    This(Platform),
    /// For any.
    Any,
}

/// An image whose layers are here.
struct Fetched {
    resolved: Resolved,
    bytes: Vec<u8>,
    platform: Platform,
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
        let top = fetched.descriptor.clone();
        let mut all = Vec::new();
        for resolved in self.for_platforms(reference, fetched, options)? {
            all.push(self.fetch_image(reference, resolved, &lease, transfer)?);
        }
        let before = store.images().find(reference)?;
        let members = store.images().index_of(reference)?;
        let known = |id: &Digest| match &members {
            Some(index) => index.members.iter().any(|member| member.image == *id),
            None => before == Some(*id),
        };
        let newer = !all
            .iter()
            .all(|f| known(&f.resolved.manifest.config.digest));
        // The names come last, when everything that was asked for is here.
        let mut id = top.digest;
        for fetched in &all {
            id = self.put(reference, &top, fetched)?;
        }
        let id = store.images().find(reference)?.unwrap_or(id);
        self.tell("pull", &reference.familiar(), &reference.familiar_name());
        Ok(Pulled {
            id,
            digest: top.digest,
            newer: newer || before != Some(id),
        })
    }

    /// Brings the configuration and the layers of one image here.
    fn fetch_image(
        &self,
        reference: &Reference,
        resolved: Resolved,
        lease: &Lease,
        transfer: &dyn Transfer,
    ) -> Result<Fetched, ImageError> {
        let known = self.held_document(lease, &resolved.manifest.config)?;
        let bytes = match known {
            Some(bytes) => bytes,
            None => self.fetch_config(reference, &resolved.manifest.config)?,
        };
        let config = self.check(reference, &resolved, &bytes, transfer)?;
        self.fetch_layers(reference, &resolved.manifest, &config, lease, transfer)?;
        Ok(Fetched {
            resolved,
            bytes,
            platform: config.platform(),
        })
    }

    /// Enters an image into the store; gives its id.
    fn put(
        &self,
        reference: &Reference,
        top: &Descriptor,
        fetched: &Fetched,
    ) -> Result<Digest, ImageError> {
        let store = self.store()?;
        let resolved = &fetched.resolved;
        let mut blobs = Vec::new();
        for document in &resolved.documents {
            blobs.push(store.blobs().put(document)?);
        }
        let named = reference.digest().is_none();
        let member = resolved.place.as_ref().map(|(position, platform)| {
            let platform = platform.clone();
            Membership {
                index: top.digest,
                manifest: resolved.digest,
                position: *position,
                platform: platform.unwrap_or_else(|| fetched.platform.clone()),
            }
        });
        Ok(store.images().put(&NewImage {
            config: &fetched.bytes,
            blobs,
            tags: named.then(|| reference.clone()).into_iter().collect(),
            digests: vec![RepoDigest {
                repository: reference.name(),
                digest: top.digest,
                media_type: top.media_type.clone(),
            }],
            member,
        })?)
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
        let reference = name.parse::<Reference>();
        let look = policy != PullPolicy::Always || reference.is_err();
        let mut other = None;
        if look && self.store()?.images().resolve_id(name)?.is_some() {
            match self.resolve_for(name, platform) {
                Ok(image) => return Ok(image),
                Err(error @ (ImageError::OtherPlatform { .. } | ImageError::NoPlatform { .. }))
                    if policy == PullPolicy::Never =>
                {
                    return Err(error);
                }
                Err(error @ (ImageError::OtherPlatform { .. } | ImageError::NoPlatform { .. })) => {
                    other = Some(error)
                }
                Err(error) => return Err(error),
            }
        }
        let reference = reference?;
        if policy == PullPolicy::Never {
            return Err(ImageError::Missing {
                reference: reference.familiar(),
            });
        }
        let options = PullOptions {
            platforms: platform.cloned().into_iter().collect(),
            all_platforms: false,
        };
        match (self.pull(&reference, &options, transfer), other) {
            (Ok(_), _) => self.resolve_for(&reference.to_string(), platform),
            // What is here and cannot be had elsewhere is what the person means.
            (Err(ImageError::Registry(_)), Some(other)) => Err(other),
            (Err(error), _) => Err(error),
        }
    }

    fn for_platforms(
        &self,
        reference: &Reference,
        fetched: FetchedManifest,
        options: &PullOptions,
    ) -> Result<Vec<Resolved>, ImageError> {
        let top = fetched.descriptor;
        if !media_type::is_index(&top.media_type) {
            let manifest = parse_manifest(&fetched.bytes, &top)?;
            return Ok(vec![Resolved {
                digest: top.digest,
                documents: vec![fetched.bytes],
                manifest,
                place: None,
                wanted: match options.platforms.first() {
                    Some(platform) => Wanted::This(platform.clone()),
                    None if options.all_platforms => Wanted::Any,
                    None => Wanted::Host,
                },
            }]);
        }
        let index: Index = parse(&fetched.bytes, "index", &top.digest)?;
        let mut all = Vec::new();
        for (position, wanted) in chosen(reference, &index, options)? {
            let entry = &index.manifests[position];
            if media_type::is_index(&entry.media_type) {
                return Err(ImageError::NotAnImage {
                    reference: reference.familiar(),
                    what: "an index of indexes".to_owned(),
                });
            }
            let bytes = match self.small(&entry.digest, DOCUMENT_LIMIT)? {
                Some(bytes) => bytes,
                None => self.client()?.manifest(reference, entry)?.bytes,
            };
            let mut documents = vec![fetched.bytes.clone(), bytes.clone()];
            // Who wants all of an index gets what is said of its images, too.
            if options.all_platforms {
                documents.extend(self.fetch_attestations(reference, &index, &entry.digest)?);
            }
            all.push(Resolved {
                digest: entry.digest,
                manifest: parse_manifest(&bytes, entry)?,
                documents,
                place: Some((position, entry.platform.clone())),
                wanted,
            });
        }
        Ok(all)
    }

    fn held_document(
        &self,
        lease: &Lease,
        descriptor: &Descriptor,
    ) -> Result<Option<Vec<u8>>, ImageError> {
        if lease.blob(&descriptor.digest)? {
            self.small(&descriptor.digest, DOCUMENT_LIMIT)
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
        transfer: &dyn Transfer,
    ) -> Result<ImageConfig, ImageError> {
        let Resolved {
            manifest,
            digest,
            wanted,
            ..
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
        let host = Platform::host();
        match wanted {
            Wanted::This(wanted) if wanted.rank(&found).is_none() => {
                return Err(ImageError::OtherPlatform {
                    reference: reference.familiar(),
                    wanted: Box::new(wanted.clone()),
                    found: Box::new(found),
                });
            }
            Wanted::Host if host.rank(&found).is_none() => transfer.warning(&format!(
                "the image's platform ({found}) does not match this machine's ({host}) and no platform was asked for"
            )),
            _ => {}
        }
        Ok(config)
    }
}

/// The entries of an index that are wanted, by their positions, each with the platform it was
/// wanted for.
fn chosen(
    reference: &Reference,
    index: &Index,
    options: &PullOptions,
) -> Result<Vec<(usize, Wanted)>, ImageError> {
    let mut chosen = Vec::new();
    let images = index.manifests.iter().enumerate();
    if options.all_platforms {
        let images = images.filter(|(_, entry)| !select::is_attestation(entry));
        chosen.extend(images.map(|(position, _)| (position, Wanted::Any)));
        return Ok(chosen);
    }
    let host = [Platform::host()];
    let (platforms, asked) = match options.platforms.as_slice() {
        [] => (&host[..], false),
        several => (several, true),
    };
    for wanted in platforms {
        let position = select::choose(index, wanted).map_err(|offered| ImageError::NoPlatform {
            reference: reference.familiar(),
            wanted: vec![wanted.clone()],
            offered,
        })?;
        if !chosen.iter().any(|(known, _)| *known == position) {
            let wanted = match asked {
                true => Wanted::This(wanted.clone()),
                false => Wanted::Host,
            };
            chosen.push((position, wanted));
        }
    }
    Ok(chosen)
}

/// Whether a manifest is that of an image; a configuration of an unknown type is given the
/// benefit of the doubt only where old tools wrote no type at all.
fn is_image(manifest: &Manifest) -> bool {
    matches!(
        manifest.config.media_type.as_str(),
        media_type::OCI_CONFIG | media_type::DOCKER_CONFIG | "application/octet-stream" | ""
    )
}

/// A document that was fetched.
pub(crate) fn parse_manifest(
    bytes: &[u8],
    descriptor: &Descriptor,
) -> Result<Manifest, ImageError> {
    parse(bytes, "manifest", &descriptor.digest)
}
