//! What takes how much of the disk, the build cache aside, which the builder knows.

use gantry_model::ContainerRecord;
use gantry_model::record::Status;

use super::{System, SystemError};
use crate::containers::ListOptions;
use crate::images::{ImageFilters, ImageRow};
use crate::volumes::Volume;

/// Disk usage, in three of Docker's four groups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DiskUsage {
    /// Images.
    pub images: Group,
    /// Containers.
    pub containers: Group,
    /// Volumes.
    pub volumes: Group,
    /// Each image.
    pub each_image: Vec<ImageShare>,
    /// Each container.
    pub each_container: Vec<ContainerShare>,
    /// Each volume.
    pub each_volume: Vec<VolumeShare>,
}

/// One group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group {
    /// How many there are.
    pub count: u64,
    /// How many are in use.
    pub active: u64,
    /// Bytes they take.
    pub size: u64,
    /// Bytes that a prune would set free.
    pub reclaimable: u64,
}

/// What one image takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageShare {
    /// The image, under one of its names.
    pub row: ImageRow,
    /// Bytes of layers it shares with others.
    pub shared: u64,
    /// Bytes of its own.
    pub unique: u64,
}

/// What one container takes.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerShare {
    /// Its document.
    pub record: ContainerRecord,
    /// What it is doing.
    pub status: Status,
    /// Bytes of its writable layer and its log.
    pub size: u64,
}

/// What one volume takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeShare {
    /// The volume.
    pub volume: Volume,
    /// How many containers use it.
    pub links: usize,
    /// Bytes of its files.
    pub size: u64,
}

impl System<'_> {
    /// Measures everything.
    ///
    /// # Errors
    /// [`SystemError`].
    pub fn disk_usage(&self) -> Result<DiskUsage, SystemError> {
        let mut usage = DiskUsage::default();
        self.measure_images(&mut usage)?;
        self.measure_containers(&mut usage)?;
        self.measure_volumes(&mut usage)?;
        Ok(usage)
    }

    fn measure_images(&self, usage: &mut DiskUsage) -> Result<(), SystemError> {
        let store = self.engine.store()?.usage(&self.engine.roots()?)?;
        let rows = self.engine.images().list(&ImageFilters::default())?;
        usage.images = Group {
            count: store.images.len() as u64,
            active: store.images.iter().filter(|image| image.in_use).count() as u64,
            size: store.images_bytes,
            reclaimable: store.images_reclaimable,
        };
        for image in store.images {
            let Some(row) = rows.iter().find(|row| row.id == image.id) else {
                continue;
            };
            let unique = image.size.saturating_sub(image.shared);
            usage.each_image.push(ImageShare {
                row: row.clone(),
                shared: image.shared,
                unique,
            });
        }
        Ok(())
    }

    fn measure_containers(&self, usage: &mut DiskUsage) -> Result<(), SystemError> {
        let group = &mut usage.containers;
        let containers = self.engine.containers();
        for view in containers.list(ListOptions {
            all: true,
            sizes: true,
        })? {
            // Its log is on the same disk, and goes with it.
            let size = view.size.unwrap_or(0) + containers.log_size(&view.record);
            let active = matches!(
                view.state.status,
                Status::Running | Status::Paused | Status::Restarting
            );
            group.count += 1;
            group.active += u64::from(active);
            group.size += size;
            group.reclaimable += if active { 0 } else { size };
            usage.each_container.push(ContainerShare {
                record: view.record,
                status: view.state.status,
                size,
            });
        }
        Ok(())
    }

    fn measure_volumes(&self, usage: &mut DiskUsage) -> Result<(), SystemError> {
        let volumes = self.engine.volumes();
        let users = volumes.users()?;
        let group = &mut usage.volumes;
        for volume in volumes.list()? {
            let size = volumes.size(&volume)?;
            let links = users
                .known
                .get(&volume.name)
                .map_or(0, std::collections::BTreeSet::len);
            group.count += 1;
            group.active += u64::from(links > 0);
            group.size += size;
            group.reclaimable += if links > 0 { 0 } else { size };
            usage.each_volume.push(VolumeShare {
                volume,
                links,
                size,
            });
        }
        Ok(())
    }
}
