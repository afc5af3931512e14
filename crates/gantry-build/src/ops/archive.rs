//! Local archives of `ADD`, which are unpacked in place of being copied.
//!
//! An archive is known by its content, as in Docker. It is unpacked through the kernel's overlay of
//! the layer over those below: an archive may replace what is there, and go through the links it
//! made itself, but everything stays below the destination.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::Path;

use gantry_model::Digest;
use gantry_store::compression::Bounded;
use gantry_store::unpack::{self, Options, Owners};
use gantry_store::{LayerDraft, Limits, tar};
use gantry_sys::mount::{Attributes, Overlay};
use gantry_sys::path::Directory;
use rustix::fs::FileType;

use super::files::Workshop;
use super::plan::LayerPlan;
use super::view;
use crate::error::StepError;
use crate::permissions::{Change, Permissions};
use crate::tree::{Facts, HashingReader, Match, Tree};

/// An archive that was recognised.
pub(crate) struct Archive<'a> {
    tree: &'a Tree,
    found: &'a Match,
    file: File,
}

/// The archive that a match is, if it is one.
pub(crate) fn recognise<'a>(
    tree: &'a Tree,
    found: &'a Match,
    limits: &Limits,
) -> Result<Option<Archive<'a>>, StepError> {
    if found.top.kind != FileType::RegularFile {
        return Ok(None);
    }
    let path = &*found.top.path;
    let failed = |source| StepError::io("read", tree.shown(path), source);
    let mut file = tree.open_file(path).map_err(failed)?;
    if !is_tar(&file, limits) {
        // What is none must be what the key of the step speaks of.
        let status = rustix::fs::fstat(&file).map_err(|errno| failed(errno.into()))?;
        return if Facts::new(&status) == found.top.stat {
            Ok(None)
        } else {
            Err(changed(tree, found))
        };
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(Some(Archive { tree, found, file }))
}

/// A file was another one when it was looked at again: whether it is an archive is not known.
pub(crate) fn changed(tree: &Tree, found: &Match) -> StepError {
    StepError::Archive {
        path: tree.shown(&found.top.path),
        reason: "it changed while it was read; build again when nobody writes to it".to_owned(),
    }
}

/// Whether a stream, decompressed, begins as an archive does.
fn is_tar(file: &File, limits: &Limits) -> bool {
    let Ok(decoder) = Bounded::new(file, limits) else {
        return false;
    };
    let mut reader = tar::Reader::new(BufReader::new(decoder), limits);
    matches!(reader.next_entry(), Ok(Some(_))) || reader.nameless() > 0
}

impl Archive<'_> {
    /// Plans the directory that it is unpacked in.
    pub(crate) fn plan(
        &self,
        plan: &mut LayerPlan<'_>,
        destination: &str,
        change: &Change,
    ) -> Result<OsString, StepError> {
        let place = plan.resolve(destination)?;
        // As in BuildKit, --chmod says nothing of archives.
        let made = Permissions {
            mode: 0o755,
            ..change.made()
        };
        plan.make_all(&place.path, &made)?;
        Ok(place.path)
    }

    /// Unpacks the archive into a directory that is in the draft.
    pub(crate) fn unpack(
        self,
        workshop: &Workshop<'_>,
        draft: &LayerDraft,
        lowers: &[Digest],
        place: &OsStr,
        change: &Change,
    ) -> Result<(), StepError> {
        let root = mount(workshop, draft, lowers)?;
        let shown = self.tree.shown(&self.found.top.path);
        let in_place = |action: &'static str| {
            move |source: io::Error| StepError::io(action, Path::new("/").join(place), source)
        };
        let target = root.directory_beneath(place).map_err(in_place("open"))?;
        // The archive says nothing of the destination itself.
        let kept = Permissions::of(&target).map_err(in_place("look up"))?;
        let options = Options {
            whiteouts: None,
            owners: change
                .owner
                .map_or(Owners::Archived, |(uid, gid)| Owners::Fixed(uid, gid)),
            limits: workshop.store.limits().clone(),
        };
        let failed = |source| StepError::io("read", &shown, source);
        let mut reader = HashingReader::new(&self.file).map_err(failed)?;
        let decoder = Bounded::new(workshop.stop.reading(&mut reader), workshop.store.limits())
            .map_err(failed)?;
        unpack::into_directory(target.as_fd(), BufReader::new(decoder), &options).map_err(
            |source| StepError::Unpack {
                path: shown.clone(),
                source,
            },
        )?;
        kept.apply(&target)
            .map_err(in_place("set the permissions of"))?;
        // What was unpacked must be what the key of the step speaks of.
        if self.found.top.digest() == Some(&reader.finish().map_err(failed)?) {
            return Ok(());
        }
        Err(changed(self.tree, self.found))
    }
}

/// The layer over those below, writable, mounted nowhere.
fn mount(
    workshop: &Workshop<'_>,
    draft: &LayerDraft,
    lowers: &[Digest],
) -> Result<Directory, StepError> {
    let mut below = view::top_first(workshop.store.layers().lowers(lowers)?);
    if below.is_empty() {
        create(workshop.empty)?;
        below.push(workshop.empty.to_owned());
    }
    let overlay = Overlay {
        lowers: &below,
        upper: Some((draft.upper(), draft.work())),
        or_program: true,
        ..Overlay::default()
    };
    let mount = overlay.mount(Attributes::NONE).map_err(StepError::Mount)?;
    Ok(mount.into())
}

fn create(path: &Path) -> Result<(), StepError> {
    fs::create_dir_all(path).map_err(|source: io::Error| StepError::io("create", path, source))
}
