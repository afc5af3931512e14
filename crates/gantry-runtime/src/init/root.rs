//! The root file system: mounted first, entered last.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use gantry_sys::mount::{self, Attributes, Change, Mount, Overlay, Propagation};
use gantry_sys::path::Directory;
use gantry_sys::system;
use rustix::fs::{Mode, OFlags};

use super::{OrFail, mount_failed};
use crate::error::Step;
use crate::launch::RootFs;
use crate::plan::RootPlan;
use crate::protocol::Failure;

/// Mounts the root file system at a place of the host that only this namespace sees covered.
/// `prepared` is one that the parent has mounted already.
pub(super) fn mount(plan: &RootPlan, prepared: Option<&OwnedFd>) -> Result<Directory, Failure> {
    if let Some(propagation) = plan.propagation {
        mount::change_everything(propagation).map_err(mount_failed(Step::Propagation, "/"))?;
    }
    if let Some(root) = prepared {
        return attach_prepared(root);
    }
    let (place, root) = match &plan.source {
        RootFs::Directory(path) => {
            let root = Mount::copy_of(path, true).map_err(mount_failed(Step::RootFs, path))?;
            (path, root)
        }
        RootFs::Overlay(parts) => {
            let overlay = Overlay {
                lowers: &parts.lowers,
                data: &parts.data,
                upper: Some((&parts.upper, &parts.work)),
                volatile: parts.volatile,
                label: plan.label.as_deref(),
                or_program: false,
            };
            let root = overlay
                .mount(Attributes::NONE)
                .map_err(mount_failed(Step::RootFs, &parts.upper))?;
            // Any directory serves as the place, and this one is the container's own.
            (&parts.upper, root)
        }
    };
    if plan.propagation.is_none() {
        make_private(place)?;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(place, flags, Mode::empty()).or_fail_at(Step::RootFs, place)?;
    root.attach(&opened)
        .map_err(mount_failed(Step::RootFs, place))?;
    Ok(root.into())
}

/// Folders of the host of which one serves as the place of a root that came ready made: every user
/// may look into them, and from here on nothing is needed that lies in them.
const PLACES: [&str; 4] = ["/mnt", "/tmp", "/home", "/run"];

fn attach_prepared(root: &OwnedFd) -> Result<Directory, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |place: &&str| rustix::fs::open(*place, flags, Mode::empty()).ok();
    let place = PLACES
        .iter()
        .find_map(open)
        .ok_or(rustix::io::Errno::NOENT)
        .or_fail_at(Step::RootFs, PLACES[0])?;
    let root = Mount::from(root.try_clone().or_fail(Step::RootFs)?);
    root.attach(&place)
        .map_err(mount_failed(Step::RootFs, PLACES[0]))?;
    Ok(root.into())
}

/// Keeps what is mounted at `place` from spreading to the host, where everything else is shared.
fn make_private(place: &Path) -> Result<(), Failure> {
    let mounts = system::mounts().or_fail(Step::Propagation)?;
    let place = place.canonicalize().or_fail_at(Step::Propagation, place)?;
    let holder = mounts
        .iter()
        .filter(|mount| place.starts_with(&mount.mount_point))
        .max_by_key(|mount| mount.mount_point.as_os_str().len());
    let Some(holder) = holder else {
        return Ok(());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&holder.mount_point, flags, Mode::empty())
        .or_fail_at(Step::Propagation, &holder.mount_point)?;
    let change = Change {
        propagation: Some(Propagation::Private),
        ..Change::default()
    };
    mount::change(&opened, &change, false)
        .map_err(mount_failed(Step::Propagation, &holder.mount_point))
}

/// Gives the root its last attributes and enters it.
pub(super) fn seal(root: &Directory, plan: &RootPlan) -> Result<(), Failure> {
    if plan.read_only {
        let change = Change {
            set: Attributes::READ_ONLY,
            ..Change::default()
        };
        mount::change(root.as_fd(), &change, false)
            .map_err(mount_failed(Step::ReadonlyRoot, "/"))?;
    }
    let place = match &plan.source {
        RootFs::Directory(path) => path,
        RootFs::Overlay(parts) => &parts.upper,
    };
    let entered = match plan.no_pivot {
        true => mount::move_to_root(root.as_fd()),
        false => mount::pivot_root(root.as_fd()),
    };
    entered.map_err(mount_failed(Step::PivotRoot, place))?;
    if let Some(propagation) = plan.own_propagation {
        let change = Change {
            propagation: Some(propagation),
            ..Change::default()
        };
        mount::change(root.as_fd(), &change, false)
            .map_err(mount_failed(Step::Propagation, "/"))?;
    }
    Ok(())
}
