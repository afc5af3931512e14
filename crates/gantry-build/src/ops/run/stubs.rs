//! Mount points that had to be made for a step and do not belong into its layer.
//!
//! The runtime makes what is missing to mount `/proc`, `/etc/hosts` and the like. All of that
//! lands in the upper directory; what the image does not have and the step did not fill is
//! taken out again, and with it the copies of directories that were only made on the way.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use gantry_sys::path::Directory;
use oci_spec::runtime::Spec;
use rustix::fs::FileType;

use crate::error::StepError;
use crate::tree::{Facts, join, split};

/// What may be taken out of an upper directory again.
pub(super) struct Stubs {
    /// Mount points that the image does not have, deepest last; relative, no link in them.
    missing: BTreeSet<OsString>,
    /// Directories of the image that some of these lie in.
    touched: BTreeSet<(OsString, Permissions)>,
}

type Permissions = (u32, u32, u32);

impl Stubs {
    /// Which mount points of a container its image does not have.
    pub(super) fn of(spec: &Spec, lower: Option<&Directory>) -> Result<Self, StepError> {
        let mut stubs = Self {
            missing: BTreeSet::new(),
            touched: BTreeSet::new(),
        };
        for mount in spec.mounts().iter().flatten() {
            stubs.add(mount.destination(), lower)?;
        }
        Ok(stubs)
    }

    fn add(&mut self, target: &Path, lower: Option<&Directory>) -> Result<(), StepError> {
        let failed = |source| StepError::io("look up", target, source);
        let mut prefix = OsString::new();
        let mut here = lower
            .map(Directory::try_clone)
            .transpose()
            .map_err(failed)?;
        for name in target.components().filter_map(|component| match component {
            std::path::Component::Normal(name) => Some(name),
            _ => None,
        }) {
            let next = join(&prefix, name);
            let status = here.as_ref().map(|here| here.status_of(name)).transpose();
            match status {
                Ok(Some(stat)) => match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => {
                        here = here
                            .map(|here| here.directory_beneath(name))
                            .transpose()
                            .map_err(failed)?;
                    }
                    // Through a link the mount point is somewhere else: it stays.
                    _ => return Ok(()),
                },
                Ok(None) => drop(self.missing.insert(next.clone())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if let Some(directory) = here.take() {
                        self.touch(&prefix, &directory).map_err(failed)?;
                    }
                    self.missing.insert(next.clone());
                }
                Err(error) => return Err(failed(error)),
            }
            prefix = next;
        }
        Ok(())
    }

    fn touch(&mut self, path: &OsStr, directory: &Directory) -> io::Result<()> {
        let facts = Facts::new(&directory.status()?);
        self.touched
            .insert((path.to_owned(), (facts.mode, facts.uid, facts.gid)));
        Ok(())
    }

    /// Takes out what the step left as it was made.
    pub(super) fn remove(&self, upper: &Path) -> Result<(), StepError> {
        let failed = |source| StepError::io("clean", upper, source);
        let root = Directory::open(upper).map_err(failed)?;
        for path in self.missing.iter().rev() {
            remove_empty(&root, path).map_err(failed)?;
        }
        for (path, permissions) in self.touched.iter().rev() {
            remove_copy(&root, path, *permissions).map_err(failed)?;
        }
        Ok(())
    }
}

/// Removes an empty file or directory of a mount point.
fn remove_empty(root: &Directory, path: &OsStr) -> io::Result<()> {
    let (parent, name) = split(path);
    let Ok(parent) = root.directory_beneath(parent) else {
        return Ok(());
    };
    let Ok(stat) = parent.status_of(name) else {
        return Ok(());
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if is_plain(&parent.directory_beneath(name)?)? => {
            parent.remove_directory(name)
        }
        FileType::RegularFile if stat.st_size == 0 => parent.remove_entry(name),
        _ => Ok(()),
    }
}

/// Removes the copy of a directory of the image that nothing is in and that is as it was.
fn remove_copy(root: &Directory, path: &OsStr, permissions: Permissions) -> io::Result<()> {
    let (parent, name) = split(path);
    if name.is_empty() {
        return Ok(());
    }
    let Ok(parent) = root.directory_beneath(parent) else {
        return Ok(());
    };
    let Ok(copy) = parent.directory_beneath(name) else {
        return Ok(());
    };
    let facts = Facts::new(&copy.status()?);
    if (facts.mode, facts.uid, facts.gid) == permissions && is_plain(&copy)? {
        parent.remove_directory(name)?;
    }
    Ok(())
}

/// Whether a directory is empty and does not hide the one below it.
fn is_plain(directory: &Directory) -> io::Result<bool> {
    if !directory.entries()?.is_empty() {
        return Ok(false);
    }
    for name in ["trusted.overlay.opaque", "user.overlay.opaque"] {
        if gantry_sys::xattr::value(directory, OsStr::new(name))?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}
