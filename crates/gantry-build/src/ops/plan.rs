//! What a new layer will hold, decided before anything of it is written.
//!
//! A plan is a tree of what the sources of a `COPY` or `ADD` put into the layer. What is looked up
//! is looked up there first, then in what an archive put into the layer already, then in the merged
//! view of the lower layers. A directory of the lower layers that gets an entry is made in the new
//! layer with the same owner, mode and times, so that the layer does not change them. Nothing is
//! ever deleted, so there are no whiteouts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{SystemTime, UNIX_EPOCH};

use gantry_sys::path::Directory;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::copy::Copier;
use crate::error::StepError;
use crate::permissions::{Permissions, Time};
use crate::tree::{Attribute, Entry, Facts, absolute, join, split};

/// Most links followed on the way to one place, as in the kernel.
const MOST_LINKS: usize = 40;

/// A new layer over others.
#[derive(Debug)]
pub(crate) struct LayerPlan<'t> {
    pub(super) root: Folder<'t>,
    /// The copies that it is made of; what is planned says by a number to which it belongs.
    copies: Vec<Copier<'t>>,
    texts: Vec<Text<'t>>,
    /// What was written before, for an archive to be unpacked over it.
    pub(super) upper: Option<Directory>,
    lower: Option<Directory>,
    /// The time of what is new.
    now: Time,
    /// The directories on the disk that were looked into last: nearly always the next ones, too.
    near: Option<(OsString, Near)>,
}

/// A directory of the plan.
#[derive(Debug)]
pub(super) struct Folder<'t> {
    pub(super) permissions: Permissions,
    pub(super) modified: Time,
    /// Extended attributes, sorted by name.
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: BTreeMap<Cow<'t, OsStr>, Node<'t>>,
    /// Where it is already.
    pub(super) origin: Origin,
}

/// Where a directory of a plan is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nowhere: nothing can be below it that is not planned.
    New,
    /// In a lower layer.
    Lower,
    /// In the layer itself.
    Upper,
}

/// What a name of the plan is.
#[derive(Debug)]
pub(super) enum Node<'t> {
    Folder(Box<Folder<'t>>),
    File(Planned<'t>),
}

/// Anything but a directory. There are as many as files in a context, so it says only what cannot be
/// found out from the plan that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Planned<'t> {
    /// A file, link or device of a tree, and the number of the copy.
    Copied(u32, &'t Entry),
    /// A text of the Dockerfile, by its number.
    Inline(u32),
}

/// A text of the Dockerfile that becomes a file.
#[derive(Debug)]
pub(crate) struct Text<'t> {
    pub(crate) content: &'t str,
    pub(crate) permissions: Permissions,
}

/// One file of one copy: which copy, device and inode.
pub(crate) type Group = (usize, u64, u64);

/// Where a path leads once links are followed; relative to the root, no link in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: OsString,
    /// What is there now.
    pub(crate) kind: Option<FileType>,
}

/// One directory in the layer and in those below it, as far as they have it.
#[derive(Debug)]
struct Near {
    upper: Option<Directory>,
    lower: Option<Directory>,
}

/// What is at a path.
struct There {
    kind: FileType,
    /// Of a directory on the disk: permissions and time.
    facts: Option<Facts>,
    origin: Origin,
    /// Where a symbolic link leads.
    link: Option<OsString>,
}

impl<'t> LayerPlan<'t> {
    /// A plan of an empty layer. `epoch` is the time that new things get, if not the present.
    pub(crate) fn new(lower: Option<Directory>, epoch: Option<Time>) -> io::Result<Self> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = (
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            since.subsec_nanos(),
        );
        let now = epoch.unwrap_or(now);
        let root = Folder {
            // The root of the new layer is the root of the merged file system.
            permissions: Permissions::of_root(lower.as_ref())?,
            modified: now,
            attributes: Vec::new(),
            children: BTreeMap::new(),
            origin: Origin::Lower,
        };
        Ok(Self {
            root,
            copies: Vec::new(),
            texts: Vec::new(),
            upper: None,
            lower,
            now,
            near: None,
        })
    }

    /// Takes a copy whose files are to be planned; gives its number.
    pub(super) fn begin(&mut self, copy: Copier<'t>) -> u32 {
        self.copies.push(copy);
        number_of_last(&self.copies)
    }

    /// A text that is to be planned.
    pub(super) fn text(&mut self, text: Text<'t>) -> Planned<'t> {
        self.texts.push(text);
        Planned::Inline(number_of_last(&self.texts))
    }

    /// The copy of this number.
    pub(super) fn copy(&self, number: u32) -> &Copier<'t> {
        &self.copies[number as usize]
    }

    /// What stands in a text of the Dockerfile.
    pub(super) fn content(&self, text: u32) -> &'t str {
        self.texts[text as usize].content
    }

    /// The permissions of what is planned.
    pub(super) fn permissions(&self, planned: Planned<'_>) -> Permissions {
        match planned {
            Planned::Copied(copy, entry) => self.copy(copy).change.permissions(entry),
            Planned::Inline(text) => self.texts[text as usize].permissions,
        }
    }

    /// The time that it gets.
    pub(super) fn time(&self, planned: Planned<'_>) -> Time {
        match planned {
            Planned::Copied(_, entry) => entry.stat.modified,
            Planned::Inline(_) => self.now,
        }
    }

    /// Which file it is, if it may have several names: those of one group are one file.
    pub(super) fn group(&self, planned: Planned<'_>) -> Option<Group> {
        let Planned::Copied(copy, entry) = planned else {
            return None;
        };
        let has_names = entry.stat.linked && entry.kind == FileType::RegularFile;
        has_names.then(|| (self.copy(copy).number, entry.stat.device, entry.stat.inode))
    }

    /// How large it is, as far as it is known before it is read.
    pub(super) fn size(&self, planned: Planned<'_>) -> u64 {
        match planned {
            Planned::Copied(_, entry) if entry.kind == FileType::RegularFile => entry.stat.size,
            Planned::Copied(..) => 0,
            Planned::Inline(text) => self.content(text).len() as u64,
        }
    }

    /// Everything planned so far is in `upper`: the plan goes on over it, empty.
    pub(super) fn continue_over(&mut self, upper: Directory) {
        self.root.children.clear();
        self.root.origin = Origin::Upper;
        self.upper = Some(upper);
        self.near = None;
    }

    /// Follows the links of an absolute path, the last one too. What does not exist is taken as it
    /// is written.
    pub(crate) fn resolve(&mut self, path: &str) -> Result<Place, StepError> {
        let mut done = OsString::new();
        let mut kind = Some(FileType::Directory);
        let mut links = 0;
        let mut open = components(OsStr::new(path));
        open.reverse();
        while let Some(name) = open.pop() {
            if name == ".." {
                done = split(&done).0.to_owned();
                kind = self.find(&done)?.map(|there| there.kind);
                continue;
            }
            let next = join(&done, &name);
            let found = self.find(&next)?;
            kind = found.as_ref().map(|there| there.kind);
            let Some(target) = found.and_then(|there| there.link) else {
                done = next;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(StepError::io("follow the links of", path, Errno::LOOP));
            }
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

    /// Makes every missing directory of a resolved path, with these permissions.
    pub(crate) fn make_all(&mut self, path: &OsStr, new: &Permissions) -> Result<(), StepError> {
        let mut prefix = OsString::new();
        for name in components(path) {
            prefix = join(&prefix, &name);
            self.make(&prefix, new)?;
        }
        Ok(())
    }

    /// Makes one directory whose parent is in the plan.
    fn make(&mut self, path: &OsStr, new: &Permissions) -> Result<(), StepError> {
        let failed = |source: io::Error| StepError::io("mkdir", absolute(path), source);
        let found = self.find(path)?;
        let folder = match found {
            Some(There {
                kind: FileType::Directory,
                facts: None,
                ..
            }) => return Ok(()),
            Some(There {
                kind: FileType::Directory,
                facts: Some(facts),
                origin,
                ..
            }) => Folder {
                permissions: Permissions::from(&facts),
                modified: facts.modified,
                attributes: match origin {
                    Origin::Lower => self.lower_attributes(path).map_err(failed)?,
                    Origin::New | Origin::Upper => Vec::new(),
                },
                children: BTreeMap::new(),
                origin,
            },
            Some(_) => return Err(failed(Errno::NOTDIR.into())),
            None => Folder {
                permissions: *new,
                modified: self.now,
                attributes: Vec::new(),
                children: BTreeMap::new(),
                origin: Origin::New,
            },
        };
        let (parent, name) = split(path);
        let parent = self
            .folder_mut(parent)
            .ok_or_else(|| failed(Errno::NOENT.into()))?;
        parent
            .children
            .insert(name.to_owned().into(), Node::Folder(Box::new(folder)));
        Ok(())
    }

    /// A directory that is copied: it gets these permissions and time whether it is new or not.
    pub(crate) fn put_directory(
        &mut self,
        path: &OsStr,
        permissions: &Permissions,
        modified: Time,
    ) -> Result<(), StepError> {
        if let Some(there) = self.find(path)?
            && there.kind != FileType::Directory
        {
            return Err(StepError::NonDirectory {
                path: absolute(path),
            });
        }
        self.make(path, permissions)?;
        if let Some(folder) = self.folder_mut(path) {
            folder.permissions = *permissions;
            folder.modified = modified;
        }
        Ok(())
    }

    /// The modification time that a directory of the plan gets; the root's is nobody's concern.
    pub(crate) fn set_time(&mut self, path: &OsStr, modified: Time) {
        if !path.is_empty()
            && let Some(folder) = self.folder_mut(path)
        {
            folder.modified = modified;
        }
    }

    /// Puts something that is no directory into a directory of the plan. What an earlier source put
    /// there goes away; what a lower layer has there is hidden.
    pub(crate) fn put(
        &mut self,
        parent: &OsStr,
        name: Cow<'t, OsStr>,
        planned: Planned<'t>,
    ) -> Result<(), StepError> {
        let path = || absolute(&join(parent, &name));
        if name.is_empty() {
            return Err(StepError::OverDirectory { path: path() });
        }
        let folder = folder_of(&mut self.root, parent)
            .ok_or_else(|| StepError::io("open", absolute(parent), Errno::NOENT))?;
        let is_new = folder.origin == Origin::New;
        let over = match folder.children.get(&name) {
            Some(Node::Folder(_)) => true,
            Some(Node::File(_)) => false,
            None if is_new => false,
            None => self
                .hides_directory(parent, &name)
                .map_err(|source| StepError::io("look up", path(), source))?,
        };
        if over {
            return Err(StepError::OverDirectory { path: path() });
        }
        // Looked up again: the plan was borrowed in between.
        if let Some(folder) = folder_of(&mut self.root, parent) {
            folder.children.insert(name, Node::File(planned));
        }
        Ok(())
    }

    /// Whether there is a directory on the disk that a new file would hide.
    fn hides_directory(&mut self, parent: &OsStr, name: &OsStr) -> io::Result<bool> {
        let near = self.near(parent)?;
        for directory in near.upper.iter().chain(&near.lower) {
            match directory.status_of(name) {
                Ok(stat) => {
                    return Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The directories on the disk at a path of the plan.
    fn near(&mut self, path: &OsStr) -> io::Result<&Near> {
        let known = self.near.take().filter(|(near, _)| near == path);
        let near = match known {
            Some((_, near)) => near,
            None => Near {
                upper: open_if_there(self.upper.as_ref(), path)?,
                lower: open_if_there(self.lower.as_ref(), path)?,
            },
        };
        Ok(&self.near.insert((path.to_owned(), near)).1)
    }

    fn folder_mut(&mut self, path: &OsStr) -> Option<&mut Folder<'t>> {
        folder_of(&mut self.root, path)
    }

    /// What is at a path that no link leads through.
    fn find(&self, path: &OsStr) -> Result<Option<There>, StepError> {
        let mut here = &self.root;
        let names = components(path);
        for (number, name) in names.iter().enumerate() {
            match here.children.get(name.as_os_str()) {
                Some(Node::Folder(folder)) => here = folder,
                Some(Node::File(planned)) if number + 1 == names.len() => {
                    return Ok(Some(planned.there()));
                }
                // Below a file there is nothing.
                Some(Node::File(_)) => return Ok(None),
                None if here.origin == Origin::New => return Ok(None),
                None => {
                    return self
                        .find_on_disk(path)
                        .map_err(|source| StepError::io("look up", absolute(path), source));
                }
            }
        }
        Ok(Some(There {
            kind: FileType::Directory,
            facts: None,
            origin: here.origin,
            link: None,
        }))
    }

    fn find_on_disk(&self, path: &OsStr) -> io::Result<Option<There>> {
        let (parent, name) = split(path);
        let upper = self.upper.iter().map(|root| (root, Origin::Upper));
        let lower = self.lower.iter().map(|root| (root, Origin::Lower));
        for (root, origin) in upper.chain(lower) {
            let found = root
                .directory_beneath(parent)
                .and_then(|directory| Ok((directory.status_of(name)?, directory)));
            match found {
                // What an archive deleted from the lower layers.
                Ok((stat, _)) if is_whiteout(&stat) => return Ok(None),
                Ok((stat, directory)) => {
                    let kind = FileType::from_raw_mode(stat.st_mode);
                    let link = match kind {
                        FileType::Symlink => Some(directory.read_link(name)?),
                        _ => None,
                    };
                    return Ok(Some(There {
                        kind,
                        facts: Some(Facts::new(&stat)),
                        origin,
                        link,
                    }));
                }
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
                // The layer has something else in place of a directory: the lower one is hidden.
                Err(error)
                    if [Errno::NOTDIR, Errno::LOOP]
                        .iter()
                        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Extended attributes of a directory of the lower layers belong to it in the new layer, too.
    fn lower_attributes(&self, path: &OsStr) -> io::Result<Vec<Attribute>> {
        let Some(lower) = &self.lower else {
            return Ok(Vec::new());
        };
        let below = lower.directory_beneath(path)?;
        let mut attributes = Vec::new();
        for name in gantry_sys::xattr::names(&below)? {
            let bytes = name.as_bytes();
            let kept = bytes.starts_with(b"user.") || bytes.starts_with(b"system.posix_acl_");
            if kept && let Some(value) = gantry_sys::xattr::value(&below, &name)? {
                attributes.push((name.into_vec(), value));
            }
        }
        Ok(attributes)
    }
}

impl Planned<'_> {
    fn there(&self) -> There {
        let (kind, link) = match self {
            Self::Copied(_, entry) => (entry.kind, entry.link.as_deref()),
            Self::Inline(_) => (FileType::RegularFile, None),
        };
        There {
            kind,
            facts: None,
            origin: Origin::New,
            link: link.map(OsStr::to_owned),
        }
    }
}

/// The number of the last of a list that has one; a Dockerfile has no more than fit.
fn number_of_last<T>(list: &[T]) -> u32 {
    u32::try_from(list.len().saturating_sub(1)).unwrap_or(u32::MAX)
}

fn folder_of<'p, 't>(root: &'p mut Folder<'t>, path: &OsStr) -> Option<&'p mut Folder<'t>> {
    let mut here = root;
    for name in gantry_sys::path::components(path) {
        here = match here.children.get_mut(name)? {
            Node::Folder(folder) => folder,
            Node::File(_) => return None,
        };
    }
    Some(here)
}

/// Opens a directory of a layer; `None` where the layer does not have it.
fn open_if_there(root: Option<&Directory>, path: &OsStr) -> io::Result<Option<Directory>> {
    let Some(root) = root else { return Ok(None) };
    match root.directory_beneath(path) {
        Ok(directory) => Ok(Some(directory)),
        Err(error)
            if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
                .iter()
                .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The components of a path that mean something; `..` at the root falls away later.
fn components(path: &OsStr) -> Vec<OsString> {
    gantry_sys::path::components(path)
        .map(OsStr::to_owned)
        .collect()
}
