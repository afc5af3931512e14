//! Writing what was planned: directories, then files on several threads, then what needs them.
//!
//! The files are made in the order of the layer's tar, and its tar is told while they are made: what
//! goes into a file is what goes into the digest, from the same memory. So a file of the context
//! that changes meanwhile gives a layer that is what its diff ID says, whatever that file was.
//!
//! What an earlier layer has already is not made again if the new one can be a patch of it.

mod file;
mod marks;
mod ordered;
mod patch;
mod steps;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::AtomicBool;

use gantry_store::tar::{self, EntryKind, Timestamp};
use gantry_store::{DraftTar, GoesOn, PackError, TarPoint};
use gantry_sys::path::Directory;
use rustix::io::Errno;

use super::copy::Changed;
use super::plan::{Folder, LayerPlan, Node, Origin};
use crate::error::StepError;
use crate::marks::Marks;
use crate::permissions::{Permissions, Time, timespec};
use crate::stop::Stop;
use crate::tree::{absolute, split};
use file::FileWriter;
use marks::Marker;
pub(crate) use patch::Former;
use patch::Patch;
use steps::{Steps, What};

/// What the tar is told of one step.
enum Told {
    /// No content.
    Entry(tar::Entry),
    /// All content.
    Content(tar::Entry, Vec<u8>),
    /// The content is in the file.
    Written(tar::Entry, File),
    /// So many bytes of content, which are not looked at.
    Known(tar::Entry, u64),
    /// The layer that is patched has it.
    Kept(Box<Told>),
}

/// What came of a batch.
struct Done {
    told: Vec<Told>,
    /// Whether all files had the content that was expected, or any where none was.
    is_settled: bool,
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

    /// Fails when the build is to stop.
    pub(crate) fn goes_on(&self) -> io::Result<()> {
        self.stop.goes_on()
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
        self.write_steps(plan, &Steps::of(plan), None)
    }

    /// Writes everything and tells `tar` of it; what `former` has already is told only. Gives points
    /// of the tar, too, if the layer is whole.
    pub(crate) fn write_told(
        &self,
        plan: &LayerPlan<'_>,
        tar: &mut DraftTar,
        former: Option<&Former>,
    ) -> Result<(Changed, Marks), StepError> {
        let mut steps = Steps::of(plan);
        let patch = former.and_then(|former| {
            let patch = Patch::find(plan, &mut steps, &former.whole)?;
            Some((patch, former.known(plan, &steps, tar)))
        });
        if let Some((patch, known)) = patch {
            tar.patch_of(&patch.whole);
            let changed = self.write_patch(plan, &steps, tar, &patch, known)?;
            return Ok((changed, Marks::default()));
        }
        let mut marker = Marker::new(plan, &steps, tar);
        let changed = self.write_steps(plan, &steps, Some((tar, &mut marker)))?;
        Ok((changed, marker.finish()))
    }

    /// Writes everything; what is told is marked.
    fn write_steps(
        &self,
        plan: &LayerPlan<'_>,
        steps: &Steps<'_, '_>,
        mut tar: Option<(&mut DraftTar, &mut Marker)>,
    ) -> Result<Changed, StepError> {
        self.make_folders(steps)?;
        let batches = steps.batches(plan, 0);
        let changed = self.make_files(plan, steps, &batches, None, |number, made| {
            let Some((tar, marker)) = &mut tar else {
                return Ok(());
            };
            self.tell(made.told, tar)?;
            marker.told(plan, steps, batches[number].clone(), tar, made.is_settled);
            Ok(())
        })?;
        for (number, step) in steps.iter().enumerate() {
            if let What::Link(original) = step.what {
                self.link(&steps.path(original), &steps.path(number))?;
            }
        }
        self.finish(plan, steps)?;
        Ok(changed)
    }

    /// Writes what the layer that is patched does not have. The steps up to a point of its tar are not
    /// even read.
    fn write_patch(
        &self,
        plan: &LayerPlan<'_>,
        steps: &Steps<'_, '_>,
        tar: &mut DraftTar,
        patch: &Patch,
        known: Option<(usize, TarPoint)>,
    ) -> Result<Changed, StepError> {
        self.make_needed_folders(plan, steps)?;
        let mut start = 0;
        if let Some((count, point)) = known {
            let writer = FileWriter::new(self, plan, Some(patch));
            for (number, step) in steps.iter().enumerate().take(count) {
                let path = steps.path(number);
                let told = match step.what {
                    What::Folder(folder) => Some(told_folder(&path, folder)),
                    What::File(planned) => Some(writer.known(&path, planned)),
                    What::Link(_) => None,
                };
                self.tell(told.map(Told::kept), tar)?;
            }
            tar.go_on_from(&point);
            start = count;
        }
        let batches = steps.batches(plan, start);
        let tell = |_, made: Done| self.tell(made.told, tar);
        let changed = self.make_files(plan, steps, &batches, Some(patch), tell)?;
        self.finish(plan, steps)?;
        Ok(changed)
    }

    fn tell(
        &self,
        told: impl IntoIterator<Item = Told>,
        tar: &mut DraftTar,
    ) -> Result<(), StepError> {
        let goes_on = || self.goes_on();
        for told in told {
            told.to(tar, &goes_on)?;
        }
        Ok(())
    }

    /// Owners, modes and times of the directories.
    fn finish(&self, plan: &LayerPlan<'_>, steps: &Steps<'_, '_>) -> Result<(), StepError> {
        self.finish_folders(steps)?;
        let failed = |source| StepError::io("set the permissions of", "/", source);
        plan.root.permissions.apply(self.upper).map_err(failed)
    }

    /// Makes the directories, as yet without special bits, attributes and times.
    fn make_folders(&self, steps: &Steps<'_, '_>) -> Result<(), StepError> {
        let mut here: Option<(OsString, Directory)> = None;
        for (number, folder) in steps.folders() {
            if folder.origin == Origin::Upper {
                continue;
            }
            let path = steps.path(number);
            let failed = |source| StepError::io("mkdir", absolute(&path), source);
            let (parent, name) = split(&path);
            let directory = match here.take().filter(|(path, _)| path == parent) {
                Some((_, directory)) => directory,
                None => self.upper.directory_beneath(parent).map_err(failed)?,
            };
            let (mode, _) = self.maker.mode(folder.permissions.mode);
            directory
                .make_directory(name, mode | 0o700)
                .map_err(failed)?;
            here = Some((parent.to_owned(), directory));
        }
        Ok(())
    }

    /// Makes the directories of a patch that are new or different, and those that lead there.
    fn make_needed_folders(
        &self,
        plan: &LayerPlan<'_>,
        steps: &Steps<'_, '_>,
    ) -> Result<(), StepError> {
        for (number, _) in steps.folders() {
            if !steps[number].kept {
                let path = steps.path(number);
                self.make_way(plan, &path)
                    .map_err(|source| StepError::io("mkdir", absolute(&path), source))?;
            }
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

    /// Makes the files of all batches; what comes of each is given to `take`, in their order.
    fn make_files(
        &self,
        plan: &LayerPlan<'_>,
        steps: &Steps<'_, '_>,
        batches: &[Range<usize>],
        patch: Option<&Patch>,
        mut take: impl FnMut(usize, Done) -> Result<(), StepError> + Send,
    ) -> Result<Changed, StepError> {
        let mut changed = Changed::new();
        ordered::run(
            batches.len(),
            self.threads,
            || FileWriter::new(self, plan, patch),
            |writer, number| {
                let batch = batches[number].clone();
                let mut done = Done {
                    told: Vec::with_capacity(batch.len()),
                    is_settled: true,
                };
                let mut changed = Changed::new();
                for step in batch {
                    if self.stop.is_stopped() {
                        return Err(StepError::Canceled);
                    }
                    if let Some(told) = self.step(writer, steps, step, &mut changed)? {
                        done.is_settled &= told.size() == steps.size(plan, step);
                        done.told.push(told);
                    }
                }
                done.is_settled &= changed.is_empty();
                Ok((number, done, changed))
            },
            |(number, done, mut files)| {
                changed.append(&mut files);
                take(number, done)
            },
        )?;
        Ok(changed)
    }

    /// Makes one thing and gives what is to be told of it, if anything is.
    fn step(
        &self,
        writer: &mut FileWriter<'_, '_>,
        steps: &Steps<'_, '_>,
        number: usize,
        changed: &mut Changed,
    ) -> Result<Option<Told>, StepError> {
        let (step, path) = (&steps[number], steps.path(number));
        match step.what {
            What::Folder(folder) => {
                let told = told_folder(&path, folder);
                Ok(Some(if step.kept { told.kept() } else { told }))
            }
            What::File(planned) if step.kept => writer.keep(&path, planned, changed).map(Some),
            What::File(planned) => writer.make(&path, planned, changed).map(Some),
            What::Link(original) => {
                let What::File(planned) = steps[original].what else {
                    return Ok(None);
                };
                let mut entry = writer.entry(EntryKind::HardLink, &path, planned);
                entry.link = steps.path(original).into_vec();
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
    fn finish_folders(&self, steps: &Steps<'_, '_>) -> Result<(), StepError> {
        for (number, folder) in steps.folders().rev() {
            let path = steps.path(number);
            let finished = match self.upper.directory_beneath(&path) {
                // The layer that is patched has it.
                Err(error) if steps[number].kept && error.kind() == io::ErrorKind::NotFound => {
                    Ok(())
                }
                opened => opened.and_then(|directory| self.finish_folder(&directory, folder)),
            };
            finished.map_err(|source| StepError::io("finish", absolute(&path), source))?;
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

fn told_folder(path: &OsStr, folder: &Folder<'_>) -> Told {
    let (permissions, time) = (&folder.permissions, folder.modified);
    let mut entry = entry(EntryKind::Directory, path, permissions, time);
    entry.xattrs.clone_from(&folder.attributes);
    Told::Entry(entry)
}

impl Told {
    /// How much content it has.
    fn size(&self) -> u64 {
        match self {
            Self::Entry(_) => 0,
            Self::Content(_, content) => content.len() as u64,
            Self::Written(_, file) => file.metadata().map_or(u64::MAX, |status| status.len()),
            Self::Known(_, size) => *size,
            Self::Kept(told) => told.size(),
        }
    }

    fn kept(self) -> Self {
        Self::Kept(Box::new(self))
    }

    fn to(self, tar: &mut DraftTar, goes_on: &GoesOn<'_>) -> Result<(), PackError> {
        match self {
            Self::Entry(entry) => tar.entry(&entry),
            Self::Content(entry, content) => tar.file(entry, &content),
            Self::Written(entry, file) => tar.written(entry, &file, goes_on),
            Self::Known(entry, size) => tar.known(entry, size),
            Self::Kept(told) => tar.kept(|tar| told.to(tar, goes_on)),
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
            Node::Folder(folder) => Some(&**folder),
            Node::File(_) => None,
        }));
    }
    false
}
