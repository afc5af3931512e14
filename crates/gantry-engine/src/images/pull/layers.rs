//! The layers of a pull, several at once.

use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_model::image::{Descriptor, ImageConfig, Manifest};
use gantry_model::{Digest, Reference, media_type};
use gantry_store::{LayerBlob, Lease, UnpackOptions};

use crate::images::progress::{LayerPhase, LayerProgress, Transfer};
use crate::images::{ImageError, Images, parallel};

/// Connections at once, where there are not more processors.
const CONNECTIONS: usize = 3;

/// One layer to be fetched.
struct Job<'a> {
    blob: &'a Descriptor,
    diff_id: Digest,
}

impl Images<'_> {
    /// Brings the layers into the store that are not there; holds those that are.
    pub(super) fn fetch_layers(
        &self,
        reference: &Reference,
        manifest: &Manifest,
        config: &ImageConfig,
        lease: &Lease,
        transfer: &dyn Transfer,
    ) -> Result<(), ImageError> {
        let ids: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
        let named = match (reference.tag(), reference.digest()) {
            (_, Some(digest)) => digest.to_string(),
            (tag, None) => tag.unwrap_or("latest").to_owned(),
        };
        transfer.begin(
            &named,
            reference.familiar_name().trim_start_matches("docker.io/"),
            &ids,
        );
        let mut seen = HashSet::new();
        let mut jobs = Vec::new();
        for (blob, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            if !seen.insert(*diff_id) {
                continue;
            }
            if lease.layer(diff_id)? {
                self.note_source(reference, blob, diff_id)?;
                tell(transfer, blob, LayerPhase::AlreadyExists, 0);
                continue;
            }
            if media_type::layer_compression(&blob.media_type).is_none() {
                let media_type = blob.media_type.clone();
                return Err(ImageError::LayerType {
                    digest: blob.digest,
                    media_type,
                });
            }
            tell(transfer, blob, LayerPhase::Waiting, 0);
            jobs.push(Job {
                blob,
                diff_id: *diff_id,
            });
        }
        // The largest first: what is begun last then ends soon.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.blob.size));
        parallel::each(jobs, CONNECTIONS, |job, stop| {
            self.fetch(reference, &job, stop, transfer)
        })
    }

    fn fetch(
        &self,
        reference: &Reference,
        job: &Job<'_>,
        stop: &AtomicBool,
        transfer: &dyn Transfer,
    ) -> Result<(), ImageError> {
        let Job { blob, diff_id } = job;
        tell(transfer, blob, LayerPhase::Downloading, 0);
        let body = self.client()?.blob(reference, blob)?;
        let body = Stoppable { inner: body, stop };
        let progress = |read: u64| {
            let phase = if read < blob.size {
                LayerPhase::Downloading
            } else {
                LayerPhase::Extracting
            };
            tell(transfer, blob, phase, read);
        };
        self.unpack_blob(body, blob, diff_id, Some(&progress))?;
        self.note_source(reference, blob, diff_id)?;
        tell(transfer, blob, LayerPhase::PullComplete, blob.size);
        Ok(())
    }

    /// Unpacks a compressed layer as it comes, held to what its manifest and its image say of it.
    pub(crate) fn unpack_blob(
        &self,
        body: impl Read + Send,
        blob: &Descriptor,
        diff_id: &Digest,
        progress: Option<&(dyn Fn(u64) + Sync)>,
    ) -> Result<(), ImageError> {
        let options = UnpackOptions {
            blob: Some((blob.digest, blob.size)),
            diff_id: Some(*diff_id),
            progress,
            ..UnpackOptions::default()
        };
        let body = BufReader::with_capacity(256 << 10, body);
        let unpacked = self.store()?.layers().unpack(body, &options);
        unpacked.map(drop).map_err(|source| ImageError::Unpack {
            layer: blob.digest.to_string(),
            source,
        })
    }

    /// Remembers where a compressed layer is, so that a push need not carry it there again.
    pub(crate) fn note_source(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        diff_id: &Digest,
    ) -> Result<(), ImageError> {
        let note = LayerBlob {
            digest: blob.digest,
            size: blob.size,
            media_type: blob.media_type.clone(),
            repositories: vec![reference.name()],
        };
        Ok(self.store()?.layers().add_blob(diff_id, &note)?)
    }
}

fn tell(transfer: &dyn Transfer, blob: &Descriptor, phase: LayerPhase, current: u64) {
    transfer.layer(LayerProgress {
        id: blob.digest,
        phase,
        current,
        total: Some(blob.size),
    });
}

/// A stream that ends in an error once another one failed.
struct Stoppable<'a, R> {
    inner: R,
    stop: &'a AtomicBool,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("another layer of the image failed"));
        }
        self.inner.read(buffer)
    }
}
