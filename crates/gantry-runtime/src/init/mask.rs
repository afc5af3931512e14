//! Paths that the container must not see into, or not write to.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use gantry_sys::devices;
use gantry_sys::mount::{Attributes, Change, FsContext, Mount, MountError};
use gantry_sys::path::{Directory, if_there};
use rustix::fs::{FileType, OFlags, fstat};

use super::{OrFail, mount_failed};
use crate::error::Step;
use crate::protocol::Failure;

/// Covers files with the null device and directories with an empty read-only file system.
pub(super) fn hide(root: &Directory, paths: &[PathBuf]) -> Result<(), Failure> {
    let mut null: Option<Mount> = None;
    let mut empty: Option<Mount> = None;
    for path in paths {
        let Some(place) = open(root, path, Step::MaskPath)? else {
            continue;
        };
        let stat = fstat(&place).or_fail_at(Step::MaskPath, path)?;
        let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            another(&mut empty, empty_directory)
        } else {
            another(&mut null, || null_device(root))
        };
        cover
            .and_then(|cover| cover.attach(&place))
            .map_err(mount_failed(Step::MaskPath, path))?;
    }
    Ok(())
}

/// One more mount of the same kind: made once and copied from then on. The first one is attached
/// too, because older kernels copy only what is attached; so it is the first to be used.
fn another(
    first: &mut Option<Mount>,
    make: impl FnOnce() -> Result<Mount, MountError>,
) -> Result<Mount, MountError> {
    match first {
        Some(first) => Mount::copy_of_fd(&*first, false),
        None => {
            let made = make()?;
            *first = Some(made.try_clone()?);
            Ok(made)
        }
    }
}

/// The container's own null device, if it has a true one; else the host's.
fn null_device(root: &Directory) -> Result<Mount, MountError> {
    let own = root.open_beneath("dev/null", OFlags::PATH, 0);
    match own {
        Ok(own) if fstat(&own).is_ok_and(|stat| devices::is_null(&stat)) => {
            Mount::copy_of_fd(&own, false)
        }
        _ => Mount::copy_of(Path::new("/dev/null"), false),
    }
}

fn empty_directory() -> Result<Mount, MountError> {
    let context = FsContext::new(OsStr::new("tmpfs"))?;
    context.string("source", OsStr::new("tmpfs"))?;
    context.string("mode", OsStr::new("755"))?;
    context.string("nr_inodes", OsStr::new("2"))?;
    context.create()?;
    let closed = Attributes::READ_ONLY
        .with(Attributes::NO_SETUID)
        .with(Attributes::NO_DEVICES)
        .with(Attributes::NO_EXECUTE);
    context.mount(closed)
}

/// Covers paths with read-only copies of themselves.
pub(super) fn protect(root: &Directory, paths: &[PathBuf]) -> Result<(), Failure> {
    let change = Change {
        set: Attributes::READ_ONLY,
        ..Change::default()
    };
    for path in paths {
        let Some(place) = open(root, path, Step::ReadonlyPath)? else {
            continue;
        };
        Mount::copy_of_fd(&place, true)
            .and_then(|copy| copy.change(&change, true).map(|()| copy))
            .and_then(|copy| copy.attach(&place))
            .map_err(mount_failed(Step::ReadonlyPath, path))?;
    }
    Ok(())
}

/// The path inside the root; `None` when this kernel or image does not have it.
fn open(root: &Directory, path: &Path, step: Step) -> Result<Option<OwnedFd>, Failure> {
    let place = root.open_in_root(path, OFlags::PATH, 0);
    if_there(place).map_err(|error| Failure::at(step, path, &error))
}
