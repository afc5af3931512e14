//! Removing a container's files: first out of sight in a few renames, then for real.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gantry_sys::lock::folder;
use gantry_sys::path::{Directory, if_there};
use serde::{Deserialize, Serialize};

/// How often a removal is taken up again when another process got in between.
const AGAIN: usize = 16;

/// What to remove: a decided list, so that a supervisor can do it after the client died.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The container's folder below `$ROOT`.
    pub folder: PathBuf,
    /// The container's folder below `$RUN`.
    pub run_folder: PathBuf,
    /// Symbolic link that reserves its name.
    pub name_link: PathBuf,
    /// Folders of its anonymous volumes.
    pub volumes: Vec<PathBuf>,
    /// Where removed things wait for their deletion, on the same file system; everything in
    /// it is garbage at any time.
    pub trash: PathBuf,
}

/// Why a container could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {}", path.display())]
pub struct RemovalError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Removal {
    /// Takes everything out of sight: afterwards the container does not exist, its name is
    /// free, and what is left is garbage that [`Removal::delete`] or the next collection takes.
    ///
    /// # Errors
    /// [`RemovalError`]; doing it again goes on where it stopped.
    pub fn hide(&self) -> Result<(), RemovalError> {
        let id = self.folder.file_name().unwrap_or_default();
        fs::create_dir_all(&self.trash).map_err(at(&self.trash))?;
        for volume in &self.volumes {
            self.hide_volume(volume)?;
        }
        // The name goes first: a name without its container is healed by whoever meets it, a
        // container without its name would be in the way of a `--name` for ever.
        if fs::read_link(&self.name_link).is_ok_and(|target| target.as_os_str() == id) {
            absent(fs::remove_file(&self.name_link)).map_err(at(&self.name_link))?;
        }
        rename(&self.folder, &self.trash.join(id))?;
        absent(fs::remove_dir_all(&self.run_folder)).map_err(at(&self.run_folder))
    }

    /// Takes a volume out of sight unless another container has it, or is taking it now.
    fn hide_volume(&self, volume: &Path) -> Result<(), RemovalError> {
        let name = volume.file_name().unwrap_or_default();
        let Some(claim) = folder::claim(volume).map_err(at(volume))? else {
            return Ok(());
        };
        if !self.others_may_have(name).map_err(at(volume))? {
            rename(volume, &self.trash.join(name))?;
        }
        drop(claim);
        Ok(())
    }

    /// Whether the document of another container has this name in it, or cannot be read.
    fn others_may_have(&self, name: &OsStr) -> io::Result<bool> {
        let (Some(containers), name) = (self.folder.parent(), name.as_encoded_bytes()) else {
            return Ok(false);
        };
        for entry in fs::read_dir(containers)? {
            let folder = entry?.path();
            if folder == self.folder {
                continue;
            }
            let text = match if_there(fs::read(folder.join("container.json"))) {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(_) => return Ok(true),
            };
            let named = text.windows(name.len()).any(|part| part == name);
            let damaged =
                !text.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_err();
            if named || damaged {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes what [`Removal::hide`] took out of sight.
    ///
    /// # Errors
    /// [`RemovalError`] of the first folder that could not be deleted; the others are.
    pub fn delete(&self) -> Result<(), RemovalError> {
        let mut outcome = Ok(());
        let trash = match Directory::open(&self.trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return outcome,
            other => other.map_err(at(&self.trash))?,
        };
        for folder in self.volumes.iter().chain([&self.folder]) {
            let name = folder.file_name().unwrap_or_default();
            if let Err(source) = remove_together(&trash, name) {
                let path = self.trash.join(name);
                outcome = outcome.and(Err(RemovalError { path, source }));
            }
        }
        outcome
    }
}

/// Deletes what removals that were killed have left in their trash.
///
/// # Errors
/// [`RemovalError`] of the first folder that could not be deleted; the others are.
pub fn empty(trash: &Path) -> Result<(), RemovalError> {
    let open = match Directory::open(trash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(at(trash))?,
    };
    let mut outcome = Ok(());
    for entry in open.entries().map_err(at(trash))? {
        let removed = remove_together(&open, &entry.name);
        outcome = outcome.and(removed.map_err(at(&trash.join(&entry.name))));
    }
    outcome
}

/// Removes a tree that another process may be removing, too.
fn remove_together(trash: &Directory, name: &OsStr) -> io::Result<()> {
    let mut outcome = trash.remove_all(name);
    for _ in 0..AGAIN {
        match &outcome {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) => {}
            _ => break,
        }
        outcome = trash.remove_all(name);
    }
    outcome
}

fn rename(from: &Path, to: &Path) -> Result<(), RemovalError> {
    absent(fs::rename(from, to)).map_err(at(from))
}

fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RemovalError {
    let path = path.to_owned();
    move |source| RemovalError { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_and_twice_is_once() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in [
            "containers/abc/upper/deep",
            "volumes/v1/_data",
            "run/abc",
            "names",
        ] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("containers/abc/upper/deep/file"), "x").unwrap();
        std::os::unix::fs::symlink("abc", at("names/web")).unwrap();
        let removal = Removal {
            folder: at("containers/abc"),
            run_folder: at("run/abc"),
            name_link: at("names/web"),
            volumes: vec![at("volumes/v1")],
            trash: at("trash"),
        };
        removal.hide().unwrap();
        assert!(!at("containers/abc").exists() && !at("volumes/v1").exists());
        assert!(at("names/web").symlink_metadata().is_err() && !at("run/abc").exists());
        removal.hide().unwrap();
        removal.delete().unwrap();
        removal.delete().unwrap();
        // A removal that was killed here.
        fs::create_dir_all(at("trash/def/upper")).unwrap();
        empty(&at("trash")).unwrap();
        empty(&at("missing")).unwrap();
        assert_eq!(fs::read_dir(at("trash")).unwrap().count(), 0);
    }

    #[test]
    fn another_containers_volume_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in [
            "containers/abc",
            "containers/def",
            "volumes/v1/_data",
            "volumes/v2",
        ] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let removal = Removal {
            folder: at("containers/abc"),
            volumes: vec![at("volumes/v1")],
            trash: at("trash"),
            ..Removal::default()
        };
        for document in ["{\"mounts\":[\"v1\"]}", "{\"mou"] {
            fs::write(at("containers/def/container.json"), document).unwrap();
            removal.hide().unwrap();
            assert!(at("volumes/v1").exists(), "{document}");
            fs::create_dir_all(at("containers/abc")).unwrap();
        }
        fs::write(at("containers/def/container.json"), "{}").unwrap();
        let held = folder::hold(&at("volumes/v1")).unwrap();
        removal.hide().unwrap();
        assert!(at("volumes/v1").exists(), "somebody takes it");
        drop(held);
        removal.hide().unwrap();
        assert!(!at("volumes/v1").exists());
    }

    #[test]
    fn another_containers_name_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("names")).unwrap();
        fs::create_dir_all(at("containers/abc")).unwrap();
        std::os::unix::fs::symlink("other", at("names/web")).unwrap();
        let removal = Removal {
            folder: at("containers/abc"),
            name_link: at("names/web"),
            trash: at("trash"),
            ..Removal::default()
        };
        removal.hide().unwrap();
        assert!(at("names/web").symlink_metadata().is_ok());
    }
}
