//! The mounts of the document, in its order.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_sys::mount::{self, Attributes, Change, FsContext, Mount, Overlay, Propagation};
use gantry_sys::path::Directory;
use gantry_sys::process::{self, Namespace};
use rustix::fs::{FileType, OFlags, fstat};

use super::{OrFail, copy_up, mount_failed, procfs, target};
use crate::error::Step;
use crate::plan::{MountChange, MountPlan, MountSource, Plan};
use crate::protocol::Failure;

/// Makes every mount of the plan.
pub(super) fn mount_all(
    root: &Directory,
    plan: &Plan,
    copies: &[Option<OwnedFd>],
) -> Result<(), Failure> {
    let copies = copies.iter().map(Option::as_ref);
    plan.mounts
        .iter()
        .zip(copies.chain(std::iter::repeat(None)))
        .try_for_each(|(mount, copy)| mount_one(root, mount, copy))
}

fn mount_one(root: &Directory, plan: &MountPlan, copy: Option<&OwnedFd>) -> Result<(), Failure> {
    if let Some(copy) = copy {
        let copy = Mount::from(copy.try_clone().or_fail(Step::MountSource)?);
        return place(root, plan, &copy, &plan.target);
    }
    match &plan.source {
        MountSource::Bind { path, recursive } => bind(root, plan, path, *recursive),
        MountSource::BindBelow {
            path,
            subpath,
            recursive,
        } => {
            let copy = part_of(path, subpath, *recursive)?;
            place(root, plan, &copy, path)
        }
        MountSource::BindElsewhere {
            namespace,
            path,
            recursive,
        } => {
            let copy = elsewhere(namespace, path, *recursive)?;
            place(root, plan, &copy, path)
        }
        MountSource::Overlay { lowers, subpath } => overlay(root, plan, lowers, subpath.as_deref()),
        MountSource::FileSystem {
            fs_type,
            parameters,
            mode_of_target,
            strict_target,
            copy_up,
        } => {
            // A directory that is only made for the mount has nothing to say about its mode.
            let was_there = *mode_of_target
                && root
                    .open_in_root(&plan.target, OFlags::PATH | OFlags::DIRECTORY, 0)
                    .is_ok();
            let place = if *strict_target {
                target::strict_directory(root, &plan.target)?
            } else {
                target::directory(root, &plan.target)?
            };
            let mode = match was_there {
                true => Some(
                    fstat(&place)
                        .or_fail_at(Step::MountTarget, &plan.target)?
                        .st_mode,
                ),
                false => None,
            };
            let at_once = match copy_up {
                true => Attributes::NONE,
                false => plan.change.set,
            };
            let made = file_system(fs_type, parameters, mode, at_once)
                .map_err(mount_failed(Step::Mount, &plan.target))?;
            if *copy_up {
                // A read-only file system is one only when its contents are there.
                copy_up::fill(&place, &made).or_fail_at(Step::CopyUp, &plan.target)?;
            }
            finish(root, plan, &made, &place)
        }
        MountSource::Remount => remount(root, plan),
        MountSource::CgroupUnified { directory } => {
            let failed = || mount_failed(Step::MountSource, directory);
            let copy = Mount::copy_of(directory, false).map_err(failed())?;
            copy.change(&alone(), false).map_err(failed())?;
            place(root, plan, &copy, directory)
        }
        MountSource::CgroupHierarchies { directories, links } => {
            cgroups(root, plan, directories, links)
        }
    }
}

/// Changes what is mounted at the target.
fn remount(root: &Directory, plan: &MountPlan) -> Result<(), Failure> {
    let place = root
        .open_in_root(&plan.target, OFlags::PATH, 0)
        .or_fail_at(Step::MountTarget, &plan.target)?;
    for (changes, recursive) in [(plan.change_all, true), (plan.change, false)] {
        let change = Change {
            set: changes.set,
            clear: changes.clear,
            ..Change::default()
        };
        if !change.is_empty() {
            mount::change(&place, &change, recursive)
                .map_err(mount_failed(Step::Mount, &plan.target))?;
        }
    }
    Ok(())
}

fn bind(root: &Directory, plan: &MountPlan, source: &Path, recursive: bool) -> Result<(), Failure> {
    let copy =
        Mount::copy_of(source, recursive).map_err(mount_failed(Step::MountSource, source))?;
    place(root, plan, &copy, source)
}

/// A part of a directory that a container may have written to: links are followed inside it.
pub(crate) fn part_of(path: &Path, subpath: &Path, recursive: bool) -> Result<Mount, Failure> {
    let shown = path.join(subpath);
    let part = Directory::open(path)
        .and_then(|whole| whole.open_in_root(subpath, OFlags::PATH, 0))
        .or_fail_at(Step::MountSource, &shown)?;
    Mount::copy_of_fd(&part, recursive).map_err(mount_failed(Step::MountSource, &shown))
}

/// A mount as another namespace has it. While this process is there, its root is that
/// namespace's own, so that a link there leads nowhere else.
fn elsewhere(namespace: &Path, path: &Path, recursive: bool) -> Result<Mount, Failure> {
    let own = File::open("/proc/self/ns/mnt").or_fail_at(Step::JoinNamespace, namespace)?;
    let there = File::open(namespace).or_fail_at(Step::JoinNamespace, namespace)?;
    process::join(&there, Namespace::Mount).or_fail_at(Step::JoinNamespace, namespace)?;
    let copy = Mount::copy_of(path, recursive);
    process::join(&own, Namespace::Mount).or_fail_at(Step::JoinNamespace, namespace)?;
    copy.map_err(mount_failed(Step::MountSource, path))
}

/// A read-only overlay. For a part of it, the whole is attached for a moment over a root that
/// nobody else can see yet: only what is attached can be copied.
fn overlay(
    root: &Directory,
    plan: &MountPlan,
    lowers: &[PathBuf],
    subpath: Option<&Path>,
) -> Result<(), Failure> {
    let failed = || mount_failed(Step::Mount, &plan.target);
    let whole = Overlay {
        lowers,
        ..Overlay::default()
    };
    let whole = whole.mount(Attributes::READ_ONLY).map_err(failed())?;
    let Some(subpath) = subpath else {
        return finish(root, plan, &whole, &target::directory(root, &plan.target)?);
    };
    whole.attach(root).map_err(failed())?;
    let below = Directory::from(whole);
    let part = below
        .open_in_root(subpath, OFlags::PATH, 0)
        .or_fail_at(Step::MountSource, subpath)
        .and_then(|part| {
            Mount::copy_of_fd(&part, false).map_err(mount_failed(Step::MountSource, subpath))
        });
    mount::detach_fd(&below).map_err(failed())?;
    place(root, plan, &part?, subpath)
}

/// Mounts a detached copy, on a directory or on a file as it is one.
fn place(root: &Directory, plan: &MountPlan, copy: &Mount, source: &Path) -> Result<(), Failure> {
    let stat = fstat(copy).or_fail_at(Step::MountSource, source)?;
    let place = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        target::directory(root, &plan.target)?
    } else {
        target::file(root, &plan.target)?
    };
    finish(root, plan, copy, &place)
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
fn finish(
    root: &Directory,
    plan: &MountPlan,
    made: &Mount,
    place: &OwnedFd,
) -> Result<(), Failure> {
    procfs::spare(root, &plan.target, place, made)?;
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

/// A copy of a cgroup mount need not follow the host's: a container that does could not be written
/// to disk.
fn alone() -> Change<'static> {
    Change {
        propagation: Some(Propagation::Private),
        ..Change::default()
    }
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
    procfs::spare(root, &plan.target, &place, &tmpfs)?;
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
        ..alone()
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
