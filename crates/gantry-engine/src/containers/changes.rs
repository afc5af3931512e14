//! What a container changed of its image's files (`diff`), as Docker compares them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;

use gantry_store::pack;
use gantry_sys::path::{Directory, Entry};
use rustix::fs::{FileType, Stat};

use super::error::{ContainerError, file};
use super::folders::Folders;
use super::merged_root::is_opaque;
use super::{Containers, stubs, view};

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content or its attributes differ, or something below it does.
    Changed,
    /// It is gone.
    Deleted,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Absolute path.
    pub path: OsString,
}

/// Directories held open at once.
const DEEPEST: usize = 400;

impl Containers<'_> {
    /// What a container changed, in the order of the paths. Nothing is mounted over its files
    /// for this, and nothing of them is read: only names and attributes are compared.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`] and others.
    pub fn changes(&self, name: &str) -> Result<Vec<Change>, ContainerError> {
        let (record, _) = self.look(name)?;
        let upper = Folders::of(self.engine, &record.id).upper();
        let lowers = self.seen_lowers(&record)?;
        let failed = || file("compare the files of", &upper);
        let lower = view::image_root(lowers).map_err(failed())?;
        let upper = Directory::open(&upper).map_err(failed())?;
        compare(&upper, lower.as_ref()).map_err(failed())
    }
}

struct Level {
    upper: Directory,
    /// The same directory of the image, where it shows through or is compared with.
    lower: Option<Directory>,
    path: OsString,
    rest: std::vec::IntoIter<Entry>,
    /// Where this directory's own change stands, should something below it change.
    place: usize,
    /// Its own change, whatever is below it.
    own: Option<ChangeKind>,
    /// Whether it is a mount point of the runtime as long as nothing is in it.
    stub: bool,
}

/// Compares a writable layer with what it lies over.
fn compare(upper: &Directory, lower: Option<&Directory>) -> io::Result<Vec<Change>> {
    let mut changes = Vec::new();
    let lower = lower.map(Directory::try_clone).transpose()?;
    let top = Pair {
        upper: upper.try_clone()?,
        lower,
        path: OsString::new(),
        own: None,
        stub: false,
    };
    let mut levels = vec![open(top, &mut changes)?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.rest.next() else {
            if let Some(done) = levels.pop() {
                close(done, &mut changes);
            }
            continue;
        };
        let Some(pair) = one(level, &entry, &mut changes)? else {
            continue;
        };
        if levels.len() >= DEEPEST {
            return Err(rustix::io::Errno::NAMETOOLONG.into());
        }
        levels.push(open(pair, &mut changes)?);
    }
    changes.sort_by(|a, b| order(&a.path).cmp(order(&b.path)));
    Ok(changes)
}

/// Directories before what is in them, and that before what is named alike.
fn order(path: &OsStr) -> impl Iterator<Item = &[u8]> + use<'_> {
    path.as_encoded_bytes().split(|byte| *byte == b'/')
}

struct Pair {
    upper: Directory,
    lower: Option<Directory>,
    path: OsString,
    own: Option<ChangeKind>,
    stub: bool,
}

/// Compares one entry; gives directories back whose contents are to be compared.
fn one(level: &Level, entry: &Entry, changes: &mut Vec<Change>) -> io::Result<Option<Pair>> {
    let status = match level.upper.status_of(&entry.name) {
        // Gone since the directory was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let below = level
        .lower
        .as_ref()
        .and_then(|lower| lower.status_of(&entry.name).ok());
    let path = join(&level.path, &entry.name);
    let kind = FileType::from_raw_mode(status.st_mode);
    if kind == FileType::CharacterDevice && status.st_rdev == 0 {
        if below.is_some() {
            changes.push(Change {
                kind: ChangeKind::Deleted,
                path,
            });
        }
        return Ok(None);
    }
    let own = match &below {
        None => Some(ChangeKind::Added),
        Some(below) => differ(below, &status).then_some(ChangeKind::Changed),
    };
    let stub = own == Some(ChangeKind::Added) && stubs::is_stub(&path, &status);
    if kind != FileType::Directory {
        if let (Some(kind), false) = (own, stub) {
            changes.push(Change { kind, path });
        }
        return Ok(None);
    }
    let is_directory =
        |status: &Stat| FileType::from_raw_mode(status.st_mode) == FileType::Directory;
    let lower = match (&level.lower, below.as_ref().is_some_and(is_directory)) {
        (Some(lower), true) => Some(lower.directory_beneath(&entry.name)?),
        _ => None,
    };
    Ok(Some(Pair {
        upper: level.upper.directory_beneath(&entry.name)?,
        lower,
        path,
        own,
        stub,
    }))
}

fn open(pair: Pair, changes: &mut Vec<Change>) -> io::Result<Level> {
    let mut entries = pair.upper.entries()?;
    let place = changes.len();
    let opaque = is_opaque(&pair.upper);
    entries.retain(|entry| !(opaque && pack::is_programs_mark(entry.name.as_encoded_bytes())));
    if let (Some(lower), true) = (&pair.lower, opaque) {
        // Nothing of the image shows through: what is not here again was deleted.
        let here: BTreeSet<&OsStr> = entries.iter().map(|e| e.name.as_os_str()).collect();
        for entry in lower.entries()? {
            if !here.contains(entry.name.as_os_str()) {
                changes.push(Change {
                    kind: ChangeKind::Deleted,
                    path: join(&pair.path, &entry.name),
                });
            }
        }
    }
    Ok(Level {
        upper: pair.upper,
        lower: pair.lower,
        path: pair.path,
        rest: entries.into_iter(),
        place,
        own: pair.own,
        stub: pair.stub,
    })
}

fn close(level: Level, changes: &mut Vec<Change>) {
    let below = changes.len() > level.place;
    let kind = match level.own {
        Some(_) if level.stub && !below => None,
        // A directory is changed by what is in it; the root is never listed.
        None if below && !level.path.is_empty() => Some(ChangeKind::Changed),
        own => own,
    };
    changes.extend(kind.map(|kind| Change {
        kind,
        path: level.path,
    }));
}

fn join(folder: &OsStr, name: &OsStr) -> OsString {
    let mut path = folder.to_owned();
    path.push("/");
    path.push(name);
    path
}

/// Docker's comparison: what a directory weighs and when something was made in it does not
/// count.
fn differ(old: &Stat, new: &Stat) -> bool {
    let look = |s: &Stat| (s.st_mode, s.st_uid, s.st_gid, s.st_rdev);
    if look(old) != look(new) {
        return true;
    }
    if FileType::from_raw_mode(new.st_mode) == FileType::Directory {
        return false;
    }
    let same_time = old.st_mtime == new.st_mtime
        && (old.st_mtime_nsec == new.st_mtime_nsec
            || old.st_mtime_nsec == 0
            || new.st_mtime_nsec == 0);
    old.st_size != new.st_size || !same_time
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn root_changes_are_those_of_docker() {
        let folder = tempfile::tempdir().unwrap();
        let (upper, lower) = (folder.path().join("upper"), folder.path().join("lower"));
        for path in ["etc", "dir/sub", "gone", "opaque/old", "turned", "same"] {
            fs::create_dir_all(lower.join(path)).unwrap();
        }
        for path in [
            "etc/passwd",
            "dir/sub/f",
            "dir/deleted",
            "opaque/f",
            "file",
            "turned/x",
        ] {
            fs::write(lower.join(path), "old").unwrap();
        }
        for path in [
            "etc", "dir/sub", "opaque", "new/sub", "file", "proc", "dev/pts", "same", "etc-x",
        ] {
            fs::create_dir_all(upper.join(path)).unwrap();
        }
        fs::write(upper.join("etc/hosts"), "").unwrap();
        fs::write(upper.join("dir/sub/f"), "changed").unwrap();
        fs::write(upper.join("new/sub/f"), "x").unwrap();
        fs::write(upper.join("file/inside"), "x").unwrap();
        fs::write(upper.join("opaque/kept"), "x").unwrap();
        fs::write(upper.join("etc-x/y"), "x").unwrap();
        symlink("x", upper.join("turned")).unwrap();
        let directory = |path: &str| Directory::open(&upper.join(path)).unwrap();
        let whiteout = |path: &str, name: &str| {
            directory(path)
                .make_node(OsStr::new(name), FileType::CharacterDevice, 0, 0)
                .unwrap();
        };
        whiteout(".", "gone");
        whiteout(".", "never-was");
        whiteout("dir", "deleted");
        gantry_sys::xattr::set(
            directory("opaque"),
            OsStr::new("trusted.overlay.opaque"),
            b"y",
        )
        .unwrap();
        let compared = || {
            let lower = Directory::open(&lower).unwrap();
            compare(&directory("."), Some(&lower))
                .unwrap()
                .into_iter()
                .map(|change| format!("{:?} {}", change.kind, change.path.to_str().unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            compared(),
            [
                "Changed /dir",
                "Deleted /dir/deleted",
                "Changed /dir/sub",
                "Changed /dir/sub/f",
                "Added /etc-x",
                "Added /etc-x/y",
                "Changed /file",
                "Added /file/inside",
                "Deleted /gone",
                "Added /new",
                "Added /new/sub",
                "Added /new/sub/f",
                "Changed /opaque",
                "Deleted /opaque/f",
                "Added /opaque/kept",
                "Deleted /opaque/old",
                "Changed /turned",
            ]
        );
        fs::set_permissions(upper.join("same"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(upper.join("proc/file"), "x").unwrap();
        let more = compared();
        assert!(more.contains(&"Changed /same".to_owned()), "{more:?}");
        assert!(more.contains(&"Added /proc".to_owned()), "{more:?}");
    }
}
