//! Writing a layer that lies over others, without mounting anything.
//!
//! New entries are made in the upper directory. What is looked up is looked up there first and
//! then in the merged view of the lower layers. A directory of the lower layers that gets an entry
//! is made in the upper directory with the same owner, mode and times, so that the new layer does
//! not change them. Nothing is ever deleted, so there are no whiteouts.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use gantry_sys::path::Directory;
use rustix::fs::{FileType, Timespec};
use rustix::io::Errno;

use crate::error::StepError;
use crate::tree::{Facts, join, split};

/// Most links followed on the way to one place, as in the kernel.
const MOST_LINKS: usize = 40;

/// A new layer over others.
#[derive(Debug)]
pub(crate) struct LayerWriter {
    upper: Directory,
    lower: Option<Directory>,
    /// Modification times of directories, set at the end: making entries changes them.
    times: BTreeMap<OsString, (i64, u32)>,
    /// The time that new directories get, if it is not the present.
    epoch: Option<(i64, u32)>,
}

/// Owner and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Where a path leads once links are followed; relative to the root, no link in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: OsString,
    /// What is there now.
    pub(crate) kind: Option<FileType>,
}

/// A directory of the new layer and what the lower layers have in its place.
#[derive(Debug)]
pub(crate) struct Here {
    pub(crate) upper: Directory,
    pub(crate) lower: Option<Directory>,
}

impl LayerWriter {
    /// A writer into an empty upper directory.
    pub(crate) fn new(
        upper: Directory,
        lower: Option<Directory>,
        epoch: Option<(i64, u32)>,
    ) -> io::Result<Self> {
        // The root of the new layer is the root of the merged file system.
        let permissions = match &lower {
            Some(lower) => Permissions::of(lower)?,
            None => Permissions {
                mode: 0o755,
                uid: 0,
                gid: 0,
            },
        };
        permissions.apply(&upper)?;
        Ok(Self {
            upper,
            lower,
            times: BTreeMap::new(),
            epoch,
        })
    }

    /// What is at a path that no link leads through.
    fn find(&self, path: &OsStr) -> Result<Option<(FileType, Facts, &Directory)>, StepError> {
        for root in std::iter::once(&self.upper).chain(&self.lower) {
            let (parent, name) = split(path);
            let status = match (name.is_empty(), root.directory_beneath(parent)) {
                (true, _) => root.status(),
                (false, Ok(directory)) => directory.status_of(name),
                (false, Err(error)) => Err(error),
            };
            match status {
                // What an archive deleted from the lower layers.
                Ok(stat) if is_whiteout(&stat) => return Ok(None),
                Ok(stat) => {
                    return Ok(Some((
                        FileType::from_raw_mode(stat.st_mode),
                        Facts::new(&stat),
                        root,
                    )));
                }
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
                // The upper layer has something else in place of a directory: the lower one is hidden.
                Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
                    return Ok(None);
                }
                Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                    return Ok(None);
                }
                Err(error) => return Err(StepError::io("look up", shown(path), error)),
            }
        }
        Ok(None)
    }

    /// Follows the links of an absolute path, the last one too. What does not exist is taken as it
    /// is written.
    pub(crate) fn resolve(&self, path: &str) -> Result<Place, StepError> {
        let mut done = OsString::new();
        let mut kind = Some(FileType::Directory);
        let mut links = 0;
        let mut open = components(OsStr::new(path));
        open.reverse();
        while let Some(name) = open.pop() {
            if name == ".." {
                done = split(&done).0.to_owned();
                kind = self.find(&done)?.map(|(kind, ..)| kind);
                continue;
            }
            let next = join(&done, &name);
            let found = self.find(&next)?;
            kind = found.map(|(kind, ..)| kind);
            let Some((FileType::Symlink, _, root)) = found else {
                done = next;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(StepError::io("follow the links of", path, Errno::LOOP));
            }
            let target = root
                .directory_beneath(&done)
                .and_then(|directory| directory.read_link(&name))
                .map_err(|source| StepError::io("read the link", shown(&next), source))?;
            if target.as_bytes().starts_with(b"/") {
                done = OsString::new();
            }
            let mut rest = components(&target);
            rest.reverse();
            open.extend(rest);
            kind = Some(FileType::Directory);
        }
        Ok(Place { path: done, kind })
    }

    /// Makes every missing directory of a resolved path, with these permissions; says whether the
    /// last one is new.
    pub(crate) fn make_all(&mut self, path: &OsStr, new: &Permissions) -> Result<bool, StepError> {
        let mut prefix = OsString::new();
        let mut created = false;
        for name in components(path) {
            prefix = join(&prefix, &name);
            created = self.make(&prefix, new)?;
        }
        Ok(created)
    }

    /// Where something that is copied to `path` goes. Everything up to the last slash is a
    /// directory, and is made if it is not there.
    pub(crate) fn destination(
        &mut self,
        path: &str,
        made: &Permissions,
    ) -> Result<Place, StepError> {
        let directory = path.rfind('/').map_or("/", |at| &path[..=at]);
        let place = self.resolve(directory)?;
        if place.kind != Some(FileType::Directory) {
            self.make_all(&place.path, made)?;
        }
        self.resolve(path)
    }

    /// Makes one directory whose parent is in the layer; says whether it is new.
    fn make(&mut self, path: &OsStr, new: &Permissions) -> Result<bool, StepError> {
        let failed = |source: io::Error| StepError::io("mkdir", shown(path), source);
        let (permissions, time, created) = match self.find(path)? {
            Some((FileType::Directory, _, root)) if std::ptr::eq(root, &raw const self.upper) => {
                return Ok(false);
            }
            Some((FileType::Directory, facts, _)) => {
                let permissions = Permissions {
                    mode: facts.mode,
                    uid: facts.uid,
                    gid: facts.gid,
                };
                (permissions, Some(facts.modified), false)
            }
            Some(_) => return Err(failed(Errno::NOTDIR.into())),
            None => (*new, self.epoch, true),
        };
        let (parent, name) = split(path);
        let directory = self.upper.directory_beneath(parent).map_err(failed)?;
        directory.make_directory(name, 0o700).map_err(failed)?;
        let made = directory.directory_beneath(name).map_err(failed)?;
        permissions.apply(&made).map_err(failed)?;
        if !created {
            self.copy_attributes(path, &made).map_err(failed)?;
        }
        if let Some(time) = time {
            self.times.insert(path.to_owned(), time);
        }
        Ok(created)
    }

    /// Extended attributes of a directory of the lower layers belong to it in the new layer, too.
    fn copy_attributes(&self, path: &OsStr, made: &Directory) -> io::Result<()> {
        let Some(lower) = &self.lower else {
            return Ok(());
        };
        let below = lower.directory_beneath(path)?;
        for name in gantry_sys::xattr::names(&below)? {
            let bytes = name.as_bytes();
            let kept = bytes.starts_with(b"user.") || bytes.starts_with(b"system.posix_acl_");
            if kept && let Some(value) = gantry_sys::xattr::value(&below, &name)? {
                gantry_sys::xattr::set(made, &name, &value)?;
            }
        }
        Ok(())
    }

    /// A directory that is copied: it gets these permissions and time whether it is new or not.
    pub(crate) fn put_directory(
        &mut self,
        path: &OsStr,
        permissions: &Permissions,
        modified: (i64, u32),
    ) -> Result<(), StepError> {
        if let Some((kind, ..)) = self.find(path)?
            && kind != FileType::Directory
        {
            return Err(StepError::NonDirectory {
                path: absolute(path),
            });
        }
        self.make(path, permissions)?;
        let made = self.upper.directory_beneath(path);
        made.and_then(|made| permissions.apply(&made))
            .map_err(|source| StepError::io("set the permissions of", shown(path), source))?;
        self.set_time(path, modified);
        Ok(())
    }

    /// The modification time that a directory of the layer gets in the end.
    pub(crate) fn set_time(&mut self, path: &OsStr, modified: (i64, u32)) {
        if !path.is_empty() {
            self.times.insert(path.to_owned(), modified);
        }
    }

    /// Directories at and below a path keep the times they will have.
    pub(crate) fn forget_times_below(&mut self, path: &OsStr) {
        use std::path::Path;
        self.times
            .retain(|known, _| !Path::new(known).starts_with(Path::new(path)));
    }

    /// Opens a directory of the layer to make entries in it.
    pub(crate) fn here(&self, path: &OsStr) -> io::Result<Here> {
        let upper = self.upper.directory_beneath(path)?;
        let lower = self
            .lower
            .as_ref()
            .and_then(|lower| lower.directory_beneath(path).ok());
        Ok(Here { upper, lower })
    }

    /// Sets the times of directories. Nothing may be made after that.
    pub(crate) fn finish(self) -> Result<(), StepError> {
        for (path, modified) in self.times.iter().rev() {
            let (parent, name) = split(path);
            let time = timespec(*modified);
            self.upper
                .directory_beneath(parent)
                .and_then(|directory| directory.set_times(name, time, time))
                .map_err(|source| StepError::io("set the times of", shown(path), source))?;
        }
        Ok(())
    }
}

impl Here {
    /// Makes room for something that is no directory: what an earlier source put there goes away;
    /// what a lower layer has there is hidden by what is made.
    pub(crate) fn make_room(&self, name: &OsStr) -> Result<(), MakeRoomError> {
        let is_directory = |directory: &Directory| match directory.status_of(name) {
            Ok(stat) => Ok(Some(
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        match is_directory(&self.upper)? {
            Some(true) => return Err(MakeRoomError::Directory),
            Some(false) => self.upper.remove_entry(name)?,
            None => {
                if let Some(lower) = &self.lower
                    && is_directory(lower)? == Some(true)
                {
                    return Err(MakeRoomError::Directory);
                }
            }
        }
        Ok(())
    }
}

/// Why there is no room.
#[derive(Debug)]
pub(crate) enum MakeRoomError {
    /// A directory is in the way.
    Directory,
    /// The kernel refuses.
    Io(io::Error),
}

impl From<io::Error> for MakeRoomError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

impl Permissions {
    /// Those of a directory.
    pub(crate) fn of(directory: &Directory) -> io::Result<Self> {
        let facts = Facts::new(&directory.status()?);
        Ok(Self {
            mode: facts.mode,
            uid: facts.uid,
            gid: facts.gid,
        })
    }

    /// Sets those of a directory. Owner first: changing it takes special bits away.
    pub(crate) fn apply(&self, directory: &Directory) -> io::Result<()> {
        use rustix::fs::{Gid, Mode, Uid};
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::fs::fchown(directory, Some(uid), Some(gid))?;
        rustix::fs::fchmod(directory, Mode::from_raw_mode(self.mode))?;
        Ok(())
    }
}

pub(crate) fn timespec((seconds, nanoseconds): (i64, u32)) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: i64::from(nanoseconds),
    }
}

/// The components of a path that mean something; `..` at the root falls away later.
fn components(path: &OsStr) -> Vec<OsString> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect()
}

/// A path of the image, absolute, as messages show it.
pub(crate) fn absolute(path: &OsStr) -> String {
    format!("/{}", path.to_string_lossy())
}

fn shown(path: &OsStr) -> String {
    absolute(path)
}
