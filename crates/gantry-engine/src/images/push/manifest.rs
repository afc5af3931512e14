//! The manifest that an image came with.

use std::collections::HashMap;

use gantry_model::image::{Descriptor, Manifest};
use gantry_model::{Digest, media_type};
use gantry_store::Image;

use crate::images::document::{DOCUMENT_LIMIT, Document, Family};
use crate::images::{ImageError, Images};

/// A manifest that was pulled or pushed before.
#[derive(Debug, Clone)]
pub(in crate::images) struct Original {
    pub(in crate::images) document: Document,
    pub(super) family: Family,
    manifest: Manifest,
}

impl Original {
    /// The compressed form of each layer.
    pub(super) fn layers(&self, diff_ids: &[Digest]) -> HashMap<Digest, Descriptor> {
        diff_ids
            .iter()
            .copied()
            .zip(self.manifest.layers.iter().cloned())
            .collect()
    }

    /// Whether these are its layers.
    pub(super) fn has(&self, layers: &[Descriptor]) -> bool {
        let digests = |all: &[Descriptor]| all.iter().map(|l| l.digest).collect::<Vec<_>>();
        digests(&self.manifest.layers) == digests(layers)
    }
}

impl Images<'_> {
    /// The manifest that an image came with, if one is kept.
    pub(in crate::images) fn original(
        &self,
        image: &Image,
    ) -> Result<Option<Original>, ImageError> {
        let blobs = self.store()?.blobs();
        let mut digests = image.blobs.clone();
        digests.sort();
        for digest in digests {
            // A damaged one is `system check`'s to tell of; a new manifest will do.
            let Ok(bytes) = blobs.read(&digest, DOCUMENT_LIMIT) else {
                continue;
            };
            // An index does not parse as a manifest: it has no configuration.
            let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
                continue;
            };
            if manifest.config.digest != image.id || manifest.layers.len() != image.layers.len() {
                continue;
            }
            let media_type = match manifest.media_type.as_str() {
                // OCI 1.0 left it out.
                "" => media_type::OCI_MANIFEST.to_owned(),
                written => written.to_owned(),
            };
            let family = Family::of(&media_type);
            let descriptor = Descriptor::new(&media_type, digest, bytes.len() as u64);
            return Ok(Some(Original {
                document: Document { descriptor, bytes },
                family,
                manifest,
            }));
        }
        Ok(None)
    }
}
