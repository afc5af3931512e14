//! Base images of a build, out of the engine.

use gantry_build::base::PullStatus;
use gantry_build::{BaseImage, BaseImageError, BaseImages, PullPolicy};
use gantry_engine::Engine;
use gantry_engine::images::{self, LayerProgress, Transfer};
use gantry_model::{Platform, Reference};

/// The engine's images as a build wants them.
#[derive(Debug)]
pub(crate) struct EngineBases<'a> {
    engine: &'a Engine,
}

impl<'a> EngineBases<'a> {
    /// The images of `engine`.
    pub(crate) const fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }
}

impl BaseImages for EngineBases<'_> {
    fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        policy: PullPolicy,
        status: &(dyn Fn(PullStatus) + Sync),
    ) -> Result<BaseImage, BaseImageError> {
        let policy = match policy {
            PullPolicy::Missing => images::PullPolicy::Missing,
            PullPolicy::Always => images::PullPolicy::Always,
            PullPolicy::Never => images::PullPolicy::Never,
        };
        let image = self
            .engine
            .images()
            .resolve_or_pull(
                &reference.to_string(),
                Some(platform),
                policy,
                &Told(status),
            )
            .map_err(BaseImageError::new)?;
        let repository = reference.name();
        let manifest = reference.digest().copied().or_else(|| {
            image
                .digests
                .iter()
                .find(|d| d.repository == repository)
                .map(|d| d.digest)
        });
        Ok(BaseImage {
            id: image.id,
            manifest,
            config: image.config,
        })
    }
}

/// Tells the builder of the engine's progress.
struct Told<'a>(&'a (dyn Fn(PullStatus) + Sync));

impl Transfer for Told<'_> {
    fn layer(&self, progress: LayerProgress) {
        (self.0)(PullStatus {
            id: progress.id.to_string(),
            current: progress.current,
            total: progress.total,
            done: progress.phase.is_final(),
        });
    }
}
