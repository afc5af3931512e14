//! Reading images from an archive: Docker's layout, old and new, and OCI's.

mod docker;
mod from_layout;
mod oci;

use std::fs::File;
use std::io::BufReader;

use gantry_model::image::Descriptor;
use gantry_model::{Digest, Platform, Reference};
use gantry_store::{Lease, Membership, NewImage, UnpackOptions};

use super::archive::{Archive, ArchiveError};
use super::bundle::{Bundle, INDEX, Section};
use super::progress::{LayerPhase, LayerProgress, Transfer};
use super::{ImageError, Images, document, parallel, spool};

pub use from_layout::LayoutImage;

/// How to load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The platform to take out of indexes; the host's by default.
    pub platform: Option<Platform>,
}

/// One image that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub id: Digest,
    /// The names it got.
    pub references: Vec<Reference>,
    /// Names that another image had until now.
    pub taken: Vec<(Reference, Digest)>,
}

/// An image in an archive.
struct Found {
    config: Vec<u8>,
    /// Manifests and indexes that it has there.
    documents: Vec<Vec<u8>>,
    layers: Vec<FoundLayer>,
    references: Vec<Reference>,
    /// Its place in an index, where it has one there.
    member: Option<Membership>,
}

/// A layer in an archive.
struct FoundLayer {
    name: String,
    diff_id: Digest,
    content: Section,
    /// Digest and size that the bytes in the archive must have, where it says so.
    blob: Option<Descriptor>,
}

impl Images<'_> {
    /// Reads all images of an archive, which may be a pipe and compressed by gzip or zstd.
    ///
    /// # Errors
    /// [`ImageError::Archive`] and what is wrong with the images.
    pub fn load(
        &self,
        input: File,
        options: &LoadOptions,
        transfer: &dyn Transfer,
    ) -> Result<Vec<Loaded>, ImageError> {
        let store = self.store()?;
        let file = spool::seekable(input, &store.root().join("ingest"), store.limits())?;
        let archive = Archive::index(file, store.limits())?;
        // Docker's document knows one platform of an image.
        let oci =
            archive.has(INDEX) && (!archive.has(docker::MANIFEST) || oci::has_index(&archive)?);
        let found = if oci {
            oci::find(&archive, options.platform.as_ref())?
        } else if archive.has(docker::MANIFEST) {
            docker::find(&archive)?
        } else {
            return Err(ArchiveError::NoImages.into());
        };
        let found = match &options.platform {
            Some(wanted) => of_platform(found, wanted)?,
            None => found,
        };
        let lease = store.lease()?;
        let mut loaded: Vec<Loaded> = Vec::new();
        let mut before = None;
        for image in found {
            let index = image.member.as_ref().map(|member| member.index);
            let one = self.take_in(image, &lease, transfer)?;
            let again = index.is_some() && std::mem::replace(&mut before, index) == index;
            if let (true, Some(last), Some(name)) =
                (again, loaded.last_mut(), one.references.first())
            {
                // One image of several platforms.
                last.id = store.images().find(name)?.unwrap_or(last.id);
                continue;
            }
            let name = one.references.first().map(Reference::familiar);
            let id = one.id.to_string();
            self.tell("load", &id, name.as_deref().unwrap_or(&id));
            loaded.push(one);
        }
        Ok(loaded)
    }

    fn take_in(
        &self,
        image: Found,
        lease: &Lease,
        transfer: &dyn Transfer,
    ) -> Result<Loaded, ImageError> {
        let store = self.store()?;
        self.bring(image.layers, lease, transfer)?;
        let mut blobs = Vec::new();
        for document in &image.documents {
            blobs.push(store.blobs().put(document)?);
        }
        let id = document::digest(&image.config);
        let index = image.member.as_ref().map(|member| member.index);
        let mut taken = Vec::new();
        for reference in &image.references {
            let same = |known: gantry_store::Index| Some(known.digest) == index;
            if let Some(before) = store.images().find(reference)?
                && before != id
                && !store.images().index_of(reference)?.is_some_and(same)
            {
                taken.push((reference.clone(), before));
            }
        }
        store.images().put(&NewImage {
            config: &image.config,
            blobs,
            tags: image.references.clone(),
            digests: Vec::new(),
            member: image.member,
        })?;
        Ok(Loaded {
            id,
            references: image.references,
            taken,
        })
    }

    /// Brings layers into the store, as far as they are not there.
    fn bring(
        &self,
        layers: Vec<FoundLayer>,
        lease: &Lease,
        transfer: &dyn Transfer,
    ) -> Result<(), ImageError> {
        let ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        transfer.begin("", "", &ids);
        let mut jobs: Vec<FoundLayer> = Vec::new();
        for layer in layers {
            let here = lease.layer(&layer.diff_id)?;
            let twice = jobs.iter().any(|job| job.diff_id == layer.diff_id);
            if here {
                tell(transfer, &layer, LayerPhase::AlreadyExists, 0);
            } else if !twice {
                jobs.push(layer);
            }
        }
        parallel::each(jobs, 2, |layer, _stop| self.unpack(&layer, transfer))
    }

    fn unpack(&self, layer: &FoundLayer, transfer: &dyn Transfer) -> Result<(), ImageError> {
        tell(transfer, layer, LayerPhase::Extracting, 0);
        let progress = |read| tell(transfer, layer, LayerPhase::Extracting, read);
        let options = UnpackOptions {
            blob: layer.blob.as_ref().map(|blob| (blob.digest, blob.size)),
            diff_id: Some(layer.diff_id),
            progress: Some(&progress),
            ..UnpackOptions::default()
        };
        let content = BufReader::with_capacity(256 << 10, layer.content.clone());
        self.store()?
            .layers()
            .unpack(content, &options)
            .map_err(|source| ImageError::Unpack {
                layer: layer.name.clone(),
                source,
            })?;
        tell(
            transfer,
            layer,
            LayerPhase::PullComplete,
            layer.content.size(),
        );
        Ok(())
    }
}

fn tell(transfer: &dyn Transfer, layer: &FoundLayer, phase: LayerPhase, current: u64) {
    let total = Some(layer.content.size());
    transfer.layer(LayerProgress {
        id: layer.diff_id,
        phase,
        current,
        total,
    });
}

/// Those of the images that are made for a platform; one at least.
fn of_platform(found: Vec<Found>, wanted: &Platform) -> Result<Vec<Found>, ImageError> {
    let mut offered = Vec::new();
    let mut names = Vec::new();
    let mut fitting = Vec::new();
    for image in found {
        let config = document::parse_config(&image.config).map_err(|reason| {
            let name = document::digest(&image.config).to_string();
            ArchiveError::Document { name, reason }
        })?;
        let platform = config.platform();
        names.extend(image.references.first().map(Reference::familiar));
        match wanted.rank(&platform) {
            Some(_) => fitting.push(image),
            None => offered.push(platform),
        }
    }
    if fitting.is_empty() {
        let reference = names.into_iter().next();
        return Err(ImageError::NoPlatform {
            reference: reference.unwrap_or_else(|| "the archive".to_owned()),
            wanted: vec![wanted.clone()],
            offered,
        });
    }
    Ok(fitting)
}

/// The diff IDs of a configuration that must have so many layers.
fn diff_ids(name: &str, config: &[u8], layers: usize) -> Result<Vec<Digest>, ArchiveError> {
    let malformed = |reason: String| ArchiveError::Document {
        name: name.to_owned(),
        reason,
    };
    let config = document::parse_config(config).map_err(malformed)?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != layers {
        let reason = format!(
            "it has {} diff IDs, the manifest {layers} layers",
            diff_ids.len()
        );
        return Err(malformed(reason));
    }
    Ok(diff_ids)
}
