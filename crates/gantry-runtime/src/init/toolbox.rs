//! A root of tools of one's own inside a container's namespaces (`debug`).
//!
//! The tools are mounted in a mount namespace that only the new process is in, as its root; the
//! container's root is seen below it at [`CONTAINER`]. The container sees none of it.

use gantry_sys::mount::{self, Attributes, Mount, Overlay, Propagation};
use gantry_sys::path::Directory;
use gantry_sys::process::{Namespace, NamespaceSet};
use rustix::fs::{Mode, OFlags};

use super::{OrFail, mount_failed};
use crate::error::Step;
use crate::launch::OverlayRoot;
use crate::protocol::Failure;

/// Where the container's root is seen among the tools.
const CONTAINER: &str = "/container";
/// What the tools share with the container, where both have such a place.
const SHARED: [&str; 5] = ["/dev", "/proc", "/sys", "/etc/hosts", "/etc/resolv.conf"];

fn new_mount_namespace() -> Result<(), Failure> {
    let mounts: NamespaceSet = [Namespace::Mount].into_iter().collect();
    mounts.unshare().or_fail(Step::NewNamespace)?;
    mount::change_everything(Propagation::Private).map_err(mount_failed(Step::Propagation, "/"))
}

/// Mounts the tools, still among the caller's files.
pub(crate) fn mount(parts: &OverlayRoot) -> Result<Mount, Failure> {
    new_mount_namespace()?;
    Overlay {
        lowers: &parts.lowers,
        upper: Some((&parts.upper, &parts.work)),
        volatile: parts.volatile,
        ..Overlay::default()
    }
    .mount(Attributes::NO_DEVICES)
    .map_err(mount_failed(Step::RootFs, &parts.upper))
}

/// Makes the tools the root of this process, which has joined the container.
pub(crate) fn enter(tools: Mount) -> Result<(), Failure> {
    new_mount_namespace()?;
    let container =
        Mount::copy_of("/".as_ref(), true).map_err(mount_failed(Step::MountSource, "/"))?;
    let shared: Vec<(&str, Mount)> = SHARED
        .iter()
        .filter_map(|path| Some((*path, Mount::copy_of(path.as_ref(), true).ok()?)))
        .collect();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Any directory serves as the place; every container has this one.
    let place =
        rustix::fs::open("/proc", flags, Mode::empty()).or_fail_at(Step::RootFs, "/proc")?;
    tools
        .attach(&place)
        .map_err(mount_failed(Step::RootFs, "/proc"))?;
    let root = Directory::from(std::os::fd::OwnedFd::from(tools));
    let place = root
        .open_in_root(CONTAINER, OFlags::PATH, 0)
        .or_fail_at(Step::MountTarget, CONTAINER)?;
    container
        .attach(&place)
        .map_err(mount_failed(Step::Mount, CONTAINER))?;
    for (path, mount) in shared {
        let Ok(place) = root.open_in_root(path, OFlags::PATH, 0) else {
            continue;
        };
        mount
            .attach(&place)
            .map_err(mount_failed(Step::Mount, path))?;
    }
    mount::pivot_root(&root).map_err(mount_failed(Step::PivotRoot, "/"))
}
