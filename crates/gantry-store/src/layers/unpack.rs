//! From a compressed stream to a layer under its diff ID.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::fixups::Needs;
use super::publish::{Finished, publish};
use super::recipe::{RecipeWriter, Recorder};
use super::{LayerBlob, LayerInfo, LayerRow, Layers, UnpackOptions, flags};
use crate::compression::Pipeline;
use crate::error::StoreError;
use crate::ingest::IngestEntry;
use crate::store::Store;
use crate::tar::Reader;
use crate::tree;
use crate::unpack::{
    Options, OverlayNames, Owners, RootListing, UnpackError, Unpacked, Unpacker, piped,
};

impl Layers<'_> {
    /// Unpacks a layer from a stream, verifies both of its digests, and gives it its name.
    ///
    /// Any number of threads and processes may do so at once. Where the diff ID is known
    /// beforehand and another one is at this very layer, this waits for it and then does not
    /// read from the stream at all (see also [`Layers::wait`]).
    ///
    /// # Errors
    /// [`UnpackError`]; nothing is left of it then.
    pub fn unpack(
        &self,
        reader: impl Read + Send,
        options: &UnpackOptions<'_>,
    ) -> Result<LayerInfo, UnpackError> {
        let claim = match &options.diff_id {
            None => None,
            Some(diff_id) => match self.claim(diff_id)? {
                Ok(info) => return Ok(info),
                Err(claim) => Some(claim),
            },
        };
        let finished = unpack(self.store, reader, options)?;
        Ok(publish(self.store, finished, claim)?)
    }

    /// The layer, if it is there, or will be soon: waits for whoever unpacks it right now.
    /// It is held for as long as the store's handle lives.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn wait(&self, diff_id: &gantry_model::Digest) -> Result<Option<LayerInfo>, StoreError> {
        Ok(self.claim(diff_id)?.ok())
    }
}

fn unpack(
    store: &Store,
    reader: impl Read + Send,
    options: &UnpackOptions<'_>,
) -> Result<Finished, UnpackError> {
    let entry = store.ingest()?.directory()?;
    let tree_options = Options {
        whiteouts: Some(overlay_names()),
        owners: if rustix::process::geteuid().is_root() {
            Owners::Archived
        } else {
            Owners::Caller
        },
        limits: store.limits().clone(),
    };
    let ((unpacked, recipe_size), diff_id, tar_size) = piped(store, reader, options, |pipeline| {
        let (unpacked, pipeline, size) = fill(&entry, pipeline, &tree_options)?;
        Ok(((unpacked, size), pipeline))
    })?;
    debug_assert_eq!(tar_size, recipe_size, "the recipe accounts for every byte");
    let info = LayerInfo {
        diff_id,
        tar_size,
        content_size: unpacked.content_size,
        files: unpacked.files,
        disk_usage: unpacked.disk_usage,
    };
    let flags = flags_of(&unpacked);
    if flags & flags::NEEDS != 0 {
        Needs::of(unpacked).write(&entry)?;
    }
    let blob = options.blob.map(|(digest, size)| LayerBlob {
        digest,
        size,
        media_type: String::new(),
        repositories: Vec::new(),
    });
    Ok(Finished {
        entry,
        row: LayerRow {
            info,
            flags,
            patch_of: None,
        },
        blob,
    })
}

fn fill(
    entry: &IngestEntry,
    pipeline: Pipeline,
    options: &Options,
) -> Result<(Unpacked, Pipeline, u64), UnpackError> {
    let root = make_directory(entry.handle(), "fs", entry.path())?;
    let recipe = recipe_file(entry.handle(), entry.path())?;
    let failed = |source| StoreError::io("write the recipe in", entry.path(), source);
    let layer = entry.handle().try_clone().map_err(failed)?;
    let recorder = Recorder::new(pipeline, RecipeWriter::new(recipe).map_err(failed)?, layer);
    let mut reader = Reader::new(recorder, &options.limits);
    let unpacked = Unpacker::new(root.as_fd(), options)?.run(&mut reader)?;
    let (pipeline, size) = reader.into_inner().finish().map_err(failed)?;
    Ok((unpacked, pipeline, size))
}

pub(super) fn make_directory(
    parent: &OwnedFd,
    name: &str,
    path: &Path,
) -> Result<OwnedFd, StoreError> {
    fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))
        .and_then(|()| tree::open_directory(parent, name))
        .map_err(|errno: Errno| StoreError::io("create a folder in", path, errno))
}

pub(super) fn recipe_file(parent: &OwnedFd, path: &Path) -> Result<File, StoreError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    fs::openat(parent, "recipe", flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|errno| StoreError::io("create the recipe in", path, errno))
}

fn flags_of(unpacked: &Unpacked) -> i64 {
    let mut bits = match unpacked.root {
        RootListing::Implied => flags::IMPLIED_ROOT,
        RootListing::Plain => 0,
        RootListing::Special => flags::SPECIAL_ROOT,
    };
    if !unpacked.implied.is_empty() || !unpacked.foreign_links.is_empty() {
        bits |= flags::NEEDS;
    }
    if unpacked.incomplete {
        bits |= flags::INCOMPLETE;
    }
    bits
}

/// Which attributes overlayfs will read here: `trusted.` ones are for the machine's root.
pub(crate) fn overlay_names() -> OverlayNames {
    if gantry_sys::system::is_root() && gantry_sys::process::is_in_initial_user_namespace() {
        OverlayNames::Trusted
    } else {
        OverlayNames::User
    }
}
