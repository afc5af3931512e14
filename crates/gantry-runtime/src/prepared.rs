//! What the parent mounts for a child in a user namespace of its own: in there nobody may see a
//! file system's owners otherwise than they are, nor look into folders of the host's root. And
//! what every caller without power over the machine mounts before, since a program outside of the
//! container may have to do it.
//!
//! Layers are shown through an ID-mapped mount with the container's mapping, so that the files of
//! one layer belong to the users of any number of containers, and nothing is ever chowned.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use gantry_sys::capability;
use gantry_sys::mount::{self, Attributes, Change, Mount, MountError, Overlay, Propagation};
use gantry_sys::process::{self, Fork, IdMapping, Namespace};
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};

use crate::error::{StartError, Step};
use crate::init::{OrFail, mount_failed, part_of};
use crate::launch::{OverlayRoot, RootFs};
use crate::plan::{IdMaps, MountPlan, MountSource, Plan};
use crate::protocol::Failure;

/// Mounts that the child only has to put into their places.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The root file system.
    pub(crate) root: Option<OwnedFd>,
    /// For each mount of the plan what it shows.
    pub(crate) copies: Vec<Option<OwnedFd>>,
}

impl Prepared {
    /// Everything that the child could not mount itself. Whoever has no power over the machine
    /// cannot show files with other owners: its layers come with those that they are to have.
    pub(crate) fn make(plan: &Plan) -> Result<Prepared, StartError> {
        let own = plan.namespaces.id_maps.as_ref();
        let elsewhere = own.is_some() || plan.namespaces.joins_users();
        let copies = plan
            .mounts
            .iter()
            .map(|mount| match elsewhere || mount.id_map.is_some() {
                true => copy(mount),
                false => Ok(None),
            })
            .collect::<Result<_, Failure>>()?;
        let root = match (own, &plan.root.source) {
            (Some(maps), RootFs::Overlay(parts)) => {
                let seen_by = process::is_in_initial_user_namespace().then_some(maps);
                Some(overlay(parts, seen_by, plan.root.label.as_deref())?)
            }
            // Nothing that a container could look into may serve its files.
            (None, RootFs::Overlay(parts)) if !process::is_in_initial_user_namespace() => {
                Some(overlay(parts, None, plan.root.label.as_deref())?)
            }
            _ => None,
        };
        Ok(Prepared { root, copies })
    }
}

fn copy(plan: &MountPlan) -> Result<Option<OwnedFd>, Failure> {
    let (copy, source) = match &plan.source {
        MountSource::Bind { path, recursive } => {
            let copy = Mount::copy_of(path, *recursive);
            (copy.map_err(mount_failed(Step::MountSource, path))?, path)
        }
        MountSource::BindBelow {
            path,
            subpath,
            recursive,
        } => (part_of(path, subpath, *recursive)?, path),
        _ => return Ok(None),
    };
    if let Some((maps, recursive)) = &plan.id_map {
        let namespace = process::user_namespace(&maps.uids, &maps.gids)
            .map_err(|error| Failure::at(Step::IdMap, source, &error))?;
        map_owners(&copy, &namespace, *recursive).map_err(mount_failed(Step::IdMap, source))?;
    }
    Ok(Some(copy.into()))
}

fn map_owners(mount: &Mount, namespace: &OwnedFd, recursive: bool) -> Result<(), MountError> {
    let change = Change {
        id_map: Some(namespace.as_fd()),
        ..Change::default()
    };
    mount.change(&change, recursive)
}

/// An overlay of layers, ID-mapped if `maps` say so. It is made by a process with a mount namespace
/// of its own, where each layer is covered with itself as the container sees it.
fn overlay(
    parts: &OverlayRoot,
    maps: Option<&IdMaps>,
    label: Option<&str>,
) -> Result<OwnedFd, StartError> {
    let failed = |source| StartError::Parent {
        action: "mount the layers with other owners",
        source,
    };
    let namespace = |maps: &IdMaps| process::user_namespace(&maps.uids, &maps.gids);
    let namespace = maps.map(namespace).transpose().map_err(failed)?;
    let seen_by = maps.zip(namespace.as_ref());
    let (ours, theirs) = gantry_sys::fd::socket_pair().map_err(failed)?;
    let fork = Fork {
        namespaces: [Namespace::Mount].into_iter().collect(),
        cgroup: None,
    };
    let child = fork
        .run(|| match mounted(parts, seen_by, label) {
            Ok(made) => i32::from(gantry_sys::fd::send(&theirs, &[0], &[made.as_fd()]).is_err()),
            Err(failure) => {
                let errno = failure.errno.to_ne_bytes();
                let step = [failure.step.number()];
                let path = failure.path.unwrap_or_default();
                let path = path.as_os_str().as_encoded_bytes();
                let said = [&step[..], &errno, path].concat();
                i32::from(gantry_sys::fd::send(&theirs, &said, &[]).is_err())
            }
        })
        .map_err(failed)?;
    drop(theirs);
    let mut buffer = vec![0; 8192];
    let answer = gantry_sys::fd::receive(&ours, &mut buffer).map_err(failed);
    child.wait().map_err(failed)?;
    let answer = answer?;
    if let Some(made) = answer.fds.into_iter().next() {
        return Ok(made);
    }
    Err(match told(&buffer[..answer.length]) {
        Some(failure) => failure.into(),
        None => failed(io::ErrorKind::UnexpectedEof.into()),
    })
}

fn told(said: &[u8]) -> Option<Failure> {
    let (step, rest) = said.split_first()?;
    let (errno, path) = rest.split_first_chunk::<4>()?;
    let error = io::Error::from_raw_os_error(i32::from_ne_bytes(*errno));
    let path = String::from_utf8_lossy(path).into_owned();
    Some(Failure::at(Step::from_number(*step)?, path, &error))
}

fn mounted(
    parts: &OverlayRoot,
    seen_by: Option<(&IdMaps, &OwnedFd)>,
    label: Option<&str>,
) -> Result<Mount, Failure> {
    mount::change_everything(Propagation::Private).map_err(mount_failed(Step::Propagation, "/"))?;
    if let Some((maps, namespace)) = seen_by {
        map_layers(parts, namespace)?;
        become_user(root_of(&maps.uids), root_of(&maps.gids))?;
    }
    let overlay = Overlay {
        lowers: &parts.lowers,
        data: &parts.data,
        upper: Some((&parts.upper, &parts.work)),
        volatile: parts.volatile,
        label,
        or_program: true,
    };
    overlay
        .mount(Attributes::NONE)
        .map_err(mount_failed(Step::RootFs, &parts.upper))
}

/// Covers each directory of an overlay with itself as the users of a namespace see it.
fn map_layers(parts: &OverlayRoot, namespace: &OwnedFd) -> Result<(), Failure> {
    // Both have to be in one mount.
    let above = parts
        .upper
        .parent()
        .filter(|parent| parts.work.starts_with(parent))
        .unwrap_or(&parts.upper);
    for folder in parts
        .lowers
        .iter()
        .map(|lower| lower.as_path())
        .chain([above])
    {
        cover(folder, namespace)?;
    }
    Ok(())
}

/// What user 0 of the container is on the host.
fn root_of(ids: &[IdMapping]) -> u32 {
    let root = ids.iter().find(|ids| ids.inside == 0);
    root.or(ids.first()).map_or(0, |ids| ids.outside)
}

/// Overlayfs works in the writable layer as whoever mounts it, and there is only who is mapped. All
/// power stays.
fn become_user(uid: u32, gid: u32) -> Result<(), Failure> {
    let failed = Step::IdMap;
    let power = capability::permitted().or_fail(failed)?;
    capability::keep_across_user_change(true).or_fail(failed)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).or_fail(failed)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).or_fail(failed)?;
    capability::set(power, power, capability::Set::EMPTY).or_fail(failed)
}

fn cover(folder: &Path, namespace: &OwnedFd) -> Result<(), Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::openat(CWD, folder, flags, Mode::empty())
        .map_err(|errno| Failure::at(Step::RootFs, folder, &errno.into()))?;
    let copy = Mount::copy_of(folder, false).map_err(mount_failed(Step::RootFs, folder))?;
    map_owners(&copy, namespace, false).map_err(mount_failed(Step::IdMap, folder))?;
    copy.attach(&place)
        .map_err(mount_failed(Step::RootFs, folder))
}
