//! What of a container lies outside it, for those who write one to disk and bring it back.

use std::path::PathBuf;

use gantry_sys::process::Namespace;
use oci_spec::runtime::Spec;

use super::container::{cgroup, devices, linux};
use super::mount::mounts;
use super::{MountSource, Observed, namespace};
use crate::error::PlanError;

/// A mount in a container whose contents are the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalMount {
    /// Where it is in the container.
    pub target: PathBuf,
    /// What of the host is mounted there.
    pub source: PathBuf,
}

/// The mounts of a document whose contents are the host's, in its order.
pub(crate) fn external_mounts(
    spec: &Spec,
    observed: &Observed,
) -> Result<Vec<ExternalMount>, PlanError> {
    let linux = linux(spec)?;
    let namespaces = namespace::namespaces(linux)?;
    let cgroup = cgroup(spec, linux, observed)?;
    let path = cgroup.as_ref().map(|cgroup| cgroup.path.as_path());
    let mut external = Vec::new();
    let mut add = |target, source| external.push(ExternalMount { target, source });
    for mount in mounts(spec, observed, path)? {
        let target = mount.target;
        match mount.source {
            MountSource::Bind { path, .. } => add(target, path),
            MountSource::BindBelow { path, subpath, .. } => add(target, path.join(subpath)),
            // With a cgroup namespace of its own these are whole file systems of the container's.
            MountSource::CgroupUnified { directory } if !namespaces.new_cgroup => {
                add(target, directory);
            }
            MountSource::CgroupHierarchies { directories, .. } if !namespaces.new_cgroup => {
                for (name, directory) in directories {
                    add(target.join(name), directory);
                }
            }
            MountSource::BindElsewhere { .. } | MountSource::Overlay { .. } => {
                return Err(PlanError::Unsupported {
                    feature: format!("the kind of mount at {} on disk", target.display()),
                });
            }
            _ => {}
        }
    }
    if observed.user_namespace || namespaces.new.contains(Namespace::User) {
        for device in devices(linux, true)? {
            add(device.path.clone(), device.path);
        }
    }
    Ok(external)
}

/// The paths of a root file system that mounts of a document are put on: those that are not on
/// another of its mounts. With each, whether what is mounted there is a file of the host.
pub(crate) fn mount_points(
    spec: &Spec,
    observed: &Observed,
) -> Result<Vec<(PathBuf, bool)>, PlanError> {
    let cgroup = cgroup(spec, linux(spec)?, observed)?;
    let path = cgroup.as_ref().map(|cgroup| cgroup.path.as_path());
    let mut points: Vec<(PathBuf, bool)> = Vec::new();
    for mount in mounts(spec, observed, path)? {
        let target = mount.target;
        if points.iter().all(|(above, _)| !target.starts_with(above)) {
            let file = matches!(&mount.source, MountSource::Bind { path, .. } if path.is_file());
            points.push((target, file));
        }
    }
    Ok(points)
}
