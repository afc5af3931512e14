//! Taking away what nobody needs.

use gantry_model::ContainerId;
use gantry_store::CollectPolicy;
use gantry_store::collect::RecordPolicy;
use jiff::Timestamp;

use super::{System, SystemError};
use crate::images::{self, ImageFilters};

/// What a prune of the whole installation takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// All images that no container uses, not only those without a tag; and all of the build
    /// cache.
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
    /// The build cache.
    pub cache: CachePruned,
    /// Bytes of disk set free in all.
    pub bytes: u64,
}

/// Which of the build cache goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PruneCache {
    /// All.
    #[default]
    All,
    /// What was not used for so many seconds.
    UnusedFor(u64),
    /// The least recently used, until it takes so many bytes.
    DownTo(u64),
}

/// What went of the build cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CachePruned {
    /// Records.
    pub records: u64,
    /// Bytes of disk set free.
    pub bytes: u64,
}

impl System<'_> {
    /// Removes stopped containers, images, the build cache and (when asked) anonymous volumes
    /// that nobody uses.
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
        // The cache knows no labels: a label filter leaves it alone, as Docker does.
        if filters.label.is_empty() && filters.without_label.is_empty() {
            let which = match filters.until {
                Some(limit) => PruneCache::UnusedFor(seconds_since(limit)),
                None => PruneCache::All,
            };
            pruned.cache = self.prune_build_cache(which)?;
        }
        pruned.bytes += pruned.images.bytes + pruned.cache.bytes;
        Ok(pruned)
    }

    /// Removes the build cache, or a part of it.
    ///
    /// # Errors
    /// [`SystemError`].
    pub fn prune_build_cache(&self, which: PruneCache) -> Result<CachePruned, SystemError> {
        let records = match which {
            PruneCache::All => RecordPolicy::All,
            PruneCache::UnusedFor(seconds) => RecordPolicy::UnusedFor(seconds),
            PruneCache::DownTo(bytes) => RecordPolicy::Size(bytes),
        };
        let policy = CollectPolicy {
            records,
            ..CollectPolicy::default()
        };
        let collected = self
            .engine
            .store()?
            .collect(&self.engine.roots()?, &policy)?;
        self.engine
            .tell_prune(gantry_model::EventType::Builder, collected.bytes);
        Ok(CachePruned {
            records: collected.records,
            bytes: collected.bytes,
        })
    }
}

fn seconds_since(time: Timestamp) -> u64 {
    u64::try_from(Timestamp::now().as_second() - time.as_second()).unwrap_or(0)
}
