//! The contents of `/dev`.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use gantry_sys::devices;
use gantry_sys::mount::Mount;
use gantry_sys::path::Directory;
use rustix::fs::FileType;

use super::{OrFail, mount_failed, target};
use crate::error::Step;
use crate::plan::{DeviceNode, DevicePlan, Plan};
use crate::protocol::Failure;

/// Makes the device nodes and links.
pub(super) fn fill(root: &Directory, plan: &Plan) -> Result<(), Failure> {
    // Modes are what the plan says, not what the caller's umask leaves of them.
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let made = nodes(root, plan);
    rustix::process::umask(umask);
    made
}

fn nodes(root: &Directory, plan: &Plan) -> Result<(), Failure> {
    let dev_path = Path::new("/dev");
    let dev = Directory::from(target::directory(root, dev_path)?);
    for device in &plan.devices {
        let parent = device.path.parent().unwrap_or(dev_path);
        if parent == dev_path {
            node(root, &dev, device)?;
        } else {
            node(
                root,
                &Directory::from(target::directory(root, parent)?),
                device,
            )?;
        }
    }
    for (name, to) in &plan.links {
        if *name == "core" && !Path::new(to).exists() {
            continue;
        }
        match dev.make_symlink(OsStr::new(to), OsStr::new(name)) {
            // An image or a mount has put something there.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.or_fail_at(Step::Symlink, dev_path.join(name))?,
        }
    }
    Ok(())
}

fn node(root: &Directory, parent: &Directory, device: &DevicePlan) -> Result<(), Failure> {
    if device.bind {
        return bind(root, device);
    }
    let failed = |error: io::Error| Failure::at(Step::Device, &device.path, &error);
    let name = device
        .path
        .file_name()
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let (kind, number) = match device.kind {
        DeviceNode::Character => (FileType::CharacterDevice, number(device)),
        DeviceNode::Block => (FileType::BlockDevice, number(device)),
        DeviceNode::Fifo => (FileType::Fifo, 0),
    };
    match parent.make_node(name, kind, device.mode, number) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let stat = parent.status_of(name).map_err(failed)?;
            let same = FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == number;
            // Something of the user's own, mounted there on purpose, stays.
            return if same || FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                Ok(())
            } else {
                Err(failed(error))
            };
        }
        // Inside a container of somebody else's making nodes may be forbidden.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return bind(root, device),
        Err(error) => return Err(failed(error)),
    }
    if (device.uid, device.gid) != (0, 0) {
        parent
            .set_owner(name, device.uid, device.gid)
            .map_err(failed)?;
    }
    Ok(())
}

fn number(device: &DevicePlan) -> u64 {
    devices::make(device.major, device.minor)
}

/// Shows the host's node of the same path.
fn bind(root: &Directory, device: &DevicePlan) -> Result<(), Failure> {
    let place = target::file(root, &device.path)?;
    Mount::copy_of(&device.path, false)
        .and_then(|copy| copy.attach(&place))
        .map_err(mount_failed(Step::Device, &device.path))
}
