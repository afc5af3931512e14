//! The places that things are mounted on, inside a root that may be hostile.
//!
//! Every look-up starts at the root's descriptor and cannot leave it; what is found is used by its
//! own descriptor, so that exchanging a directory for a link afterwards changes nothing
//! (CVE-2021-30465).

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use gantry_sys::path::{Directory, components};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::OrFail;
use crate::error::Step;
use crate::protocol::Failure;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// The directory at `path`, made if it is missing.
pub(crate) fn directory(root: &Directory, path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match root.open_in_root(path, flags, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ensure_directory(root, path, 0).map(OwnedFd::from)
        }
        other => other,
    }
    .or_fail_at(Step::MountTarget, path)
}

/// The file at `path`, made (empty) if it is missing.
pub(crate) fn file(root: &Directory, path: &Path) -> Result<OwnedFd, Failure> {
    match root.open_in_root(path, OFlags::PATH, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => ensure_file(root, path),
        other => other,
    }
    .or_fail_at(Step::MountTarget, path)
}

/// The directory at `path`, reached without any link, made if it is missing.
pub(super) fn strict_directory(root: &Directory, path: &Path) -> Result<OwnedFd, Failure> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    root.create_all_beneath(relative, 0o755)
        .map(OwnedFd::from)
        .or_fail_at(Step::MountTarget, path)
}

/// Makes the working directory if it is missing and can be made; entering it shows whether it is
/// good.
pub(super) fn make_working_directory(root: &Directory, path: &Path) -> Result<(), Failure> {
    match root.open_in_root(path, OFlags::PATH, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ensure_directory(root, path, 0).or_fail_at(Step::Chdir, path)?;
        }
        _ => {}
    }
    Ok(())
}

/// Like `mkdir -p`, but links that lead nowhere are followed inside the root, and the directories
/// they lead to are made: images are full of links into `/run`.
fn ensure_directory(root: &Directory, path: &Path, links: usize) -> io::Result<Directory> {
    if links > MOST_LINKS {
        return Err(Errno::LOOP.into());
    }
    let mut prefix = PathBuf::from("/");
    let mut here = root.try_clone()?;
    for name in components(path.as_os_str()) {
        let parent = prefix.clone();
        prefix.push(name);
        here = match root.directory_in_root(&prefix) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match link_target(&here, name)? {
                    Some(target) => ensure_directory(root, &parent.join(target), links + 1)?,
                    None => {
                        make_directory(&here, name)?;
                        root.directory_in_root(&prefix)?
                    }
                }
            }
            other => other?,
        };
    }
    Ok(here)
}

fn make_directory(here: &Directory, name: &OsStr) -> io::Result<()> {
    match here.make_directory(name, 0o755) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Where a link leads; `None` when nothing is there.
fn link_target(here: &Directory, name: &OsStr) -> io::Result<Option<PathBuf>> {
    match here.status_of(name) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            here.read_link(name).map(|target| Some(target.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        // It was not there a moment ago.
        Ok(_) => Ok(None),
    }
}

fn ensure_file(root: &Directory, path: &Path) -> io::Result<OwnedFd> {
    let mut path = path.to_owned();
    for _ in 0..=MOST_LINKS {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ISDIR.into());
        };
        let here = ensure_directory(root, parent, 0)?;
        if let Some(target) = link_target(&here, name)? {
            path = parent.join(target);
            continue;
        }
        match here.create_file(name, 0o644) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => drop(other?),
        }
        return here.open_entry(name, OFlags::PATH);
    }
    Err(Errno::LOOP.into())
}
