//! Finding the directory an entry lies in.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::{UnpackError, show};
use super::metadata::Metadata;
use crate::tree;

const CACHED: usize = 32;
const MAX_LINKS: usize = 40;
const HANDLE: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory an entry lies in: its descriptor, and its path without symbolic links.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub(super) handle: Rc<OwnedFd>,
    pub(super) path: Rc<[u8]>,
}

/// Where an entry goes.
#[derive(Debug)]
pub(super) struct Spot<'p> {
    /// The directory it lies in.
    pub(super) parent: Parent,
    /// Its name there.
    pub(super) name: &'p [u8],
    /// Its path as the archive writes it.
    pub(super) path: &'p [u8],
}

impl Spot<'_> {
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.parent.fd()
    }

    /// Its path without symbolic links.
    pub(super) fn real_path(&self) -> Vec<u8> {
        tree::join(&self.parent.path, self.name)
    }

    /// What stands there.
    pub(super) fn status(&self) -> Result<Option<fs::Stat>, UnpackError> {
        match fs::statat(self.directory(), self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(UnpackError::entry("look at", self.path, errno)),
        }
    }

    /// Takes away what is no directory.
    pub(super) fn unlink(&self) -> Result<(), UnpackError> {
        fs::unlinkat(self.directory(), self.name, AtFlags::empty())
            .map_err(|errno| UnpackError::entry("replace", self.path, errno))
    }
}

/// A directory that this archive made or changed.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What the archive says of it; `None` as long as it is only implied.
    pub(super) metadata: Option<Metadata>,
    /// Whether it hides what is below it.
    pub(super) opaque: bool,
    /// Whether it was there before the archive.
    pub(super) existed: bool,
    /// The mode it was made with.
    pub(super) made_with: u32,
}

/// All directories of the archive, and descriptors of the last few.
#[derive(Debug)]
pub(super) struct Directories {
    root: Rc<OwnedFd>,
    /// By path without symbolic links; the root is the empty path.
    pub(super) known: HashMap<Vec<u8>, Known>,
    /// The last used first, by path as the archive writes it.
    cache: VecDeque<(Box<[u8]>, Parent)>,
    umask: Option<u32>,
}

/// What to do about a directory on the way that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Report,
}

impl Directories {
    pub(super) fn new(root: OwnedFd, umask: Option<u32>) -> Self {
        Self {
            root: Rc::new(root),
            known: HashMap::from([(
                Vec::new(),
                Known {
                    existed: true,
                    ..Known::default()
                },
            )]),
            cache: VecDeque::new(),
            umask,
        }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Forgets what is cached: a directory or a link was replaced.
    pub(super) fn forget(&mut self) {
        self.cache.clear();
    }

    /// The mode that a new directory is made with, and what `mkdirat` makes of it.
    pub(super) fn making_mode(&self, mode: u32) -> (Mode, u32) {
        let asked = (mode & 0o777) | 0o700;
        (Mode::from_raw_mode(asked), made_with(asked, self.umask))
    }

    /// The directory `path` (normalised, as the archive writes it) for the entry `entry`.
    /// `None` when it is not there and is not to be created.
    pub(super) fn find(
        &mut self,
        path: &[u8],
        entry: &[u8],
        missing: Missing,
    ) -> Result<Option<Parent>, UnpackError> {
        if let Some(at) = self.cache.iter().position(|(known, _)| **known == *path) {
            let hit = self.cache.remove(at).expect("position of an element");
            let parent = hit.1.clone();
            self.cache.push_front(hit);
            return Ok(Some(parent));
        }
        let Some(parent) = self.walk(path, entry, missing)? else {
            return Ok(None);
        };
        self.cache.truncate(CACHED - 1);
        self.cache.push_front((path.into(), parent.clone()));
        Ok(Some(parent))
    }

    /// The nearest cached directory above `path`, and what is left of the way.
    fn start<'p>(&self, path: &'p [u8]) -> (Parent, &'p [u8]) {
        let mut above = path;
        while !above.is_empty() {
            above = tree::split_last(above).0;
            if let Some((_, parent)) = self.cache.iter().find(|(known, _)| **known == *above) {
                let rest = &path[above.len()..];
                return (parent.clone(), rest.strip_prefix(b"/").unwrap_or(rest));
            }
        }
        (
            Parent {
                handle: Rc::clone(&self.root),
                path: Rc::from(&b""[..]),
            },
            path,
        )
    }

    fn walk(
        &mut self,
        path: &[u8],
        entry: &[u8],
        missing: Missing,
    ) -> Result<Option<Parent>, UnpackError> {
        let (mut here, rest) = self.start(path);
        let mut way: VecDeque<Vec<u8>> = components(rest).map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(name) = way.pop_front() {
            if name == b".." {
                // Only from the target of a link; above the root is the root.
                let above = tree::split_last(&here.path).0.to_vec();
                here = self.reopen(&above, entry)?;
                continue;
            }
            let failed = |errno: Errno| UnpackError::entry("open the directory of", entry, errno);
            match fs::openat(&*here.handle, &name[..], HANDLE, Mode::empty()) {
                Ok(handle) => here = step(&here, &name, handle),
                Err(Errno::NOENT) if missing == Missing::Report => return Ok(None),
                Err(Errno::NOENT) => here = self.create(&here, &name, false, entry)?,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    match fs::readlinkat(&*here.handle, &name[..], Vec::new()) {
                        Ok(target) => {
                            links += 1;
                            if links > MAX_LINKS {
                                return Err(UnpackError::LinkLoop { path: show(entry) });
                            }
                            let target = target.as_bytes();
                            if target.starts_with(b"/") {
                                here = self.reopen(b"", entry)?;
                            }
                            for component in
                                components(target).collect::<Vec<_>>().into_iter().rev()
                            {
                                way.push_front(component.to_vec());
                            }
                        }
                        Err(Errno::INVAL) if missing == Missing::Report => return Ok(None),
                        Err(Errno::INVAL) => here = self.over_whiteout(&here, &name, entry)?,
                        Err(errno) => return Err(failed(errno)),
                    }
                }
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(Some(here))
    }

    fn reopen(&self, path: &[u8], entry: &[u8]) -> Result<Parent, UnpackError> {
        let handle = if path.is_empty() {
            Rc::clone(&self.root)
        } else {
            let opened = tree::open_beneath(&*self.root, path, HANDLE)
                .map_err(|errno| UnpackError::entry("open the directory of", entry, errno))?;
            Rc::new(opened)
        };
        Ok(Parent {
            handle,
            path: Rc::from(path),
        })
    }

    /// Makes a directory that entries imply.
    pub(super) fn create(
        &mut self,
        parent: &Parent,
        name: &[u8],
        opaque: bool,
        entry: &[u8],
    ) -> Result<Parent, UnpackError> {
        let failed = |errno: Errno| UnpackError::entry("make the directory of", entry, errno);
        let (mode, made_with) = self.making_mode(0o755);
        fs::mkdirat(&*parent.handle, name, mode).map_err(failed)?;
        let handle = fs::openat(&*parent.handle, name, HANDLE, Mode::empty()).map_err(failed)?;
        let here = step(parent, name, handle);
        self.known.insert(
            here.path.to_vec(),
            Known {
                opaque,
                made_with,
                ..Known::default()
            },
        );
        Ok(here)
    }

    /// An entry below a name that is no directory: fine if it is this archive's whiteout, over
    /// which the new directory hides what it hid.
    fn over_whiteout(
        &mut self,
        parent: &Parent,
        name: &[u8],
        entry: &[u8],
    ) -> Result<Parent, UnpackError> {
        let failed = |errno: Errno| UnpackError::entry("open the directory of", entry, errno);
        let status =
            fs::statat(&*parent.handle, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if !is_whiteout(&status) {
            return Err(UnpackError::NotDirectory {
                path: show(entry),
                parent: show(&tree::join(&parent.path, name)),
            });
        }
        fs::unlinkat(&*parent.handle, name, AtFlags::empty()).map_err(failed)?;
        self.create(parent, name, true, entry)
    }

    /// Forgets the directories at and below `path`, which are gone.
    pub(super) fn removed(&mut self, path: &[u8]) {
        self.forget();
        self.known.retain(|known, _| {
            known
                .strip_prefix(path)
                .is_none_or(|rest| !rest.is_empty() && !rest.starts_with(b"/"))
        });
    }
}

fn step(parent: &Parent, name: &[u8], handle: OwnedFd) -> Parent {
    Parent {
        handle: Rc::new(handle),
        path: tree::join(&parent.path, name).into(),
    }
}

/// A path relative to the root, without empty components and `.`.
pub(crate) fn relative(path: &[u8]) -> Vec<u8> {
    components(path).collect::<Vec<_>>().join(&b'/')
}

/// The names of a path but empty ones and `.`.
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

/// The mode that a file made with `asked` gets; none that a file can have where that cannot be
/// foretold, so that it is always set.
pub(super) fn made_with(asked: u32, umask: Option<u32>) -> u32 {
    umask.map_or(u32::MAX, |umask| asked & !umask)
}

/// Whether this is overlayfs's whiteout.
pub(crate) fn is_whiteout(status: &fs::Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == 0
}

impl Parent {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}
