//! What the runtime makes in every container's writable layer to mount on: no change of
//! anybody's. (Mount points of a container's own volumes count, as with Docker.)

use std::ffi::OsStr;
use std::io;

use gantry_sys::path::Directory;
use rustix::fs::{FileType, Stat};

/// Empty files that are mounted on.
const FILES: [&str; 4] = [
    "/dev/console",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
];
/// Folders that are mounted on, and those the files are in; deepest first.
const FOLDERS: [&str; 7] = [
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/dev",
    "/etc",
    "/proc",
    "/sys",
];

/// Whether an added entry is such a place; a folder only counts when nothing is in it.
pub(super) fn is_stub(path: &OsStr, status: &Stat) -> bool {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => status.st_size == 0 && FILES.iter().any(|known| path == *known),
        FileType::Directory => FOLDERS.iter().any(|known| path == *known),
        _ => false,
    }
}

/// Takes them out of a copy of a writable layer, with the copies of folders that were only made
/// on the way.
pub(super) fn remove(upper: &Directory, lower: Option<&Directory>) -> io::Result<()> {
    for path in FILES.iter().chain(&FOLDERS) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (folder, name) = (OsStr::new(folder.trim_start_matches('/')), OsStr::new(name));
        let Ok(parent) = upper.directory_beneath(folder) else {
            continue;
        };
        let Ok(status) = parent.status_of(name) else {
            continue;
        };
        let below = lower.and_then(|lower| lower.directory_beneath(folder).ok());
        let below = below.and_then(|below| below.status_of(name).ok());
        match (FileType::from_raw_mode(status.st_mode), below) {
            (FileType::RegularFile, None) if is_stub(OsStr::new(path), &status) => {
                parent.remove_entry(name)?;
            }
            (FileType::Directory, below) => {
                let unchanged = below.is_none_or(|below| {
                    let look = |s: &Stat| (s.st_mode, s.st_uid, s.st_gid);
                    look(&below) == look(&status)
                });
                if unchanged && is_plain(&parent.directory_beneath(name)?)? {
                    parent.remove_directory(name)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a directory is empty and does not hide the one below it.
fn is_plain(directory: &Directory) -> io::Result<bool> {
    Ok(directory.entries()?.is_empty() && !super::merged_root::is_opaque(directory))
}
