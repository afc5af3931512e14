//! Taking away what nobody needs.

use gantry_model::ContainerId;
use jiff::Timestamp;

use super::{System, SystemError};
use crate::images::{self, ImageFilters};

/// What a prune of the whole installation takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// All images that no container uses, not only those without a tag.
    pub all: bool,
    /// Anonymous volumes, too.
    pub volumes: bool,
    /// Only what fits: `label`, `label!` and `until` count here.
    pub filters: ImageFilters,
}

/// What it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Containers.
    pub containers: Vec<ContainerId>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Images.
    pub images: images::Pruned,
    /// Bytes of disk set free in all.
    pub bytes: u64,
}

impl System<'_> {
    /// Removes stopped containers, images and (when asked) anonymous volumes that nobody uses.
    ///
    /// # Errors
    /// [`SystemError`].
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned, SystemError> {
        let filters = &options.filters;
        let keep = |record: &gantry_model::ContainerRecord| {
            let created: Timestamp = record.created.parse().unwrap_or_default();
            !filters.labels_fit(&record.spec.labels)
                || filters.until.is_some_and(|limit| created >= limit)
        };
        let containers = self.engine.containers().prune(&keep)?;
        let mut pruned = Pruned {
            bytes: containers.reclaimed,
            containers: containers.deleted,
            ..Pruned::default()
        };
        if options.volumes {
            let keep = |volume: &crate::volumes::Volume| !filters.labels_fit(&volume.labels);
            let volumes = self.engine.volumes().prune(false, &keep)?;
            pruned.bytes += volumes.reclaimed;
            pruned.volumes = volumes.deleted;
        }
        let images = images::PruneOptions {
            all: options.all,
            filters: filters.clone(),
        };
        pruned.images = self.engine.images().prune(&images)?;
        pruned.bytes += pruned.images.bytes;
        Ok(pruned)
    }
}
