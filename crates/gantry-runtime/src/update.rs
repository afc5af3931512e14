//! Changing the limits of a container that is there.

use oci_spec::runtime::LinuxResources;

use crate::cgroup::CgroupHandle;
use crate::error::StartError;
use crate::plan;

/// Applies `linux.resources` to a cgroup; what they do not name stays as it is. Device rules are
/// only taken when a cgroup is made.
pub fn update(cgroup: &CgroupHandle, resources: &LinuxResources) -> Result<(), StartError> {
    let settings = plan::settings(resources)?;
    if let Some(unit) = cgroup.unit() {
        unit.update(&settings)?;
    }
    cgroup
        .open()
        .apply(&settings)
        .map_err(|source| StartError::Cgroup { source })
}
