//! Reading single files of a container's root file system without mounting it: the layers are
//! looked through as overlayfs would.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use gantry_sys::path::{Directory, components};
use rustix::fs::{FileType, OFlags};

/// Links followed on the way to one file.
const MOST_LINKS: usize = 40;
const OPAQUE: [&str; 3] = [
    "trusted.overlay.opaque",
    "user.overlay.opaque",
    gantry_store::pack::PROGRAMS_OPAQUE,
];

/// The layers of one root file system, held open.
#[derive(Debug)]
pub(crate) struct MergedRoot {
    /// Top first.
    layers: Vec<Directory>,
}

/// What a name leads to.
enum Found {
    Nothing,
    /// The same directory in each layer that shows through.
    Folder(Vec<Directory>),
    Link(OsString),
    File(File),
}

impl MergedRoot {
    /// The root file system of these layers, the topmost first. A layer that is not there
    /// (a writable layer not made yet) is left out.
    pub(crate) fn open<'a>(layers: impl Iterator<Item = &'a Path>) -> io::Result<Self> {
        let mut open = Vec::new();
        for layer in layers {
            match Directory::open(layer) {
                Ok(directory) => open.push(directory),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { layers: open })
    }

    /// A regular file, which may have `most` bytes; `None` when there is none at that path.
    /// Links are followed inside the root file system.
    pub(crate) fn read(&self, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
        let mut stack: Vec<Vec<Directory>> = vec![duplicate(&self.layers)?];
        let mut rest: VecDeque<OsString> =
            components(path.as_os_str()).map(OsString::from).collect();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == "." {
                continue;
            }
            if name == ".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let Some(here) = stack.last() else {
                return Ok(None);
            };
            match find(here, &name)? {
                Found::Nothing => return Ok(None),
                Found::Folder(below) => stack.push(below),
                Found::Link(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(io::Error::from(rustix::io::Errno::LOOP));
                    }
                    if target.as_encoded_bytes().first() == Some(&b'/') {
                        stack.truncate(1);
                    }
                    for name in components(&target).collect::<Vec<_>>().into_iter().rev() {
                        rest.push_front(name.to_owned());
                    }
                }
                Found::File(file) if rest.is_empty() => {
                    let mut bytes = Vec::new();
                    file.take(most + 1).read_to_end(&mut bytes)?;
                    if bytes.len() as u64 > most {
                        // What is cut off may be read as something else.
                        let reason = format!("it has more than {most} bytes");
                        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
                    }
                    return Ok(Some(bytes));
                }
                Found::File(_) => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn duplicate(layers: &[Directory]) -> io::Result<Vec<Directory>> {
    layers.iter().map(Directory::try_clone).collect()
}

fn find(here: &[Directory], name: &OsStr) -> io::Result<Found> {
    let mut folder = Vec::new();
    for directory in here {
        let status = match directory.status_of(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                let below = directory.directory_beneath(name)?;
                let opaque = is_opaque(&below);
                folder.push(below);
                if opaque {
                    break;
                }
            }
            // Whatever a lower layer has here does not show through.
            _ if !folder.is_empty() => break,
            FileType::Symlink => return Ok(Found::Link(directory.read_link(name)?)),
            FileType::RegularFile => {
                let file = directory.open_entry(name, OFlags::RDONLY | OFlags::NONBLOCK)?;
                // Looked at again: what was a file may be something else by now.
                let status = rustix::fs::fstat(&file)?;
                if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
                    return Ok(Found::Nothing);
                }
                return Ok(Found::File(File::from(file)));
            }
            // A whiteout, or nothing that can be read.
            _ => return Ok(Found::Nothing),
        }
    }
    if folder.is_empty() {
        Ok(Found::Nothing)
    } else {
        Ok(Found::Folder(folder))
    }
}

/// Whether a directory of a layer hides those below it.
pub(crate) fn is_opaque(folder: &Directory) -> bool {
    let mut value = [0_u8; 1];
    OPAQUE.iter().any(|name| {
        rustix::fs::fgetxattr(folder.as_fd(), *name, &mut value[..]).is_ok_and(|_| value == *b"y")
    })
}

/// A path of this container's layers, top first, as [`MergedRoot::open`] takes them.
pub(crate) fn top_first<'a>(
    upper: &'a Path,
    lowers: &'a [PathBuf],
) -> impl Iterator<Item = &'a Path> {
    std::iter::once(upper).chain(lowers.iter().rev().map(PathBuf::as_path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn layers() -> (tempfile::TempDir, PathBuf, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let upper = folder.path().join("upper");
        let lowers: Vec<PathBuf> = ["base", "middle"]
            .map(|name| folder.path().join(name))
            .into();
        for layer in lowers.iter().chain([&upper]) {
            fs::create_dir_all(layer.join("etc")).unwrap();
        }
        (folder, upper, lowers)
    }

    fn read(upper: &Path, lowers: &[PathBuf], path: &str) -> Option<String> {
        let root = MergedRoot::open(top_first(upper, lowers)).unwrap();
        root.read(Path::new(path), 100)
            .unwrap()
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_topmost_wins() {
        let (_folder, upper, lowers) = layers();
        fs::write(lowers[0].join("etc/passwd"), "base").unwrap();
        assert_eq!(
            read(&upper, &lowers, "/etc/passwd").as_deref(),
            Some("base")
        );
        fs::write(lowers[1].join("etc/passwd"), "middle").unwrap();
        assert_eq!(
            read(&upper, &lowers, "etc/passwd").as_deref(),
            Some("middle")
        );
        fs::write(upper.join("etc/passwd"), "x".repeat(1000)).unwrap();
        let root = MergedRoot::open(top_first(&upper, &lowers)).unwrap();
        let error = root.read(Path::new("/etc/passwd"), 999).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(root.read(Path::new("/etc/passwd"), 1000).is_ok());
        assert_eq!(read(&upper, &lowers, "/etc/group"), None);
    }

    #[test]
    fn links_stay_inside_and_cross_layers() {
        let (folder, upper, lowers) = layers();
        fs::write(folder.path().join("secret"), "host").unwrap();
        fs::create_dir_all(lowers[0].join("data")).unwrap();
        fs::write(lowers[0].join("data/real"), "real").unwrap();
        symlink("../../../../data/real", upper.join("etc/passwd")).unwrap();
        assert_eq!(
            read(&upper, &lowers, "/etc/passwd").as_deref(),
            Some("real")
        );
        symlink(folder.path().join("secret"), lowers[1].join("etc/group")).unwrap();
        assert_eq!(read(&upper, &lowers, "/etc/group"), None);
        symlink("loop", upper.join("etc/loop")).unwrap();
        let root = MergedRoot::open(top_first(&upper, &lowers)).unwrap();
        assert!(root.read(Path::new("/etc/loop"), 10).is_err());
    }

    #[test]
    fn a_file_hides_the_folder_below_it() {
        let (_folder, upper, lowers) = layers();
        fs::create_dir_all(lowers[0].join("a/b")).unwrap();
        fs::write(lowers[0].join("a/b/c"), "c").unwrap();
        assert_eq!(read(&upper, &lowers, "/a/b/c").as_deref(), Some("c"));
        fs::write(lowers[1].join("a"), "file").unwrap();
        assert_eq!(read(&upper, &lowers, "/a/b/c"), None);
    }

    #[test]
    fn root_whiteouts_and_opaque_folders_hide() {
        let (_folder, upper, lowers) = layers();
        fs::write(lowers[0].join("etc/passwd"), "base").unwrap();
        let directory = Directory::open(&lowers[1].join("etc")).unwrap();
        directory
            .make_node(OsStr::new("passwd"), FileType::CharacterDevice, 0, 0)
            .unwrap();
        assert_eq!(read(&upper, &lowers, "/etc/passwd"), None);
        fs::write(lowers[0].join("etc/group"), "group").unwrap();
        assert!(read(&upper, &lowers, "/etc/group").is_some());
        let etc = File::open(upper.join("etc")).unwrap();
        rustix::fs::fsetxattr(&etc, OPAQUE[0], b"y", rustix::fs::XattrFlags::empty()).unwrap();
        assert_eq!(read(&upper, &lowers, "/etc/group"), None);
    }
}
