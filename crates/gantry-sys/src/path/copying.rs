//! Copying whole trees: owners, modes, times, attributes and hard links as they are, or as they
//! are for somebody else.
//!
//! What is copied may be hostile: nothing is opened but as what it was looked at, and no link is
//! followed.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::{Directory, Entry};
use crate::{fd, xattr};

/// Depth up to which a tree is copied; deeper ones are refused rather than running out of
/// descriptors.
const DEEPEST: usize = 256;

/// Attributes of a file whose content is elsewhere (overlayfs, "Data-only lower layers").
const ELSEWHERE: &str = "user.overlay.metacopy";
const PLACE: &str = "user.overlay.redirect";

/// Whether marks that mean something to overlayfs are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// Opaque directories stay so.
    Kept,
    /// None is.
    LeftOut,
}

/// The place of a file's content in an overlay's data directory, absolute, by the file's path in the
/// tree.
pub type Contents<'a> = &'a dyn Fn(&Path) -> io::Result<PathBuf>;

/// Whom a copy belongs to, by the user and the group of the original.
pub type Owners<'a> = &'a dyn Fn(u32, u32) -> io::Result<(u32, u32)>;

/// How a tree is copied.
#[derive(Clone, Copy)]
pub struct TreeCopy<'a> {
    /// What becomes of overlayfs's marks. Whiteouts are files like others.
    pub marks: Marks,
    /// Whom the copies belong to; `None`: whom the originals belong to.
    pub owners: Option<Owners<'a>>,
    /// Copy no contents: files name the place of theirs, for an overlay with data directories.
    /// `None`: copy them.
    pub contents: Option<Contents<'a>>,
}

impl std::fmt::Debug for TreeCopy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeCopy")
            .field("marks", &self.marks)
            .field("owners", &self.owners.is_some())
            .field("contents", &self.contents.is_none())
            .finish()
    }
}

/// A folder whose entries are being copied.
struct Level {
    from: Directory,
    into: Directory,
    status: Stat,
    path: PathBuf,
    rest: Vec<Entry>,
}

impl TreeCopy<'_> {
    /// Copies what is in one directory into another, an empty one, and what this one looks like
    /// with it.
    ///
    /// # Errors
    /// The kernel's; `ENAMETOOLONG` for a tree that is too deep.
    pub fn run(&self, from: &Directory, into: &Directory) -> io::Result<()> {
        let status = from.status()?;
        self.entries(from, into)?;
        self.dress(from, into, &status)
    }

    fn entries(&self, from: &Directory, into: &Directory) -> io::Result<()> {
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
                    self.dress(&done.from, &done.into, &done.status)?;
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
                let from = level.from.directory_beneath(&entry.name)?;
                let next = Level {
                    rest: from.entries()?,
                    from,
                    into: level.into.directory_beneath(&entry.name)?,
                    status,
                    path,
                };
                if stack.len() >= DEEPEST {
                    return Err(Errno::NAMETOOLONG.into());
                }
                stack.push(next);
                continue;
            }
            if status.st_nlink > 1 {
                if let Some(first) = links.get(&(status.st_dev, status.st_ino)) {
                    link(&top, first, &level.into, &entry.name)?;
                    continue;
                }
                links.insert((status.st_dev, status.st_ino), path.clone());
            }
            self.entry(&level.from, &level.into, &entry.name, &status, &path)?;
        }
        Ok(())
    }

    fn entry(
        &self,
        from: &Directory,
        into: &Directory,
        name: &OsStr,
        status: &Stat,
        path: &Path,
    ) -> io::Result<()> {
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {
                let source = from.open_entry(name, OFlags::RDONLY | OFlags::NONBLOCK)?;
                let now = rustix::fs::fstat(&source)?;
                if FileType::from_raw_mode(now.st_mode) != FileType::RegularFile {
                    return Ok(());
                }
                let copy = into.create_file(name, 0o600)?;
                match self.contents {
                    Some(contents) if now.st_size > 0 => {
                        let place = contents(path)?;
                        rustix::fs::ftruncate(&copy, now.st_size.unsigned_abs())?;
                        xattr::set(&copy, OsStr::new(ELSEWHERE), b"")?;
                        xattr::set(&copy, OsStr::new(PLACE), place.as_os_str().as_bytes())?;
                    }
                    _ => drop(fd::copy(&source, &copy)?),
                }
            }
            FileType::Symlink => into.make_symlink(&from.read_link(name)?, name)?,
            kind => into.make_node(name, kind, status.st_mode & 0o7777, status.st_rdev)?,
        }
        let (uid, gid) = self.owner(status)?;
        into.set_owner(name, uid, gid)?;
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
    fn dress(&self, from: &Directory, into: &Directory, status: &Stat) -> io::Result<()> {
        let (uid, gid) = self.owner(status)?;
        rustix::fs::fchown(into, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        copy_attributes(from, into, self.marks)?;
        rustix::fs::fchmod(into, Mode::from_raw_mode(status.st_mode & 0o7777))?;
        let (last_access, last_modification) = times(status);
        let times = Timestamps {
            last_access,
            last_modification,
        };
        Ok(rustix::fs::futimens(into, &times)?)
    }

    fn owner(&self, status: &Stat) -> io::Result<(u32, u32)> {
        match self.owners {
            None => Ok((status.st_uid, status.st_gid)),
            Some(owners) => owners(status.st_uid, status.st_gid),
        }
    }
}

fn link(top: &Directory, first: &Path, into: &Directory, name: &OsStr) -> io::Result<()> {
    let folder = first.parent().unwrap_or(Path::new(""));
    let old: OsString = first.file_name().unwrap_or_default().to_owned();
    into.make_link(&top.directory_beneath(folder.as_os_str())?, &old, name)
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
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    fn copied(contents: Option<Contents<'_>>, owners: Owners<'_>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("from/sub")).expect("folders");
        fs::create_dir(at("into")).expect("a folder");
        fs::write(at("from/sub/file"), "content").expect("a file");
        fs::write(at("from/empty"), "").expect("a file");
        fs::hard_link(at("from/sub/file"), at("from/same")).expect("a link");
        chown(at("from/sub/file"), Some(7), Some(8)).expect("an owner");
        fs::set_permissions(at("from/sub/file"), fs::Permissions::from_mode(0o4751))
            .expect("a mode");
        let (from, into) = (Directory::open(&at("from")), Directory::open(&at("into")));
        let copy = TreeCopy {
            marks: Marks::Kept,
            owners: Some(owners),
            contents,
        };
        let done = copy.run(&from.expect("opened"), &into.expect("opened"));
        done.expect("copied");
        let into = at("into");
        (folder, into)
    }

    #[test]
    fn root_copies_belong_to_others() {
        let (_folder, into) = copied(None, &|uid, gid| Ok((uid + 100, gid + 200)));
        let file = fs::metadata(into.join("sub/file")).expect("a file");
        assert_eq!((file.uid(), file.gid()), (107, 208));
        assert_eq!(file.mode() & 0o7777, 0o4751, "no bit is lost");
        let same = fs::metadata(into.join("same")).expect("a file");
        assert_eq!(same.ino(), file.ino());
        let top = fs::metadata(&into).expect("a folder");
        assert_eq!((top.uid(), top.gid()), (100, 200));
        assert_eq!(fs::read(into.join("same")).expect("a file"), b"content");
    }

    #[test]
    fn root_contents_stay_where_they_are() {
        let place = |path: &Path| Ok(Path::new("/layer/fs").join(path));
        let (_folder, into) = copied(Some(&place), &|uid, gid| Ok((uid, gid)));
        // Whichever name came first is the place of both.
        let file = fs::File::open(into.join("sub/file")).expect("a file");
        let place = xattr::value(&file, OsStr::new(PLACE)).expect("attributes");
        let place = place.expect("it has a place");
        assert!([&b"/layer/fs/sub/file"[..], b"/layer/fs/same"].contains(&&place[..]));
        assert_eq!(
            xattr::value(&file, OsStr::new(ELSEWHERE)).expect("attributes"),
            Some(Vec::new())
        );
        let status = file.metadata().expect("a status");
        assert_eq!((status.len(), status.blocks()), (7, status.blocks().min(8)));
        let empty = fs::File::open(into.join("empty")).expect("a file");
        let none = xattr::value(&empty, OsStr::new(ELSEWHERE)).expect("attributes");
        assert_eq!(none, None);
    }
}
