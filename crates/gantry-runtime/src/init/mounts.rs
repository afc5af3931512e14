//! The mounts of the document, in its order.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_sys::mount::{self, Attributes, Change, FsContext, Mount};
use gantry_sys::path::Directory;
use rustix::fs::{FileType, OFlags, fstat};

use super::{OrFail, mount_failed, target};
use crate::error::Step;
use crate::plan::{MountChange, MountPlan, MountSource, Plan};
use crate::protocol::Failure;

/// Makes every mount of the plan.
pub(super) fn mount_all(
    root: &Directory,
    plan: &Plan,
    id_maps: &[Option<OwnedFd>],
) -> Result<(), Failure> {
    let id_maps = id_maps.iter().map(Option::as_ref);
    plan.mounts
        .iter()
        .zip(id_maps.chain(std::iter::repeat(None)))
        .try_for_each(|(mount, id_map)| mount_one(root, mount, id_map))
}

fn mount_one(root: &Directory, plan: &MountPlan, id_map: Option<&OwnedFd>) -> Result<(), Failure> {
    match &plan.source {
        MountSource::Bind { path, recursive } => bind(root, plan, path, *recursive, id_map),
        MountSource::FileSystem {
            fs_type,
            parameters,
            mode_of_target,
            strict_target,
        } => {
            let place = if *strict_target {
                target::strict_directory(root, &plan.target)?
            } else {
                target::directory(root, &plan.target)?
            };
            let mode = match mode_of_target {
                true => Some(
                    fstat(&place)
                        .or_fail_at(Step::MountTarget, &plan.target)?
                        .st_mode,
                ),
                false => None,
            };
            let made = file_system(fs_type, parameters, mode, plan.change.set)
                .map_err(mount_failed(Step::Mount, &plan.target))?;
            finish(plan, &made, &place)
        }
        MountSource::CgroupUnified { directory } => bind(root, plan, directory, false, None),
        MountSource::CgroupHierarchies { directories, links } => {
            cgroups(root, plan, directories, links)
        }
    }
}

fn bind(
    root: &Directory,
    plan: &MountPlan,
    source: &Path,
    recursive: bool,
    id_map: Option<&OwnedFd>,
) -> Result<(), Failure> {
    let copy =
        Mount::copy_of(source, recursive).map_err(mount_failed(Step::MountSource, source))?;
    let stat = fstat(&copy).or_fail_at(Step::MountSource, source)?;
    let place = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        target::directory(root, &plan.target)?
    } else {
        target::file(root, &plan.target)?
    };
    if let (Some(namespace), Some((_, recursive))) = (id_map, &plan.id_map) {
        let change = Change {
            id_map: Some(namespace.as_fd()),
            ..Change::default()
        };
        copy.change(&change, *recursive)
            .map_err(mount_failed(Step::Mount, &plan.target))?;
    }
    finish(plan, &copy, &place)
}

fn file_system(
    fs_type: &str,
    parameters: &[(String, Option<String>)],
    mode: Option<u32>,
    attributes: Attributes,
) -> Result<Mount, mount::MountError> {
    let context = FsContext::new(OsStr::new(fs_type))?;
    for (key, value) in parameters {
        match value {
            Some(value) => context.string(key, OsStr::new(value))?,
            None => context.flag(key)?,
        }
    }
    if let Some(mode) = mode {
        let mode = format!("{:o}", mode & 0o7777);
        context.string("mode", OsStr::new(&mode))?;
    }
    context.create()?;
    context.mount(attributes)
}

/// Gives a mount its attributes and puts it in its place.
fn finish(plan: &MountPlan, made: &Mount, place: &OwnedFd) -> Result<(), Failure> {
    let failed = || mount_failed(Step::Mount, &plan.target);
    let change = |change: MountChange| Change {
        set: change.set,
        clear: change.clear,
        ..Change::default()
    };
    for (changes, recursive) in [(plan.change_all, true), (plan.change, false)] {
        let changes = change(changes);
        if !changes.is_empty() {
            made.change(&changes, recursive).map_err(failed())?;
        }
    }
    made.attach(place).map_err(failed())?;
    if let Some((propagation, recursive)) = plan.propagation {
        let change = Change {
            propagation: Some(propagation),
            ..Change::default()
        };
        made.change(&change, recursive).map_err(failed())?;
    }
    Ok(())
}

/// Several hierarchies: a tmpfs with the container's own directory of each.
fn cgroups(
    root: &Directory,
    plan: &MountPlan,
    directories: &[(String, PathBuf)],
    links: &[(String, String)],
) -> Result<(), Failure> {
    let place = target::directory(root, &plan.target)?;
    let parameters = [("source", "tmpfs"), ("mode", "755")]
        .map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
    let tmpfs = file_system("tmpfs", &parameters, None, Attributes::NONE)
        .map_err(mount_failed(Step::Mount, &plan.target))?;
    tmpfs
        .attach(&place)
        .map_err(mount_failed(Step::Mount, &plan.target))?;
    let inside = DirectoryRef(tmpfs.as_fd());
    for (name, path) in directories {
        let at = plan.target.join(name);
        let place = inside.make(name).or_fail_at(Step::MountTarget, &at)?;
        Mount::copy_of(path, false)
            .map_err(mount_failed(Step::MountSource, path))?
            .attach(&place)
            .map_err(mount_failed(Step::Mount, &at))?;
    }
    for (name, to) in links {
        rustix::fs::symlinkat(to, inside.0, name)
            .or_fail_at(Step::Symlink, plan.target.join(name))?;
    }
    // One call for all of them.
    let change = Change {
        set: plan.change.set,
        clear: plan.change.clear,
        ..Change::default()
    };
    tmpfs
        .change(&change, true)
        .map_err(mount_failed(Step::Mount, &plan.target))
}

/// The root of a file system that nobody else has seen yet.
struct DirectoryRef<'a>(BorrowedFd<'a>);

impl DirectoryRef<'_> {
    fn make(&self, name: &str) -> io::Result<OwnedFd> {
        rustix::fs::mkdirat(self.0, name, rustix::fs::Mode::from_raw_mode(0o755))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            self.0,
            name,
            flags,
            rustix::fs::Mode::empty(),
        )?)
    }
}
