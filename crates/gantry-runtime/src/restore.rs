//! What a container that comes back from disk needs beside its processes.

use std::path::Path;

use gantry_sys::path::Directory;
use oci_spec::runtime::Spec;

use crate::cgroup::CgroupHandle;
use crate::container;
use crate::error::{PlanError, StartError};
use crate::init::target;
use crate::observe::observe;
use crate::plan::{self, CgroupPlan, Observed};

pub use crate::plan::ExternalMount;

/// The mounts of a document whose contents are the host's: they are not written to disk with the
/// container.
///
/// # Errors
/// [`PlanError`] for a document that could not be started either, and for kinds of mounts that
/// cannot be found again.
pub fn external_mounts(spec: &Spec) -> Result<Vec<ExternalMount>, PlanError> {
    plan::external_mounts(spec, &observe())
}

/// Makes the directories and files of a root file system that a document's mounts are put on.
pub fn make_mount_points(spec: &Spec, rootfs: &Path) -> Result<(), StartError> {
    let root = Directory::open(rootfs).map_err(|source| StartError::Parent {
        action: "open the root file system",
        source,
    })?;
    for (target, file) in plan::mount_points(spec, &observe())? {
        match file {
            true => target::file(&root, &target)?,
            false => target::directory(&root, &target)?,
        };
    }
    Ok(())
}

/// Makes the cgroup of a document, empty; `None` for one that asks for none. Devices are still
/// free in it: whoever makes processes come back needs some that they may not have.
pub fn make_cgroup(spec: &Spec) -> Result<Option<CgroupHandle>, StartError> {
    let observed = observe();
    let mut wanted = wanted_cgroup(spec, &observed)?;
    if let Some(wanted) = &mut wanted {
        wanted.settings.devices = None;
    }
    let cgroup = container::make_cgroup(wanted.as_ref(), observed.cgroups.as_ref())?;
    Ok(cgroup.as_ref().map(CgroupHandle::of))
}

/// Applies the device rules of a document to a cgroup of [`make_cgroup`].
pub fn restrict_devices(spec: &Spec, cgroup: &CgroupHandle) -> Result<(), StartError> {
    match wanted_cgroup(spec, &observe())? {
        Some(wanted) => cgroup
            .open()
            .apply_devices(&wanted.settings)
            .map_err(|source| StartError::Cgroup { source }),
        None => Ok(()),
    }
}

fn wanted_cgroup(spec: &Spec, observed: &Observed) -> Result<Option<CgroupPlan>, PlanError> {
    let linux = spec.linux().as_ref();
    linux.map_or(Ok(None), |linux| plan::cgroup(spec, linux, observed))
}
