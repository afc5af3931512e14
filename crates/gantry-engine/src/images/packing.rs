//! Bringing layers into the form they leave in.
//!
//! The store keeps layers unpacked. First it is asked whether the destination has a compressed
//! form of a layer that is known (from a pull or an earlier push); only else the tar is made again
//! and compressed while it goes out.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use gantry_model::image::Descriptor;
use gantry_model::{Digest, media_type};
use gantry_store::LayerBlob;

use super::compress::{Compressed, LayerCompression, Method, Sum, compressed};
use super::destination::Destination;
use super::document::Family;
use super::progress::{LayerPhase, LayerProgress, Transfer};
use super::{ImageError, Images, parallel};

/// Layers on their way at once.
const AT_ONCE: usize = 3;
/// How often an upload that broke off is made.
pub(crate) const UPLOADS: u32 = 3;
/// Where a layer says what digest its table of contents has.
const TABLE: &str = "containerd.io/snapshot/stargz/toc.digest";

/// A layer in the form in which it left.
#[derive(Debug, Clone)]
pub(crate) struct PackedLayer {
    /// Points to the compressed layer.
    pub(crate) descriptor: Descriptor,
    /// Digest of the uncompressed tar; not the store's where a table of contents was added.
    pub(crate) diff_id: Digest,
}

/// How layers are packed, and for whom.
pub(crate) struct Packing<'a> {
    pub(crate) images: Images<'a>,
    pub(crate) destination: &'a dyn Destination,
    pub(crate) family: Family,
    pub(crate) method: Method,
    /// The layers whose known forms are kept however they are compressed; all without.
    pub(crate) kept: Option<HashSet<Digest>>,
    /// The form that is looked for first.
    pub(crate) preferred: HashMap<Digest, Descriptor>,
    pub(crate) transfer: &'a dyn Transfer,
}

impl Packing<'_> {
    /// Carries these layers over; the result is in their order.
    pub(crate) fn layers(&self, diff_ids: &[Digest]) -> Result<Vec<PackedLayer>, ImageError> {
        let mut waiting: Vec<Digest> = diff_ids.to_vec();
        waiting.sort();
        waiting.dedup();
        for id in &waiting {
            self.tell(id, LayerPhase::Waiting, 0, None);
        }
        let done = Mutex::new(HashMap::new());
        parallel::each(waiting, AT_ONCE, |diff_id, _stop| {
            let packed = self.layer(&diff_id)?;
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(diff_id, packed);
            Ok::<(), ImageError>(())
        })?;
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(diff_ids
            .iter()
            .filter_map(|diff_id| done.get(diff_id).cloned())
            .collect())
    }

    fn layer(&self, diff_id: &Digest) -> Result<PackedLayer, ImageError> {
        let store = self.images.store()?;
        if let Some(descriptor) = self.held(diff_id)? {
            return Ok(PackedLayer {
                descriptor,
                diff_id: *diff_id,
            });
        }
        self.tell(diff_id, LayerPhase::Preparing, 0, None);
        let info = store.layers().info(diff_id)?;
        let total = Some(info.tar_size);
        let mut tries = 1;
        let (mut descriptor, sum) = loop {
            match self.carry(diff_id, total) {
                // The tar can be made again as often as need be.
                Err(ImageError::Registry(error)) if error.is_temporary() && tries < UPLOADS => {
                    tries += 1;
                }
                result => break result?,
            }
        };
        self.tell(diff_id, LayerPhase::Pushed, info.tar_size, total);
        let Some((whole, table)) = sum.contents else {
            self.note(diff_id, &descriptor)?;
            return Ok(PackedLayer {
                descriptor,
                diff_id: *diff_id,
            });
        };
        let annotations = &mut descriptor.annotations;
        annotations.insert(TABLE.to_owned(), table.to_string());
        Ok(PackedLayer {
            descriptor,
            diff_id: whole,
        })
    }

    /// A known form that the destination has.
    fn held(&self, diff_id: &Digest) -> Result<Option<Descriptor>, ImageError> {
        let known = self.images.store()?.layers().blobs(diff_id)?;
        let preferred = self.preferred.get(diff_id);
        let mut usable: Vec<(&LayerBlob, &str)> = known
            .iter()
            .filter(|blob| self.fits(diff_id, blob))
            .filter_map(|blob| Some((blob, self.family.layer(&blob.media_type)?)))
            .collect();
        // The form the image came with first, because then its manifest can stay as it is.
        usable.sort_by_key(|(blob, _)| preferred.is_none_or(|p| p.digest != blob.digest));
        let forms: Vec<&LayerBlob> = usable.iter().map(|(blob, _)| *blob).collect();
        let Some((number, phase)) = self.destination.held(&forms)? else {
            return Ok(None);
        };
        let (blob, media_type) = usable[number];
        let wanted = preferred.filter(|p| p.digest == blob.digest);
        let descriptor = wanted
            .cloned()
            .unwrap_or_else(|| Descriptor::new(media_type, blob.digest, blob.size));
        self.note(diff_id, &descriptor)?;
        let size = descriptor.size;
        self.tell(diff_id, phase, size, Some(size));
        Ok(Some(descriptor))
    }

    /// Whether a known form of a layer will do.
    fn fits(&self, diff_id: &Digest, blob: &LayerBlob) -> bool {
        let Some(kept) = &self.kept else { return true };
        let same = media_type::layer_compression(&blob.media_type) == self.method.media()
            && self.method.level.is_none()
            && self.method.compression != LayerCompression::Estargz;
        same || kept.contains(diff_id)
    }

    /// Makes a layer's tar again, compresses it and sends it, all at once.
    fn carry(&self, diff_id: &Digest, total: Option<u64>) -> Result<(Descriptor, Sum), ImageError> {
        let mut counted = Counted {
            inner: self.images.store()?.layers().tar(diff_id)?,
            count: 0,
            tell: |count| self.tell(diff_id, LayerPhase::Pushing, count, total),
        };
        let media_type = self.family.layer_by(self.method.compression);
        compressed(
            &mut counted,
            self.method,
            parallel::processors(),
            |stream| {
                // The destination reads, then asks for the digest: never both at once.
                let stream = std::cell::RefCell::new(stream);
                let mut body = SharedStream(&stream);
                let mut digest = || stream.borrow().sum().digest;
                let descriptor = self.destination.take(media_type, &mut body, &mut digest)?;
                let sum = stream.borrow().sum();
                Ok((descriptor, sum))
            },
        )
    }

    fn note(&self, diff_id: &Digest, descriptor: &Descriptor) -> Result<(), ImageError> {
        let blob = LayerBlob {
            digest: descriptor.digest,
            size: descriptor.size,
            media_type: descriptor.media_type.clone(),
            repositories: self.destination.repository().into_iter().collect(),
        };
        Ok(self.images.store()?.layers().add_blob(diff_id, &blob)?)
    }

    fn tell(&self, id: &Digest, phase: LayerPhase, current: u64, total: Option<u64>) {
        self.transfer.layer(LayerProgress {
            id: *id,
            phase,
            current,
            total,
        });
    }
}

/// Says how much of the tar has been read.
struct Counted<R, F> {
    inner: R,
    count: u64,
    tell: F,
}

impl<R: Read, F: Fn(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        (self.tell)(self.count);
        Ok(read)
    }
}

struct SharedStream<'a, 'b>(&'a std::cell::RefCell<&'b mut Compressed>);

impl Read for SharedStream<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}
