//! Packing a directory into an archive: always the same bytes for the same tree.
//!
//! Entries come in bytewise order of their names, a directory before what is in it; owners are
//! numbers; nothing of this machine's names or clock gets in. An overlayfs upper directory is
//! written as an OCI layer: device 0/0 becomes a whiteout, an opaque directory gets its marker,
//! overlayfs's own attributes are left out or unescaped.

pub(crate) mod attributes;
mod error;
mod sparse;
mod walk;

use std::io::{self, Write};
use std::os::fd::BorrowedFd;

pub use attributes::{PROGRAMS_OPAQUE, is_programs_mark};
pub use error::PackError;
pub use walk::entry_of;
pub(crate) use walk::{check_depth, check_name, file};

use gantry_model::userns::IdRanges;

use crate::tar::{EntryKind, Fragment, Writer};
use crate::unpack::OverlayNames;

/// How a directory is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a> {
    /// The directory is an overlayfs upper or lower one, whose attributes have these names.
    pub overlay: Option<OverlayNames>,
    /// Write an entry for the directory itself (`./`).
    pub root: bool,
    /// Take from the tree, while at it, what the archive will not have: overlayfs's working
    /// attributes and sockets.
    pub normalise: bool,
    /// Whose numbers the tree has: the archive has those of this container's users.
    pub owners: Option<&'a IdRanges>,
}

/// What was packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packed {
    /// Entries written (without whiteouts' and opaque markers).
    pub files: u64,
    /// Bytes of regular files.
    pub content_size: u64,
    /// Bytes the files take on the disk.
    pub disk_usage: u64,
}

impl Packed {
    /// Counts an entry whose place on the disk is not looked up: whole pages of content, one for a
    /// directory.
    pub(crate) fn count(&mut self, kind: &EntryKind, size: u64) {
        self.files += 1;
        self.content_size += size;
        self.disk_usage += match kind {
            EntryKind::Directory => 4096,
            _ => size.next_multiple_of(4096),
        };
    }
}

/// Packs the tree below `root` into `sink`, with the end of the archive.
///
/// # Errors
/// [`PackError`].
pub fn directory<W: Write>(
    root: BorrowedFd<'_>,
    sink: W,
    options: Options<'_>,
) -> Result<(Packed, W), PackError> {
    let (packed, sink) = into(root, Plain(sink), options, &always)?;
    Ok((packed, sink.0))
}

/// Asked again and again by what may take long; an error ends it, and is the cause of its failure.
pub type GoesOn<'g> = dyn Fn() -> io::Result<()> + 'g;

/// Nobody ends it.
pub(crate) fn always() -> io::Result<()> {
    Ok(())
}

pub(crate) fn into<S: Sink>(
    root: BorrowedFd<'_>,
    sink: S,
    options: Options<'_>,
    goes_on: &GoesOn<'_>,
) -> Result<(Packed, S), PackError> {
    let mut writer = Writer::new(sink);
    let packed = walk::walk(root, &mut writer, options, goes_on)?;
    let sink = writer
        .finish()
        .map_err(|source| PackError::Write { source })?;
    Ok((packed, sink))
}

/// Takes an archive in and is told which parts of it are contents of files.
pub(crate) trait Sink: Write {
    /// The bytes that follow are these parts of this file.
    fn start_file(&mut self, path: &[u8], fragments: &[Fragment]) -> io::Result<()>;
    /// The bytes that follow are no content any more.
    fn end_file(&mut self);
}

#[derive(Debug)]
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Sink for Plain<W> {
    fn start_file(&mut self, _: &[u8], _: &[Fragment]) -> io::Result<()> {
        Ok(())
    }

    fn end_file(&mut self) {}
}

#[cfg(test)]
mod tests;
