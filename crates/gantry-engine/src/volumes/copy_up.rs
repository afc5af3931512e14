//! Filling a new volume with what the image has at its place.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use gantry_sys::path::Directory;
use gantry_sys::{fd, xattr};
use rustix::fs::{FileType, OFlags, Stat, Timespec};

use crate::containers::image_root;

/// Copies what the image has at `target` into an empty volume: owners, modes, times,
/// attributes and hard links as they are. A volume that holds anything, and an image that has
/// no folder there, are left alone.
///
/// The image is hostile: its links are followed inside its own root alone, and nothing it has
/// is opened but as what it was looked at.
pub(crate) fn copy_up(lowers: &[PathBuf], target: &Path, data: &Path) -> io::Result<()> {
    let into = Directory::open(data)?;
    // Two containers that are made at once must not both fill it.
    gantry_sys::lock::lock(&into, gantry_sys::lock::Kind::Exclusive)?;
    if !into.entries()?.is_empty() {
        return Ok(());
    }
    let Some(root) = image_root(lowers.to_vec())? else {
        return Ok(());
    };
    let from = match root.directory_in_root(target.as_os_str()) {
        Ok(from) => from,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let status = from.status()?;
    copy_tree(&from, &into, Marks::LeftOut)?;
    dress(&from, &into, &status, Marks::LeftOut)
}

/// Copies a container's writable layer as it is, overlayfs's whiteouts and opaque marks too, into
/// an empty directory.
pub(crate) fn copy_layer(from: &Directory, into: &Directory) -> io::Result<()> {
    let status = from.status()?;
    copy_tree(from, into, Marks::Kept)?;
    dress(from, into, &status, Marks::Kept)
}

/// Whether marks that mean something to overlayfs are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marks {
    Kept,
    LeftOut,
}

/// A folder whose entries are being copied.
struct Level {
    from: Directory,
    into: Directory,
    status: Stat,
    path: PathBuf,
    rest: Vec<gantry_sys::path::Entry>,
}

/// Depth up to which a folder's tree is copied; deeper ones are refused rather than running
/// out of descriptors.
const DEEPEST: usize = 256;

fn copy_tree(from: &Directory, into: &Directory, marks: Marks) -> io::Result<()> {
    let mut links: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let top = into.try_clone()?;
    let mut stack = vec![Level {
        rest: from.entries()?,
        status: from.status()?,
        from: from.try_clone()?,
        into: into.try_clone()?,
        path: PathBuf::new(),
    }];
    while let Some(level) = stack.last_mut() {
        let Some(entry) = level.rest.pop() else {
            // Times and modes last, when nothing is made inside any more.
            if let Some(done) = stack.pop()
                && !stack.is_empty()
            {
                dress(&done.from, &done.into, &done.status, marks)?;
            }
            continue;
        };
        let status = match level.from.status_of(&entry.name) {
            // Gone since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let path = level.path.join(&entry.name);
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            level.into.make_directory(&entry.name, 0o700)?;
            let next = Level {
                from: level.from.directory_beneath(&entry.name)?,
                into: level.into.directory_beneath(&entry.name)?,
                status,
                path,
                rest: Vec::new(),
            };
            if stack.len() >= DEEPEST {
                return Err(io::Error::from(rustix::io::Errno::NAMETOOLONG));
            }
            stack.push(Level {
                rest: next.from.entries()?,
                ..next
            });
            continue;
        }
        if status.st_nlink > 1 {
            if let Some(first) = links.get(&(status.st_dev, status.st_ino)) {
                link(&top, first, &level.into, &entry.name)?;
                continue;
            }
            links.insert((status.st_dev, status.st_ino), path);
        }
        copy_entry(&level.from, &level.into, &entry.name, &status)?;
    }
    Ok(())
}

fn link(top: &Directory, first: &Path, into: &Directory, name: &OsStr) -> io::Result<()> {
    let folder = first.parent().unwrap_or(Path::new(""));
    let old: OsString = first.file_name().unwrap_or_default().to_owned();
    into.make_link(&top.directory_beneath(folder.as_os_str())?, &old, name)
}

fn copy_entry(from: &Directory, into: &Directory, name: &OsStr, status: &Stat) -> io::Result<()> {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => {
            let source = from.open_entry(name, OFlags::RDONLY | OFlags::NONBLOCK)?;
            let now = rustix::fs::fstat(&source)?;
            if FileType::from_raw_mode(now.st_mode) != FileType::RegularFile {
                return Ok(());
            }
            let copy = into.create_file(name, 0o600)?;
            fd::copy(&source, &copy)?;
        }
        FileType::Symlink => into.make_symlink(&from.read_link(name)?, name)?,
        kind => into.make_node(name, kind, status.st_mode & 0o7777, status.st_rdev)?,
    }
    into.set_owner(name, status.st_uid, status.st_gid)?;
    let anchor = OFlags::PATH;
    copy_attributes(
        &from.open_entry(name, anchor)?,
        &into.open_entry(name, anchor)?,
        Marks::LeftOut,
    )?;
    if FileType::from_raw_mode(status.st_mode) != FileType::Symlink {
        into.set_mode(name, status.st_mode & 0o7777)?;
    }
    let (accessed, modified) = times(status);
    into.set_times(name, accessed, modified)
}

/// Gives a folder its owner, mode, attributes and times.
fn dress(from: &Directory, into: &Directory, status: &Stat, marks: Marks) -> io::Result<()> {
    let uid = rustix::fs::Uid::from_raw(status.st_uid);
    let gid = rustix::fs::Gid::from_raw(status.st_gid);
    rustix::fs::fchown(into, Some(uid), Some(gid))?;
    copy_attributes(from, into, marks)?;
    rustix::fs::fchmod(
        into,
        rustix::fs::Mode::from_raw_mode(status.st_mode & 0o7777),
    )?;
    let (last_access, last_modification) = times(status);
    let times = rustix::fs::Timestamps {
        last_access,
        last_modification,
    };
    Ok(rustix::fs::futimens(into, &times)?)
}

fn times(status: &Stat) -> (Timespec, Timespec) {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    (
        time(status.st_atime, status.st_atime_nsec),
        time(status.st_mtime, status.st_mtime_nsec),
    )
}

fn copy_attributes(from: impl AsFd, into: impl AsFd, marks: Marks) -> io::Result<()> {
    for (name, value) in xattr::all(from)? {
        let opaque = name.as_encoded_bytes().ends_with(b".overlay.opaque");
        if xattr::is_overlay(&name) && !(opaque && marks == Marks::Kept) {
            continue;
        }
        match xattr::set(&into, &name, &value) {
            // A file system without this kind of attribute.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn root_content_is_copied_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("base/srv/data/sub")).unwrap();
        fs::create_dir_all(at("top/srv/data")).unwrap();
        fs::create_dir_all(at("volume")).unwrap();
        fs::write(at("base/srv/data/old"), "old").unwrap();
        fs::write(at("top/srv/data/file"), "content").unwrap();
        fs::hard_link(at("top/srv/data/file"), at("top/srv/data/same")).unwrap();
        symlink("/etc/shadow", at("top/srv/data/link")).unwrap();
        std::os::unix::fs::chown(at("top/srv/data/file"), Some(33), Some(44)).unwrap();
        fs::set_permissions(at("top/srv/data/file"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(at("top/srv/data"), fs::Permissions::from_mode(0o1777)).unwrap();
        symlink("srv/data", at("top/alias")).unwrap();
        copy_up(&[at("base"), at("top")], Path::new("/alias"), &at("volume")).unwrap();
        let file = fs::metadata(at("volume/file")).unwrap();
        assert_eq!(
            (file.uid(), file.gid(), file.mode() & 0o7777),
            (33, 44, 0o4711)
        );
        assert_eq!(file.ino(), fs::metadata(at("volume/same")).unwrap().ino());
        assert_eq!(fs::read_to_string(at("volume/old")).unwrap(), "old");
        assert!(at("volume/sub").is_dir());
        assert_eq!(
            fs::read_link(at("volume/link")).unwrap(),
            Path::new("/etc/shadow")
        );
        assert_eq!(fs::metadata(at("volume")).unwrap().mode() & 0o7777, 0o1777);
        fs::write(at("base/srv/data/new"), "new").unwrap();
        copy_up(&[at("base"), at("top")], Path::new("/alias"), &at("volume")).unwrap();
        assert!(
            !at("volume/new").exists(),
            "a volume that holds something is left alone"
        );
    }

    #[test]
    fn root_links_cannot_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("base")).unwrap();
        fs::create_dir_all(at("volume")).unwrap();
        fs::create_dir_all(at("secret")).unwrap();
        fs::write(at("secret/key"), "key").unwrap();
        symlink(at("secret"), at("base/data")).unwrap();
        copy_up(&[at("base")], Path::new("/data"), &at("volume")).unwrap();
        copy_up(&[at("base")], Path::new("/missing"), &at("volume")).unwrap();
        assert_eq!(fs::read_dir(at("volume")).unwrap().count(), 0);
    }
}
