//! Local archives of `ADD`, which are unpacked in place of being copied.
//!
//! An archive is known by its content, as in Docker. It is unpacked through the kernel's overlay of
//! the layer over those below: an archive may replace what is there, and go through the links it
//! made itself, but everything stays below the destination.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_store::compression::Decoder;
use gantry_store::unpack::{self, Options, Owners};
use gantry_store::{LayerDraft, Limits, tar};
use gantry_sys::mount::{Attributes, Overlay};
use gantry_sys::path::Directory;
use rustix::fs::FileType;

use super::copy::{Change, Changed};
use super::files::Workshop;
use super::layer::{LayerWriter, Permissions};
use super::view;
use crate::error::StepError;
use crate::graph::FileOperation;
use crate::tree::{Match, Tree, digest_of};

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
) -> Result<Option<Archive<'a>>, StepError> {
    if found.top.kind != FileType::RegularFile {
        return Ok(None);
    }
    let path = &found.top.path;
    let failed = |source| StepError::io("read", tree.shown(path), source);
    let mut file = tree.open_file(path).map_err(failed)?;
    let mut head = Vec::new();
    file.by_ref()
        .take(8)
        .read_to_end(&mut head)
        .map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    if let Some(name) = unknown_compression(&head) {
        return Err(StepError::Archive {
            path: tree.shown(path),
            reason: format!(
                "it is compressed with {name}, which is not supported; use COPY to keep it as it is"
            ),
        });
    }
    if !is_tar(&file) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(Some(Archive { tree, found, file }))
}

/// Compressions that Docker unpacks and Gantry does not.
fn unknown_compression(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"BZh") {
        Some("bzip2")
    } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Some("xz")
    } else {
        None
    }
}

/// Whether a stream, decompressed, begins as an archive does.
fn is_tar(file: &File) -> bool {
    let Ok(decoder) = Decoder::new(file, None) else {
        return false;
    };
    let mut reader = tar::Reader::new(BufReader::new(decoder), &Limits::default());
    matches!(reader.next_entry(), Ok(Some(_)))
}

impl Archive<'_> {
    /// Unpacks the archive below the destination of an operation.
    pub(crate) fn unpack(
        mut self,
        workshop: &Workshop<'_>,
        layer: &mut LayerWriter,
        draft: &LayerDraft,
        lowers: &[Digest],
        operation: &FileOperation,
        change: &Change,
    ) -> Result<Changed, StepError> {
        let place = layer.resolve(&operation.destination)?;
        // As in BuildKit, --chmod says nothing of archives.
        let made = Permissions {
            mode: 0o755,
            ..change.made()
        };
        layer.make_all(&place.path, &made)?;
        layer.forget_times_below(&place.path);
        let root = mount(workshop, draft, lowers)?;
        let shown = self.tree.shown(&self.found.top.path);
        let target = root.directory_beneath(&place.path).map_err(|source| {
            StepError::io("open", PathBuf::from("/").join(&place.path), source)
        })?;
        // The archive says nothing of the destination itself.
        let kept = Permissions::of(&target).map_err(|source| {
            StepError::io("look up", PathBuf::from("/").join(&place.path), source)
        })?;
        let options = Options {
            whiteouts: None,
            owners: change
                .owner
                .map_or(Owners::Archived, |(uid, gid)| Owners::Fixed(uid, gid)),
            limits: Limits::default(),
        };
        let failed = |source| StepError::io("read", &shown, source);
        let decoder = Decoder::new(&self.file, None).map_err(failed)?;
        unpack::into_directory(target.as_fd(), BufReader::new(decoder), &options).map_err(
            |error| StepError::Archive {
                path: shown.clone(),
                reason: chain(&error),
            },
        )?;
        kept.apply(&target).map_err(|source| {
            StepError::io(
                "set the permissions of",
                PathBuf::from("/").join(&place.path),
                source,
            )
        })?;
        // What was unpacked must be what the key of the step speaks of.
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let digest = digest_of(&self.file).map_err(failed)?;
        if self.found.top.digest == Some(digest) {
            return Ok(Changed::new());
        }
        Err(StepError::Archive {
            path: shown,
            reason: "it changed while it was read".to_owned(),
        })
    }
}

/// An error with all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
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
        volatile: false,
        user_attributes: false,
    };
    let mount = overlay.mount(Attributes::NONE).map_err(StepError::Mount)?;
    Ok(Directory::from(OwnedFd::from(mount)))
}

fn create(path: &Path) -> Result<(), StepError> {
    fs::create_dir_all(path).map_err(|source: io::Error| StepError::io("create", path, source))
}
