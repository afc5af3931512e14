//! Making an image of the tar of a root file system.

use std::io::{BufReader, Read};

use gantry_model::image::{History, ImageConfig, ProcessConfig, RootFs};
use gantry_model::{Digest, Platform, Reference};
use gantry_store::{NewImage, UnpackOptions};

use super::{ImageError, Images, change, document};

/// How the image is to be.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Its name.
    pub reference: Option<Reference>,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Remark in the history.
    pub message: Option<String>,
    /// Platform; the host's by default.
    pub platform: Option<Platform>,
    /// Where the tar comes from, for the remark: `-`, a path, an address.
    pub source: String,
}

impl Images<'_> {
    /// Makes an image of one layer out of a tar, plain or compressed by gzip or zstd; its id.
    ///
    /// # Errors
    /// [`ImageError::Unpack`] when it is no tar or does harm, [`ImageError::Change`].
    pub fn import(
        &self,
        tar: &mut (dyn Read + Send),
        options: &ImportOptions,
    ) -> Result<Digest, ImageError> {
        if let Some(reference) = &options.reference
            && reference.digest().is_some()
        {
            return Err(ImageError::ByDigest {
                verb: "import to",
                reference: Box::new(reference.clone()),
            });
        }
        let mut process = ProcessConfig::default();
        change::apply(&mut process, &options.changes)?;
        let store = self.store()?;
        let layer = store
            .layers()
            .unpack(
                BufReader::with_capacity(256 << 10, tar),
                &UnpackOptions::default(),
            )
            .map_err(|source| ImageError::Unpack {
                layer: "of the archive".to_owned(),
                source,
            })?;
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let created = document::now();
        let comment = match &options.message {
            Some(message) => message.clone(),
            None => format!("Imported from {}", options.source),
        };
        let config = ImageConfig {
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            config: process,
            created: Some(created.clone()),
            history: vec![History {
                created: Some(created),
                comment,
                ..History::default()
            }],
            rootfs: RootFs {
                diff_ids: vec![layer.diff_id],
                ..RootFs::default()
            },
            ..ImageConfig::default()
        };
        let image = NewImage {
            config: &document::json(&config),
            tags: options.reference.iter().cloned().collect(),
            ..NewImage::default()
        };
        let id = store.images().put(&image)?;
        let name = options.reference.as_ref().map(Reference::familiar);
        self.tell(
            "import",
            &id.to_string(),
            &name.unwrap_or_else(|| id.to_string()),
        );
        Ok(id)
    }
}
