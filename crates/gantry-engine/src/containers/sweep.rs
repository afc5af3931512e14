//! What killed commands have left: removals that were not finished, and containers that were
//! never complete. It holds no lock and is nobody's, so any prune takes it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gantry_model::ContainerId;
use gantry_supervisor::removal::{Removal, empty};

use super::error::{ContainerError, file};
use super::folders::{CONTAINERS, Folders, NAMES, TRASH, absent, is_abandoned};
use crate::Engine;

/// A folder younger than this may be one that a command is just making: between its folder and
/// its lock there is a moment in which nothing says so.
const SETTLED: Duration = Duration::from_secs(60);

/// Deletes it, and gives the bytes of disk set free.
pub(super) fn sweep(engine: &Engine) -> Result<u64, ContainerError> {
    let trash = engine.root().join(TRASH);
    let mut ids = BTreeSet::new();
    for parent in [engine.root(), engine.run_root()] {
        ids.extend(ids_below(&parent.join(CONTAINERS))?);
    }
    for id in ids {
        let folders = Folders::of(engine, &id);
        // One whose document cannot be read is damaged, and not garbage.
        let unfinished = || matches!(folders.record(), Ok(None));
        if !unfinished()
            || ![&folders.folder, &folders.run_folder]
                .into_iter()
                .all(settled)
        {
            continue;
        }
        let Some(_lock) = folders.try_lock()? else {
            continue;
        };
        if unfinished() {
            let removal = Removal {
                folder: folders.folder.clone(),
                run_folder: folders.run_folder.clone(),
                trash: trash.clone(),
                ..Removal::default()
            };
            removal.hide()?;
        }
    }
    sweep_names(engine)?;
    let size = gantry_sys::usage::disk_usage(&trash).unwrap_or(0);
    empty(&trash)?;
    Ok(size)
}

/// Takes away the names of containers that never came to be, or that were removed while they
/// were renamed.
fn sweep_names(engine: &Engine) -> Result<(), ContainerError> {
    let names = engine.root().join(NAMES);
    let entries = match fs::read_dir(&names) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(file("read", &names))?,
    };
    for link in entries.flatten().map(|entry| entry.path()) {
        let Ok(target) = fs::read_link(&link) else {
            continue;
        };
        let owner = target.to_str().and_then(|target| target.parse().ok());
        if let Some(owner) = owner
            && is_abandoned(engine, &owner)?
        {
            absent(fs::remove_file(&link)).map_err(file("remove", &link))?;
        }
    }
    Ok(())
}

fn ids_below(folder: &Path) -> Result<Vec<ContainerId>, ContainerError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(file("read", folder))?,
    };
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// Whether a folder is not there, or has been left alone for a while.
fn settled(folder: &PathBuf) -> bool {
    match fs::metadata(folder).and_then(|status| status.modified()) {
        Ok(modified) => modified.elapsed().is_ok_and(|age| age > SETTLED),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_folder_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!settled(&folder.path().to_owned()));
        assert!(settled(&folder.path().join("missing")));
        let old = std::time::SystemTime::now() - 2 * SETTLED;
        fs::File::open(folder.path())
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert!(settled(&folder.path().to_owned()));
    }

    #[test]
    fn only_ids_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef".repeat(4);
        for name in ["x", ".", &id] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        assert_eq!(ids_below(folder.path()).unwrap(), [id.parse().unwrap()]);
        assert!(
            ids_below(&folder.path().join("missing"))
                .unwrap()
                .is_empty()
        );
    }
}
