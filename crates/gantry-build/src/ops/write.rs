//! Writing what was planned: directories, then files on several threads, then what needs them.
//!
//! The files are made in the order of the layer's tar, and its tar is told while they are made: what
//! goes into a file is what goes into the digest, from the same memory. So a file of the context
//! that changes meanwhile gives a layer that is what its diff ID says, whatever that file was.
//!
//! What an earlier layer has already is not made again if the new one can be a patch of it.

mod file;
mod ordered;
mod patch;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::AtomicBool;

use gantry_store::tar::{self, EntryKind, Timestamp};
use gantry_store::{DraftTar, PackError, Whole};
use gantry_sys::path::Directory;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::copy::Changed;
use super::layer::{Permissions, absolute, timespec};
use super::plan::{Content, Folder, Group, LayerPlan, Node, Origin, Planned, Time};
use crate::error::StepError;
use crate::solve::Stop;
use crate::tree::{join, split};
use file::FileWriter;
use patch::Patch;

/// What is made by one thread at once: so many things, and so many bytes.
const BATCH: usize = 64;
const BATCH_BYTES: u64 = 1 << 20;

/// One thing that is made, in the order of the tar.
struct Step<'p, 't> {
    path: OsString,
    what: What<'p, 't>,
    /// Whether the layer that is patched seems to have just this.
    kept: bool,
}

enum What<'p, 't> {
    Folder(&'p Folder<'t>),
    File(&'p Planned<'t>),
    /// Another name of the file that is so many steps from the beginning.
    Link(usize),
}

/// What the tar is told of one step.
enum Told {
    /// No content.
    Entry(tar::Entry),
    /// All content.
    Content(tar::Entry, Vec<u8>),
    /// The content is in the file.
    Written(tar::Entry, File),
    /// The layer that is patched has it.
    Kept(Box<Told>),
}

/// Writes plans into a directory.
pub(crate) struct LayerWriter<'w> {
    upper: &'w Directory,
    threads: usize,
    stop: &'w Stop,
    maker: Maker,
    /// Whether the file systems can share blocks; found out by trying.
    can_clone: AtomicBool,
}

/// What new files are without being asked: what needs no further call.
#[derive(Debug, Clone, Copy)]
struct Maker {
    /// `None` where that cannot be foretold.
    owner: Option<(u32, u32)>,
    umask: Option<u32>,
}

impl Maker {
    /// In an empty directory of our own.
    fn of(upper: &Directory) -> io::Result<Self> {
        let status = upper.status()?;
        // A set-group-ID bit or an access list says something of what is made below.
        let is_plain = status.st_mode & 0o2000 == 0 && !has_access_list(upper)?;
        Ok(Self {
            owner: is_plain.then_some((status.st_uid, status.st_gid)),
            umask: gantry_sys::system::umask().filter(|_| is_plain),
        })
    }

    /// The mode to make something with, and whether it must be set nevertheless.
    fn mode(&self, wanted: u32) -> (u32, bool) {
        let asked = wanted & 0o777;
        let is_exact = self.umask.is_some_and(|umask| asked & !umask == wanted);
        (asked, !is_exact)
    }

    fn owns(&self, permissions: &Permissions) -> bool {
        self.owner == Some((permissions.uid, permissions.gid))
    }
}

fn has_access_list(directory: &Directory) -> io::Result<bool> {
    let names = gantry_sys::xattr::names(directory)?;
    Ok(names
        .iter()
        .any(|name| name.as_bytes().starts_with(ACCESS_LIST)))
}

const ACCESS_LIST: &[u8] = b"system.posix_acl_";

impl<'w> LayerWriter<'w> {
    /// A writer into the directory of a draft. Nothing was written there yet.
    pub(crate) fn new(upper: &'w Directory, threads: usize, stop: &'w Stop) -> io::Result<Self> {
        Ok(Self {
            upper,
            threads,
            stop,
            maker: Maker::of(upper)?,
            can_clone: AtomicBool::new(true),
        })
    }

    /// Somebody else made directories in the layer, which may say what is made in them.
    pub(crate) fn distrust(&mut self) {
        self.maker = Maker {
            owner: None,
            umask: None,
        };
    }

    /// Whether what the plan says is all that there will be to say of the files: then the tar can be
    /// told by the plan.
    pub(crate) fn can_tell(&self, plan: &LayerPlan<'_>) -> bool {
        self.maker.owner.is_some() && plan.upper.is_none() && !has_access_lists(&plan.root)
    }

    /// Writes everything. Gives the files whose content was not what it had been when the key was
    /// made.
    pub(crate) fn write(&self, plan: &LayerPlan<'_>) -> Result<Changed, StepError> {
        self.write_steps(plan, &steps(plan), None, None)
    }

    /// Writes everything and tells `tar` of it; what `former` has already is told only.
    pub(crate) fn write_told(
        &self,
        plan: &LayerPlan<'_>,
        tar: &mut DraftTar,
        former: Option<&Whole>,
    ) -> Result<Changed, StepError> {
        let mut steps = steps(plan);
        let patch = former.and_then(|former| Patch::find(plan, &mut steps, former));
        if let Some(patch) = &patch {
            tar.patch_of(&patch.whole);
        }
        self.write_steps(plan, &steps, Some(tar), patch.as_ref())
    }

    fn write_steps(
        &self,
        plan: &LayerPlan<'_>,
        steps: &[Step<'_, '_>],
        tar: Option<&mut DraftTar>,
        patch: Option<&Patch>,
    ) -> Result<Changed, StepError> {
        match patch {
            None => self.make_folders(steps)?,
            Some(_) => self.make_needed_folders(plan, steps)?,
        }
        let changed = self.make_files(plan, steps, tar, patch)?;
        for step in steps {
            if let What::Link(original) = step.what {
                self.link(&steps[original].path, &step.path)?;
            }
        }
        self.finish_folders(steps)?;
        let failed = |source| StepError::io("set the permissions of", "/", source);
        plan.root.permissions.apply(self.upper).map_err(failed)?;
        Ok(changed)
    }

    /// Makes the directories, as yet without special bits, attributes and times.
    fn make_folders(&self, steps: &[Step<'_, '_>]) -> Result<(), StepError> {
        let mut here: Option<(&OsStr, Directory)> = None;
        for step in steps {
            let What::Folder(folder) = step.what else {
                continue;
            };
            if folder.origin == Origin::Upper {
                continue;
            }
            let failed = |source| StepError::io("mkdir", absolute(&step.path), source);
            let (parent, name) = split(&step.path);
            let directory = match here.take().filter(|(path, _)| *path == parent) {
                Some((_, directory)) => directory,
                None => self.upper.directory_beneath(parent).map_err(failed)?,
            };
            let (mode, _) = self.maker.mode(folder.permissions.mode);
            directory
                .make_directory(name, mode | 0o700)
                .map_err(failed)?;
            here = Some((parent, directory));
        }
        Ok(())
    }

    /// Makes the directories of a patch that are new or different, and those that lead there.
    fn make_needed_folders(
        &self,
        plan: &LayerPlan<'_>,
        steps: &[Step<'_, '_>],
    ) -> Result<(), StepError> {
        let folders = steps
            .iter()
            .filter(|step| matches!(step.what, What::Folder(_)));
        for step in folders.filter(|step| !step.kept) {
            self.make_way(plan, &step.path)
                .map_err(|source| StepError::io("mkdir", absolute(&step.path), source))?;
        }
        Ok(())
    }

    /// Opens a directory of a patch; it is made, and those that lead there, if it is not there yet.
    fn make_way(&self, plan: &LayerPlan<'_>, path: &OsStr) -> io::Result<Directory> {
        let mut here = self.upper.try_clone()?;
        let mut folder = &plan.root;
        for name in gantry_sys::path::components(path) {
            let Some(Node::Folder(below)) = folder.children.get(name) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            let (mode, _) = self.maker.mode(below.permissions.mode);
            match here.make_directory(name, mode | 0o700) {
                // Another thread needed it, too.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => result?,
            }
            here = here.directory_beneath(name)?;
            folder = below;
        }
        Ok(here)
    }

    fn make_files(
        &self,
        plan: &LayerPlan<'_>,
        steps: &[Step<'_, '_>],
        mut tar: Option<&mut DraftTar>,
        patch: Option<&Patch>,
    ) -> Result<Changed, StepError> {
        let batches = batches(steps);
        let mut changed = Changed::new();
        ordered::run(
            batches.len(),
            self.threads,
            || FileWriter::new(self, plan, patch),
            |writer, number| {
                let batch = &steps[batches[number].clone()];
                let mut told = Vec::with_capacity(batch.len());
                let mut changed = Changed::new();
                for step in batch {
                    if self.stop.is_stopped() {
                        return Err(StepError::Canceled);
                    }
                    told.extend(self.step(writer, steps, step, &mut changed)?);
                }
                Ok((told, changed))
            },
            |(told, mut files)| {
                changed.append(&mut files);
                match &mut tar {
                    Some(tar) => Ok(told.into_iter().try_for_each(|told| told.to(tar))?),
                    None => Ok(()),
                }
            },
        )?;
        Ok(changed)
    }

    /// Makes one thing and gives what is to be told of it, if anything is.
    fn step(
        &self,
        writer: &mut FileWriter<'_, '_>,
        steps: &[Step<'_, '_>],
        step: &Step<'_, '_>,
        changed: &mut Changed,
    ) -> Result<Option<Told>, StepError> {
        match step.what {
            What::Folder(folder) => {
                let (permissions, time) = (&folder.permissions, folder.modified);
                let mut entry = entry(EntryKind::Directory, &step.path, permissions, time);
                entry.xattrs.clone_from(&folder.attributes);
                let told = Told::Entry(entry);
                Ok(Some(if step.kept { told.kept() } else { told }))
            }
            What::File(planned) if step.kept => writer.keep(&step.path, planned, changed).map(Some),
            What::File(planned) => writer.make(&step.path, planned, changed).map(Some),
            What::Link(original) => {
                let original = &steps[original];
                let What::File(planned) = original.what else {
                    return Ok(None);
                };
                let time = planned.modified.unwrap_or(writer.now());
                let mut entry = entry(EntryKind::HardLink, &step.path, &planned.permissions, time);
                entry.link = original.path.as_bytes().to_vec();
                Ok(Some(Told::Entry(entry)))
            }
        }
    }

    /// A hard link to a file that was made before.
    fn link(&self, original: &OsStr, path: &OsStr) -> Result<(), StepError> {
        let failed = |source| StepError::io("link", absolute(path), source);
        let (parent, name) = split(path);
        let here = self.upper.directory_beneath(parent).map_err(failed)?;
        let (from, old) = split(original);
        let from = self.upper.directory_beneath(from).map_err(failed)?;
        replacing(&here, name, || here.make_link(&from, old, name)).map_err(failed)
    }

    /// Owners, modes, attributes and times of directories, the deepest first: nothing is made in
    /// them any more.
    fn finish_folders(&self, steps: &[Step<'_, '_>]) -> Result<(), StepError> {
        for step in steps.iter().rev() {
            let What::Folder(folder) = step.what else {
                continue;
            };
            let finished = match self.upper.directory_beneath(&step.path) {
                // The layer that is patched has it.
                Err(error) if step.kept && error.kind() == io::ErrorKind::NotFound => Ok(()),
                opened => opened.and_then(|directory| self.finish_folder(&directory, folder)),
            };
            finished.map_err(|source| StepError::io("finish", absolute(&step.path), source))?;
        }
        Ok(())
    }

    fn finish_folder(&self, directory: &Directory, folder: &Folder<'_>) -> io::Result<()> {
        let permissions = &folder.permissions;
        let (mode, mut sets_mode) = self.maker.mode(permissions.mode);
        sets_mode |= mode & 0o700 != 0o700 || !folder.attributes.is_empty();
        if folder.origin == Origin::Upper || !self.maker.owns(permissions) {
            permissions.apply(directory)?;
        } else if sets_mode {
            let mode = rustix::fs::Mode::from_raw_mode(permissions.mode);
            rustix::fs::fchmod(directory, mode)?;
        }
        for (name, value) in &folder.attributes {
            gantry_sys::xattr::set(directory, OsStr::from_bytes(name), value)?;
        }
        let time = timespec(folder.modified);
        rustix::fs::futimens(
            directory,
            &rustix::fs::Timestamps {
                last_access: time,
                last_modification: time,
            },
        )?;
        Ok(())
    }
}

impl<'p, 't> Step<'p, 't> {
    fn new(path: OsString, what: What<'p, 't>) -> Self {
        let kept = false;
        Self { path, what, kept }
    }
}

impl Told {
    fn kept(self) -> Self {
        Self::Kept(Box::new(self))
    }

    fn to(self, tar: &mut DraftTar) -> Result<(), PackError> {
        match self {
            Self::Entry(entry) => tar.entry(&entry),
            Self::Content(entry, content) => tar.file(entry, &content),
            Self::Written(entry, file) => tar.written(entry, &file),
            Self::Kept(told) => tar.kept(|tar| told.to(tar)),
        }
    }
}

/// The entry of the tar for the root directory, for [`gantry_store::LayerDraft::tar`].
pub(crate) fn root_entry(plan: &LayerPlan<'_>) -> tar::Entry {
    let (permissions, time) = (&plan.root.permissions, plan.root.modified);
    entry(EntryKind::Directory, OsStr::new("."), permissions, time)
}

fn entry(kind: EntryKind, path: &OsStr, permissions: &Permissions, time: Time) -> tar::Entry {
    let mut entry = tar::Entry::new(kind, path.as_bytes());
    entry.mode = permissions.mode;
    entry.uid = permissions.uid;
    entry.gid = permissions.gid;
    entry.mtime = Timestamp {
        seconds: time.0,
        nanoseconds: time.1,
    };
    entry
}

/// Makes something; what is in its place, no directory, is removed first. Only where something was
/// written before can there be anything.
fn replacing<T>(
    directory: &Directory,
    name: &OsStr,
    mut make: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    match make() {
        Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
            directory.remove_entry(name)?;
            make()
        }
        result => result,
    }
}

/// Everything that a plan has, in the order of the tar, without the root.
fn steps<'p, 't>(plan: &'p LayerPlan<'t>) -> Vec<Step<'p, 't>> {
    let mut steps = Vec::new();
    let mut first: HashMap<Group, usize> = HashMap::new();
    let mut open = vec![(OsString::new(), plan.root.children.iter())];
    while let Some((path, children)) = open.last_mut() {
        let Some((name, node)) = children.next() else {
            open.pop();
            continue;
        };
        let path = join(path, name);
        match node {
            Node::Folder(folder) => {
                open.push((path.clone(), folder.children.iter()));
                steps.push(Step::new(path, What::Folder(folder)));
            }
            Node::File(planned) => {
                let group = match &planned.content {
                    Content::Copied { group, .. } => *group,
                    Content::Inline(_) => None,
                };
                let original = group.and_then(|group| {
                    let known = *first.entry(group).or_insert(steps.len());
                    (known != steps.len()).then_some(known)
                });
                let what = original.map_or(What::File(planned), What::Link);
                steps.push(Step::new(path, what));
            }
        }
    }
    steps
}

/// Steps that one thread does at once.
fn batches(steps: &[Step<'_, '_>]) -> Vec<std::ops::Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (number, step) in steps.iter().enumerate() {
        if let What::File(planned) = step.what {
            bytes += planned.size();
        }
        if number + 1 - start >= BATCH || bytes >= BATCH_BYTES || number + 1 == steps.len() {
            batches.push(start..number + 1);
            (start, bytes) = (number + 1, 0);
        }
    }
    batches
}

fn has_access_lists(folder: &Folder<'_>) -> bool {
    let mut open = vec![folder];
    while let Some(folder) = open.pop() {
        if folder
            .attributes
            .iter()
            .any(|(name, _)| name.starts_with(ACCESS_LIST))
        {
            return true;
        }
        open.extend(folder.children.values().filter_map(|node| match node {
            Node::Folder(folder) => Some(folder),
            Node::File(_) => None,
        }));
    }
    false
}

impl Planned<'_> {
    /// How large it was when it was looked at.
    fn size(&self) -> u64 {
        match &self.content {
            Content::Copied { source, .. } if source.entry.kind == FileType::RegularFile => {
                source.entry.stat.size
            }
            Content::Copied { .. } => 0,
            Content::Inline(text) => text.len() as u64,
        }
    }
}
