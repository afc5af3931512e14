//! Base images of a build, out of the engine.

use std::sync::{Mutex, PoisonError};

use gantry_build::base::PullStatus;
use gantry_build::{BaseImage, BaseImageError, BaseImages, BaseSource, PullPolicy};
use gantry_engine::Engine;
use gantry_engine::images::{self, LayerProgress, Transfer};
use gantry_model::layout::LayoutReference;
use gantry_model::{Platform, Reference};
use gantry_store::Lease;

/// The engine's images as a build wants them.
#[derive(Debug)]
pub(crate) struct EngineBases<'a> {
    engine: &'a Engine,
    /// What holds the layers that came without an image, for as long as this is used.
    leases: Mutex<Vec<Lease>>,
}

impl<'a> EngineBases<'a> {
    /// The images of `engine`.
    pub(crate) const fn new(engine: &'a Engine) -> Self {
        Self {
            engine,
            leases: Mutex::new(Vec::new()),
        }
    }

    fn named(
        &self,
        reference: &Reference,
        platform: &Platform,
        policy: PullPolicy,
        transfer: &dyn Transfer,
    ) -> Result<BaseImage, BaseImageError> {
        let policy = match policy {
            PullPolicy::Missing => images::PullPolicy::Missing,
            PullPolicy::Always => images::PullPolicy::Always,
            PullPolicy::Never => images::PullPolicy::Never,
        };
        let image = self
            .engine
            .images()
            .base(reference, platform, policy, transfer)
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

    fn of_layout(
        &self,
        layout: &LayoutReference,
        platform: &Platform,
        policy: PullPolicy,
        transfer: &dyn Transfer,
    ) -> Result<BaseImage, BaseImageError> {
        let store = self.engine.store().map_err(BaseImageError::new)?;
        let lease = match policy {
            PullPolicy::Never => None,
            _ => Some(store.lease().map_err(BaseImageError::new)?),
        };
        let image = self
            .engine
            .images()
            .from_layout(layout, platform, lease.as_ref(), transfer)
            .map_err(BaseImageError::new)?;
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.extend(lease);
        Ok(BaseImage {
            id: image.id,
            manifest: Some(image.digest),
            config: image.config,
        })
    }
}

impl BaseImages for EngineBases<'_> {
    fn resolve(
        &self,
        source: &BaseSource,
        platform: &Platform,
        policy: PullPolicy,
        status: &(dyn Fn(PullStatus) + Sync),
    ) -> Result<BaseImage, BaseImageError> {
        let transfer = Told(status);
        match source {
            BaseSource::Named(name) => self.named(name, platform, policy, &transfer),
            BaseSource::Layout(layout) => self.of_layout(layout, platform, policy, &transfer),
        }
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
