//! Locks on folders that others may rename away: whoever uses a folder holds it, whoever removes
//! it claims it, and the two exclude each other.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Kind, lock, try_lock};

/// A folder that stays where it is for as long as this lives.
#[derive(Debug)]
pub struct HeldFolder(#[expect(dead_code, reason = "held, never read")] File);

/// Holds a folder together with others; waits for a claim on it. `None` when it is not there.
pub fn hold(path: &Path) -> io::Result<Option<HeldFolder>> {
    loop {
        let Some(folder) = open(path)? else {
            return Ok(None);
        };
        lock(&folder, Kind::Shared)?;
        // Whoever had claimed it may have taken it away.
        if is_at(&folder, path) {
            return Ok(Some(HeldFolder(folder)));
        }
    }
}

/// Claims a folder for its removal. `None` when somebody holds it, or it is not there.
pub fn claim(path: &Path) -> io::Result<Option<HeldFolder>> {
    let Some(folder) = open(path)? else {
        return Ok(None);
    };
    let claimed = try_lock(&folder, Kind::Exclusive)? && is_at(&folder, path);
    Ok(claimed.then_some(HeldFolder(folder)))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_at(folder: &File, path: &Path) -> bool {
    match (folder.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    use super::*;

    #[test]
    fn users_and_removers_exclude_each_other() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("volume");
        assert!(hold(&path).expect("looked at").is_none());
        assert!(claim(&path).expect("looked at").is_none());
        fs::create_dir(&path).expect("made");
        let first = hold(&path).expect("held").expect("there");
        let second = hold(&path).expect("held").expect("there");
        assert!(claim(&path).expect("looked at").is_none());
        drop((first, second));
        let claimed = claim(&path).expect("claimed").expect("free");
        let new = parent.path().join("new");
        fs::create_dir(&new).expect("made");
        // Who comes while it is removed waits, and finds the new one. The two change places at
        // once: at no moment is there none.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| hold(&path));
            renameat_with(CWD, &path, CWD, &new, RenameFlags::EXCHANGE).expect("moved");
            drop(claimed);
            let held = waiting.join().expect("no panic").expect("held");
            assert!(held.is_some());
            assert!(claim(&path).expect("looked at").is_none());
        });
    }
}
