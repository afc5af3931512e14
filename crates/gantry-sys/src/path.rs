//! Paths below a directory that cannot be escaped.
//!
//! [`Directory`] is a descriptor; names are resolved relative to it by `openat2(2)`, either as if
//! it were the root of the file system ([`Directory::open_in_root`]: links are followed inside) or
//! strictly ([`Directory::open_beneath`]: no link is followed at all). Whatever changes an entry
//! takes a single name, so that nothing between check and use can lead elsewhere.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dev, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

mod copying;
mod listing;
mod removal;

pub use copying::{Contents, Marks, Owners, TreeCopy};
pub use listing::{Entry, Listed, Listing};
pub use removal::remove_tree;

/// A directory held open.
#[derive(Debug)]
pub struct Directory(OwnedFd);

/// How often `openat2` is tried again when a rename elsewhere made it give up (`EAGAIN`).
const ATTEMPTS: usize = 128;

/// How a path is resolved that no link and no `..` may lead anywhere.
const STRICTLY: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// Bytes of a path that the kernel takes at once (`PATH_MAX`), the zero at its end left out.
const LONGEST: usize = 4095;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Directory {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Directory> for OwnedFd {
    fn from(directory: Directory) -> Self {
        directory.0
    }
}

/// Whether this is one name: not empty, no slash, neither `.` nor `..`.
#[must_use]
pub fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !matches!(bytes, b"" | b"." | b"..") && !bytes.contains(&b'/') && !bytes.contains(&0)
}

fn one_name(name: &OsStr) -> io::Result<&OsStr> {
    if is_name(name) {
        Ok(name)
    } else {
        Err(io::Error::from(io::ErrorKind::InvalidInput))
    }
}

impl Directory {
    /// Opens a directory by a path of the host; links are followed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(
            CWD,
            path,
            DIRECTORY,
            Mode::empty(),
        )?))
    }

    /// A second descriptor of the same directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Opens `path` as if this directory were the root of the file system: absolute paths and
    /// links start here, `..` stays here.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_in_root(
        &self,
        path: impl AsRef<OsStr>,
        flags: OFlags,
        mode: u32,
    ) -> io::Result<OwnedFd> {
        let mode = Mode::from_raw_mode(mode);
        Ok(openat2(
            &self.0,
            path.as_ref().as_bytes(),
            flags,
            mode,
            ResolveFlags::IN_ROOT,
        )?)
    }

    /// Opens a relative `path` below this directory without following any link.
    ///
    /// # Errors
    /// The kernel's: `ELOOP` at a link, `EXDEV` at `..` or an absolute path.
    pub fn open_beneath(
        &self,
        path: impl AsRef<OsStr>,
        flags: OFlags,
        mode: u32,
    ) -> io::Result<OwnedFd> {
        let mode = Mode::from_raw_mode(mode);
        Ok(strictly(&self.0, path.as_ref().as_bytes(), flags, mode)?)
    }

    /// The directory at `path`, links followed inside this one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn directory_in_root(&self, path: impl AsRef<OsStr>) -> io::Result<Self> {
        self.open_in_root(path, DIRECTORY, 0).map(Self)
    }

    /// The directory at the relative `path`, no link followed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn directory_beneath(&self, path: impl AsRef<OsStr>) -> io::Result<Self> {
        self.open_beneath(path, DIRECTORY, 0).map(Self)
    }

    /// Creates every missing directory of `path` with these permission bits (the process's umask
    /// applies) and returns the last; links are followed inside this directory.
    ///
    /// # Errors
    /// The kernel's; `ENOTDIR` where something else is in the way, also at a dangling link.
    pub fn create_all_in_root(&self, path: impl AsRef<OsStr>, mode: u32) -> io::Result<Self> {
        // Resolved from the root for each prefix: a link in the middle may lead anywhere in it.
        let mut prefix = OsString::from(".");
        let mut here = self.try_clone()?;
        for name in components(path.as_ref()) {
            prefix.push("/");
            prefix.push(name);
            match self.directory_in_root(&prefix) {
                Ok(next) => here = next,
                Err(error) if error.kind() == io::ErrorKind::NotFound && name != ".." => {
                    match here.make_directory(name, mode) {
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                            return Err(io::Error::from(Errno::NOTDIR));
                        }
                        other => other?,
                    }
                    here = self.directory_in_root(&prefix)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(here)
    }

    /// Creates every missing directory of a relative `path` without following links.
    ///
    /// # Errors
    /// The kernel's; `ENOTDIR` or `ELOOP` where something else is in the way.
    pub fn create_all_beneath(&self, path: impl AsRef<OsStr>, mode: u32) -> io::Result<Self> {
        let path = path.as_ref();
        if let Ok(found) = self.directory_beneath(path) {
            return Ok(found);
        }
        let mut here = self.try_clone()?;
        for name in components(path) {
            here = match here.directory_beneath(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    here.make_directory(name, mode)?;
                    here.directory_beneath(name)?
                }
                other => other?,
            };
        }
        Ok(here)
    }

    /// Creates a regular file that must not exist yet, open for reading and writing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create_file(&self, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            &self.0,
            one_name(name)?,
            flags,
            Mode::from_raw_mode(mode),
        )?)
    }

    /// Opens the entry `name` itself; a link in its place is `ELOOP`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_entry(&self, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            &self.0,
            one_name(name)?,
            flags,
            Mode::empty(),
        )?)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_directory(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(
            &self.0,
            one_name(name)?,
            Mode::from_raw_mode(mode),
        )?)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_symlink(&self, target: &OsStr, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.0, one_name(name)?)?)
    }

    /// Makes a device node, FIFO or socket.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_node(
        &self,
        name: &OsStr,
        kind: FileType,
        mode: u32,
        device: Dev,
    ) -> io::Result<()> {
        Ok(rustix::fs::mknodat(
            &self.0,
            one_name(name)?,
            kind,
            Mode::from_raw_mode(mode),
            device,
        )?)
    }

    /// Makes a hard link `name` to the entry `old` of `from`, which is not followed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_link(&self, from: &Self, old: &OsStr, name: &OsStr) -> io::Result<()> {
        let (old, name) = (one_name(old)?, one_name(name)?);
        Ok(rustix::fs::linkat(
            &from.0,
            old,
            &self.0,
            name,
            AtFlags::empty(),
        )?)
    }

    /// Renames the entry `old` of `from` to `name`, which it replaces.
    ///
    /// # Errors
    /// The kernel's.
    pub fn rename_from(&self, from: &Self, old: &OsStr, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(
            &from.0,
            one_name(old)?,
            &self.0,
            one_name(name)?,
        )?)
    }

    /// Removes an entry that is no directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_entry(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.0,
            one_name(name)?,
            AtFlags::empty(),
        )?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.0,
            one_name(name)?,
            AtFlags::REMOVEDIR,
        )?)
    }

    /// Removes an entry and all below it; what is not there is no error. Links are not followed,
    /// and no depth is too deep.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_all(&self, name: &OsStr) -> io::Result<()> {
        Ok(remove_tree(&self.0, one_name(name)?.as_bytes())?)
    }

    /// What the entry `name` itself is.
    ///
    /// # Errors
    /// The kernel's.
    pub fn status_of(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(rustix::fs::statat(
            &self.0,
            one_name(name)?,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// What this directory is.
    ///
    /// # Errors
    /// The kernel's.
    pub fn status(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.0)?)
    }

    /// Where the link `name` leads.
    ///
    /// # Errors
    /// The kernel's; `EINVAL` when it is no link.
    pub fn read_link(&self, name: &OsStr) -> io::Result<OsString> {
        let target = rustix::fs::readlinkat(&self.0, one_name(name)?, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Sets the owner of the entry `name` itself.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_owner(&self, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(
            &self.0,
            one_name(name)?,
            Some(uid),
            Some(gid),
            flags,
        )?)
    }

    /// Sets the permission bits (12 of them) of the entry `name`, which must be no link.
    ///
    /// # Errors
    /// The kernel's; `ELOOP` when a link is in its place.
    pub fn set_mode(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        let entry = self.open_entry(name, OFlags::PATH)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode) == FileType::Symlink {
            return Err(io::Error::from(Errno::LOOP));
        }
        let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
        Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode & 0o7777))?)
    }

    /// Sets access and modification time of the entry `name` itself, in seconds and nanoseconds
    /// since the epoch.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_times(
        &self,
        name: &OsStr,
        accessed: Timespec,
        modified: Timespec,
    ) -> io::Result<()> {
        let times = Timestamps {
            last_access: accessed,
            last_modification: modified,
        };
        Ok(rustix::fs::utimensat(
            &self.0,
            one_name(name)?,
            &times,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// All entries but `.` and `..`, in the order of the file system.
    ///
    /// # Errors
    /// The kernel's.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        // A descriptor of its own: reading moves the offset of the open directory.
        let own = rustix::fs::openat(&self.0, c".", DIRECTORY, Mode::empty())?;
        let listing = Listing::read(own)?;
        Ok(listing.iter().map(Entry::from).collect())
    }
}

/// Opens a relative `path` below a directory without following any link: what
/// [`Directory::open_beneath`] does, for who has a descriptor of its own.
///
/// # Errors
/// The kernel's: `ELOOP` at a link, `EXDEV` at `..` or an absolute path.
pub fn open_beneath(
    directory: impl AsFd,
    path: &[u8],
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    strictly(directory, path, flags, Mode::empty())
}

/// In pieces where the path is longer than the kernel takes at once, as a container makes it by
/// going down step by step.
fn strictly(
    directory: impl AsFd,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    if path.len() <= LONGEST {
        return openat2(directory, path, flags, mode, STRICTLY);
    }
    let slash = path[..LONGEST].iter().rposition(|byte| *byte == b'/');
    let (piece, mut rest) = path.split_at(slash.ok_or(Errno::NAMETOOLONG)?);
    while let Some(next) = rest.strip_prefix(b"/") {
        rest = next;
    }
    let step = OFlags::PATH | OFlags::DIRECTORY;
    let reached = openat2(directory, piece, step, Mode::empty(), STRICTLY)?;
    strictly(reached, rest, flags, mode)
}

/// The empty path is the directory itself.
fn openat2(
    directory: impl AsFd,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = flags | OFlags::CLOEXEC;
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..ATTEMPTS {
        match rustix::fs::openat2(directory.as_fd(), path, flags, mode, resolve) {
            // The kernel could not prove that no rename took the walk outside.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Whether an error says that there is nothing of this name.
#[must_use]
pub fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// What was asked for of a path; `None` where there is nothing of this name.
///
/// # Errors
/// All others.
pub fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of a path, without empty ones and `.`.
pub fn components(path: &OsStr) -> impl Iterator<Item = &OsStr> {
    path.as_bytes()
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_may_be_longer_than_the_kernel_takes() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Directory::open(folder.path()).expect("opened");
        let long = "n".repeat(200);
        let mut here = root.try_clone().expect("the same");
        let mut path = OsString::new();
        for _ in 0..50 {
            here = here.create_all_in_root(&long, 0o755).expect("made");
            path.push(&long);
            path.push("/");
        }
        let make = OFlags::CREATE | OFlags::WRONLY;
        drop(here.open_beneath("f", make, 0o644).expect("made"));
        path.push("f");
        let file = root.open_beneath(&path, OFlags::RDONLY, 0);
        assert!(file.is_ok(), "{file:?}");
        path.push("/f");
        let none = root.open_beneath(&path, OFlags::RDONLY, 0);
        assert_eq!(
            none.expect_err("no directory").kind(),
            io::ErrorKind::NotADirectory
        );
        let name = OsString::from("n".repeat(5000));
        assert!(root.open_beneath(&name, OFlags::RDONLY, 0).is_err());
    }

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn links_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        let inside = outside.path().join("root");
        fs::create_dir_all(inside.join("real")).unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        symlink("../secret", inside.join("up")).unwrap();
        symlink("/real", inside.join("absolute")).unwrap();
        let root = Directory::open(&inside).unwrap();
        assert!(root.open_in_root("up", OFlags::RDONLY, 0).is_err());
        assert!(
            root.open_in_root("../../secret", OFlags::RDONLY, 0)
                .is_err()
        );
        assert!(root.directory_in_root("absolute").is_ok());
        assert!(root.directory_beneath("absolute").is_err());
        assert!(root.directory_beneath("..").is_err());
        root.create_all_in_root("absolute/a/../b", 0o755).unwrap();
        assert!(inside.join("real/b").is_dir());
        assert!(root.create_all_beneath("absolute/c", 0o755).is_err());
        assert!(root.make_directory(name("../x"), 0o755).is_err());
    }

    #[test]
    fn whole_trees_go_and_links_do_not_lead_the_removal_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("t/a/b/c")).unwrap();
        fs::create_dir_all(folder.path().join("keep")).unwrap();
        fs::write(folder.path().join("keep/file"), "x").unwrap();
        symlink("../../keep", folder.path().join("t/a/link")).unwrap();
        for n in 0..500 {
            fs::write(folder.path().join(format!("t/a/b/{n}")), "").unwrap();
        }
        let root = Directory::open(folder.path()).unwrap();
        root.remove_all(name("t")).unwrap();
        root.remove_all(name("t")).unwrap();
        assert!(!folder.path().join("t").exists());
        assert!(folder.path().join("keep/file").exists());
    }

    #[test]
    fn trees_deeper_than_descriptors_reach_go_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let root = Directory::open(folder.path()).unwrap();
        root.make_directory(name("t"), 0o755).unwrap();
        let mut here = root.directory_beneath("t").unwrap();
        for _ in 0..3000 {
            here.make_directory(name("d"), 0o755).unwrap();
            drop(here.create_file(name("f"), 0o644).unwrap());
            here = here.directory_beneath("d").unwrap();
        }
        drop(here);
        root.remove_all(name("t")).unwrap();
        assert!(!folder.path().join("t").exists());
    }

    #[test]
    fn modes_are_not_set_through_links() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        symlink("file", folder.path().join("link")).unwrap();
        let root = Directory::open(folder.path()).unwrap();
        root.set_mode(name("file"), 0o4711).unwrap();
        assert_eq!(
            root.status_of(name("file")).unwrap().st_mode & 0o7777,
            0o4711
        );
        assert!(root.set_mode(name("link"), 0o777).is_err());
    }
}
