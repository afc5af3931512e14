//! Finding source and destination below a root that others may be changing at this moment.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;

use gantry_sys::path::Directory;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::rules;

/// Links followed on the way to one file.
const MOST_LINKS: usize = 40;

/// Something that is there: what it is, held open so that it stays what it is (`O_PATH`).
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: OwnedFd,
    pub(super) status: Stat,
}

impl Found {
    pub(super) fn new(file: OwnedFd) -> io::Result<Self> {
        let status = rustix::fs::fstat(&file)?;
        Ok(Self { file, status })
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.status.st_mode)
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }
}

/// A name in a directory, whether something is there or not. The name is `.` where the path
/// means the directory itself.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) parent: Directory,
    pub(super) name: OsString,
    pub(super) found: Option<Found>,
}

/// Finds the place of a path below `root`. Links are followed on the way, but not at its end,
/// unless the path says that it is a directory.
///
/// # Errors
/// `ENOENT` when the directory it should be in is missing; a path that says it is a directory
/// and is missing has the place it would be made at.
pub(super) fn find(root: &Directory, path: &str) -> io::Result<Place> {
    let trimmed = trim(path);
    if rules::means_directory(path) {
        match open_directory(root, path) {
            Ok(parent) => {
                let found = Found::new(open_self(&parent)?)?;
                let name = OsString::from(".");
                return Ok(Place {
                    parent,
                    name,
                    found: Some(found),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !trimmed.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    let (folder, name) = split(trimmed);
    let parent = open_directory(root, folder)?;
    let name = OsString::from(name);
    if !gantry_sys::path::is_name(&name) {
        return Err(Errno::NOENT.into());
    }
    let found = match parent.open_entry(&name, OFlags::PATH) {
        Ok(file) => Some(Found::new(file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Place {
        parent,
        name,
        found,
    })
}

/// The same, links at the end followed as well: the place of what they lead to, which may be
/// nothing.
pub(super) fn follow(root: &Directory, path: &str) -> io::Result<(Place, String)> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let place = find(root, &path)?;
        let link = match &place.found {
            Some(found) if found.kind() == FileType::Symlink => read_link(found)?,
            _ => return Ok((place, path)),
        };
        let link = link.into_string().map_err(|_| Errno::INVAL)?;
        path = match link.starts_with('/') {
            true => link,
            false => match split(trim(&path)).0 {
                "/" => format!("/{link}"),
                folder => format!("{folder}/{link}"),
            },
        };
    }
    Err(Errno::LOOP.into())
}

/// Where an open link leads.
pub(super) fn read_link(found: &Found) -> io::Result<OsString> {
    use std::os::unix::ffi::OsStringExt;
    let target = rustix::fs::readlinkat(&found.file, c"", Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()))
}

fn open_directory(root: &Directory, path: &str) -> io::Result<Directory> {
    // Not for reading: the caller may be allowed to pass through it only.
    root.open_in_root(OsStr::new(path), OFlags::PATH | OFlags::DIRECTORY, 0)
        .map(Directory::from)
}

fn open_self(directory: &Directory) -> io::Result<OwnedFd> {
    directory.open_beneath(OsStr::new("."), OFlags::PATH | OFlags::DIRECTORY, 0)
}

/// Without slashes and dots at the end.
fn trim(path: &str) -> &str {
    let mut path = path;
    loop {
        let shorter = path.trim_end_matches('/');
        let shorter = shorter.strip_suffix("/.").unwrap_or(shorter);
        if shorter == path || shorter == "." {
            return if shorter == "." { "" } else { shorter };
        }
        path = shorter;
    }
}

fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => (".", path),
    }
}

/// The last name of a path, which is `.` or `/` for one that has none.
pub(super) fn base_name(path: &str) -> &str {
    if rules::means_contents(path) {
        return ".";
    }
    match split(trim(path)).1 {
        "" => "/",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn names_of_paths() {
        for (path, want) in [
            ("/a/b", "b"),
            ("/a/b/", "b"),
            ("/a/b/.", "."),
            ("a", "a"),
            ("/", "/"),
            ("/.", "."),
            (".", "."),
        ] {
            assert_eq!(base_name(path), want, "{path}");
        }
        assert_eq!(trim("/a/./"), "/a");
        assert_eq!(trim("/"), "");
    }

    #[test]
    fn places_stay_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("root/d/sub")).unwrap();
        fs::write(at("root/d/f"), "x").unwrap();
        fs::write(at("secret"), "x").unwrap();
        symlink("../../secret", at("root/d/out")).unwrap();
        symlink(at("secret"), at("root/abs")).unwrap();
        symlink("/d", at("root/ld")).unwrap();
        symlink("nowhere", at("root/dangling")).unwrap();
        symlink("loop", at("root/loop")).unwrap();
        let root = Directory::open(&at("root")).unwrap();
        let found = |path: &str| find(&root, path).map(|place| place.found.is_some());
        assert!(found("/ld/f").unwrap());
        assert!(!found("/ld/new").unwrap());
        assert!(!found("/d/new/").unwrap());
        assert!(found("/no/new").is_err());
        assert!(found("/d/f/").is_err());
        assert!(found("/../../d/f").unwrap());
        assert!(find(&root, "/ld").unwrap().found.unwrap().kind() == FileType::Symlink);
        assert!(find(&root, "/ld/").unwrap().found.unwrap().is_directory());
        assert_eq!(find(&root, "/").unwrap().name, ".");
        let (place, path) = follow(&root, "/dangling").unwrap();
        assert!(place.found.is_none() && path == "/nowhere");
        assert!(follow(&root, "/d/out").unwrap().0.found.is_none());
        assert!(follow(&root, "/abs").is_err());
        assert!(follow(&root, "/loop").is_err());
    }
}
