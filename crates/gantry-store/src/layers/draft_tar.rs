//! The tar of a draft, told while the draft is filled.
//!
//! Who writes the files of a layer knows everything its tar says of them. If it tells so in the
//! order of the tar, the diff ID is known with the last file and nothing is read a second time.

use std::fs::File;
use std::io;

use gantry_model::Digest;
use rustix::fs;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256};

use super::draft::{DraftSink, LayerDraft, RootMark};
use super::patch::Whole;
use super::recipe::RecipeWriter;
use super::unpack::recipe_file;
use crate::error::StoreError;
use crate::pack::{self, GoesOn, PackError, Packed, Sink};
use crate::tar::{Entry, EntryKind, Fragment, WriteError, Writer};
use crate::tree;

/// The tar of a draft as far as it was told.
pub struct DraftTar {
    pub(super) writer: Writer<DraftSink>,
    pub(super) packed: Packed,
    /// Whether the root directory is an entry.
    pub(super) lists_root: bool,
    /// Where what is told is, if it is not in the draft.
    pub(super) patch_of: Option<Digest>,
    /// Whether it can be told again by names, status and content.
    is_plain: bool,
    #[cfg(debug_assertions)]
    last: Vec<u8>,
}

impl std::fmt::Debug for DraftTar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DraftTar")
            .field("packed", &self.packed)
            .finish_non_exhaustive()
    }
}

impl LayerDraft {
    /// Begins the tar of this draft, whose root directory will be as `root` says.
    ///
    /// Entries follow as [`crate::pack`] would find them: in bytewise order of their names, a
    /// directory before what is in it. What is told must be what is in the draft when it is
    /// committed with [`LayerDraft::commit_told`].
    ///
    /// # Errors
    /// When the recipe cannot be written.
    pub fn tar(&self, root: &Entry) -> Result<DraftTar, PackError> {
        let recipe = recipe_file(self.entry.handle(), self.entry.path())?;
        let failed = |source| StoreError::io("write the recipe in", self.entry.path(), source);
        let sink = DraftSink {
            hasher: Sha256::new(),
            recipe: Some(RecipeWriter::new(recipe).map_err(failed)?),
            recording: true,
        };
        let mode = fs::FileType::Directory.as_raw_mode() | root.mode;
        let mut tar = DraftTar {
            writer: Writer::new(sink),
            packed: Packed::default(),
            lists_root: self.root != Some(RootMark(mode, root.uid, root.gid)),
            patch_of: None,
            is_plain: true,
            #[cfg(debug_assertions)]
            last: Vec::new(),
        };
        if tar.lists_root {
            tar.packed.count(&EntryKind::Directory, 0);
            tar.header(root)?;
        }
        Ok(tar)
    }
}

/// A point of a tar: the digest of all before it, from which it can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarPoint(Box<[u8]>);

impl TarPoint {
    /// As [`TarPoint::as_bytes`] gave it; `None` where it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let point = Self(bytes.into());
        point.hasher().map(|_| point)
    }

    /// As it can be kept: some hundred bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn hasher(&self) -> Option<Sha256> {
        Sha256::deserialize((&*self.0).try_into().ok()?).ok()
    }
}

impl DraftTar {
    /// Whether the root directory is an entry.
    #[must_use]
    pub fn lists_root(&self) -> bool {
        self.lists_root
    }

    /// Whether what was told so far follows from the names, the status and the content of files: no
    /// extended attributes, no holes that count, no second names. Then [`DraftTar::known`] gives the
    /// same.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The point that was reached.
    pub fn point(&mut self) -> TarPoint {
        TarPoint(self.writer.sink_mut().hasher.serialize().as_slice().into())
    }

    /// A regular file of `size` bytes whose content need not be read, since the digest goes on from a
    /// point behind it: it is wrong up to then.
    ///
    /// # Errors
    /// As [`DraftTar::entry`].
    pub fn known(&mut self, entry: Entry, size: u64) -> Result<(), PackError> {
        self.content(entry, size, |_| Ok(()))
    }

    /// Everything that was told up to here is what was told before `point`, in another tar.
    pub fn go_on_from(&mut self, point: &TarPoint) {
        if let Some(hasher) = point.hasher() {
            self.writer.sink_mut().hasher = hasher;
        }
    }

    /// What is told and not in the draft is in this layer, at the same path and the same in every
    /// respect; and this layer has nothing that is not told.
    pub fn patch_of(&mut self, whole: &Whole) {
        self.patch_of = Some(whole.diff_id);
    }

    /// What `tell` tells is not in the draft but in the layer that it is a patch of.
    ///
    /// # Errors
    /// Those of `tell`.
    pub fn kept(
        &mut self,
        tell: impl FnOnce(&mut Self) -> Result<(), PackError>,
    ) -> Result<(), PackError> {
        let disk_usage = self.packed.disk_usage;
        tell(self)?;
        self.packed.disk_usage = disk_usage;
        Ok(())
    }

    /// An entry without content. A hard link is to an entry that was told before.
    ///
    /// # Errors
    /// [`PackError`] when no layer can have it, or the recipe cannot be written.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), PackError> {
        self.check(entry)?;
        self.is_plain &= entry.kind != EntryKind::HardLink;
        self.packed.count(&entry.kind, 0);
        self.header(entry)
    }

    /// A regular file and all that was written into it.
    ///
    /// # Errors
    /// As [`DraftTar::entry`].
    pub fn file(&mut self, entry: Entry, content: &[u8]) -> Result<(), PackError> {
        let size = content.len() as u64;
        self.content(entry, size, |sink| io::Write::write_all(sink, content))
    }

    fn content(
        &mut self,
        mut entry: Entry,
        size: u64,
        write: impl FnOnce(&mut DraftSink) -> io::Result<()>,
    ) -> Result<(), PackError> {
        self.check(&entry)?;
        self.is_plain &= entry.xattrs.is_empty();
        entry.size = size;
        self.packed.count(&EntryKind::Regular, entry.size);
        self.header(&entry)?;
        if size == 0 {
            return Ok(());
        }
        let whole = [Fragment {
            offset: 0,
            length: entry.size,
        }];
        let sink = self.writer.sink_mut();
        sink.start_file(&entry.path, &whole)
            .and_then(|()| write(sink))
            .map_err(stream)?;
        sink.end_file();
        self.writer
            .pad(entry.size)
            .map_err(|source| PackError::Write { source })
    }

    /// A regular file as it is in the draft by now: it is read again, for files that are too large
    /// to be kept in memory, and those with holes.
    ///
    /// # Errors
    /// As [`DraftTar::entry`], when the file cannot be read, and when it does not go on.
    pub fn written(
        &mut self,
        entry: Entry,
        file: &File,
        goes_on: &GoesOn<'_>,
    ) -> Result<(), PackError> {
        self.check(&entry)?;
        self.is_plain &= entry.xattrs.is_empty();
        let (size, disk) = pack::file(&mut self.writer, entry, file, goes_on)?;
        self.is_plain &= size <= disk;
        self.packed.files += 1;
        self.packed.content_size += size;
        self.packed.disk_usage += disk;
        Ok(())
    }

    fn header(&mut self, entry: &Entry) -> Result<(), PackError> {
        self.writer
            .header(entry)
            .map_err(|source| PackError::Write { source })
    }

    /// What no layer can have, here as in [`crate::pack`].
    fn check(&mut self, entry: &Entry) -> Result<(), PackError> {
        #[cfg(debug_assertions)]
        {
            let parts = |path: &[u8]| path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect();
            let (last, this): (Vec<_>, Vec<_>) = (parts(&self.last), parts(&entry.path));
            debug_assert!(last < this, "{last:?} before {this:?}");
            self.last.clone_from(&entry.path);
        }
        pack::check_name(&entry.path, tree::split_last(&entry.path).1)?;
        match entry.kind {
            EntryKind::Directory => pack::check_depth(&entry.path),
            _ => Ok(()),
        }
    }
}

fn stream(source: io::Error) -> PackError {
    PackError::Write {
        source: WriteError::Stream(source),
    }
}
