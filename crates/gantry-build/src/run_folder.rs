//! What a step has under `<run root>/build` while it runs, and taking away what killed builds
//! left there.
//!
//! Whatever lies there is locked by those who use it: the folder of a step by the builder and
//! its helper, the lock of a key by the builder. What nobody has locked is garbage.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gantry_sys::cgroup::{Cgroup, CgroupError, Layout};
use gantry_sys::lock::{self, Kind};

/// Where it lies, below the run root.
pub(crate) fn folder(run_root: &Path) -> PathBuf {
    run_root.join("build")
}

/// What in the folder of a step names its control group.
const CGROUP: &str = "cgroup";

/// The control group of a step below `parent`, as its document names it.
pub(crate) fn cgroup(parent: &Path, id: &str) -> PathBuf {
    parent.join(format!("build-{id}"))
}

/// A folder of one step, gone with it.
#[derive(Debug)]
pub(crate) struct StepFolder {
    pub(crate) path: PathBuf,
    lock: File,
}

impl StepFolder {
    /// Makes the folder of the step with this id, which no other has.
    pub(crate) fn new(run_root: &Path, id: &str) -> io::Result<Self> {
        let path = folder(run_root).join(id);
        loop {
            fs::create_dir_all(&path)?;
            let lock = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            // A sweep may come between the two, and take it for garbage.
            lock::lock(&lock, Kind::Exclusive)?;
            if is_at(&lock, &path)? {
                return Ok(Self { path, lock });
            }
        }
    }

    /// Writes down which control group the step is about to have, absolute below the mount point:
    /// who finds the folder of a killed build removes that as well.
    pub(crate) fn note_cgroup(&self, path: Option<&Path>) -> io::Result<()> {
        path.map_or(Ok(()), |path| {
            fs::write(self.path.join(CGROUP), path.as_os_str().as_bytes())
        })
    }

    /// The lock, for the helper to hold as well.
    pub(crate) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

impl Drop for StepFolder {
    fn drop(&mut self) {
        // A helper that was killed leaves its control group: see the sweep.
        if cgroup_removed(&self.path) {
            let _removed = fs::remove_dir_all(&self.path);
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(there) => Ok(there.ino() == file.metadata()?.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes away what killed builds have left under the run root.
///
/// # Errors
/// The folder cannot be read, or something in it cannot be removed.
pub fn sweep(run_root: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder(run_root)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if !lock::try_lock(&file, Kind::Exclusive)? || !is_at(&file, &path)? {
            continue;
        }
        if !file.metadata()?.is_dir() {
            fs::remove_file(&path)?;
            continue;
        }
        // As long as its control group is there, the folder is what tells of it.
        if cgroup_removed(&path) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Ends what still runs of the step with this folder and removes its control group; says whether it
/// is gone.
fn cgroup_removed(folder: &Path) -> bool {
    let noted = match fs::read(folder.join(CGROUP)) {
        Ok(bytes) => PathBuf::from(OsString::from_vec(bytes)),
        // A step that never came so far has none.
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
    };
    match Layout::detect().and_then(|layout| Cgroup::at(&layout, &noted)) {
        Ok(cgroup) => {
            // What cannot be killed shows in the removal.
            drop(cgroup.kill_all());
            cgroup.remove().is_empty()
        }
        Err(error) => matches!(error, CgroupError::NotMounted),
    }
}

#[cfg(test)]
mod tests {
    use gantry_sys::cgroup::{Directory, Settings};

    use super::*;

    #[test]
    fn what_is_locked_stays_and_the_rest_goes() {
        let root = tempfile::tempdir().unwrap();
        sweep(root.path()).unwrap();
        let used = StepFolder::new(root.path(), "used").unwrap();
        for name in ["left", "left/x"] {
            fs::create_dir(folder(root.path()).join(name)).unwrap();
        }
        let key = folder(root.path()).join("key");
        fs::write(&key, "").unwrap();
        sweep(root.path()).unwrap();
        let kept = |root: &Path| fs::read_dir(folder(root)).unwrap().count();
        assert!(used.path.exists() && !key.exists());
        assert_eq!(kept(root.path()), 1);
        drop(used);
        assert_eq!(kept(root.path()), 0);
    }

    #[test]
    fn root_the_control_group_of_a_killed_helper_goes_with_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let id = format!("killed-{}", std::process::id());
        let layout = Layout::detect().unwrap();
        let path = cgroup(Path::new("/gantry"), &id);
        let left = Cgroup::create(&layout, &path, &Settings::default()).unwrap();
        let folder = StepFolder::new(root.path(), &id).unwrap();
        folder.note_cgroup(Some(&path)).unwrap();
        drop(folder);
        let there = |directory: &Directory| directory.path.exists();
        assert!(!left.directories().iter().any(there));
    }

    #[test]
    fn a_folder_swept_while_it_is_made_is_made_again() {
        let root = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let sweeper = scope.spawn(|| (0..300).for_each(|_| sweep(root.path()).unwrap()));
            for n in 0..100 {
                let step = StepFolder::new(root.path(), &format!("step{n}")).unwrap();
                fs::write(step.path.join("file"), "x").unwrap();
            }
            sweeper.join().unwrap();
        });
        assert_eq!(fs::read_dir(folder(root.path())).unwrap().count(), 0);
    }
}
