//! Unpacking an archive into a directory that it cannot leave.
//!
//! Every entry is made by name relative to the descriptor of its parent, which was itself found
//! from the root descriptor, one component at a time; symbolic links on the way are resolved by
//! hand as if the root were `/`. What is in the way of an entry is replaced, never followed.
//! Attributes, modes and times of directories are set last.

mod directories;
mod error;
mod metadata;
mod nodes;
mod unpacker;
mod verified;
mod whiteouts;

use std::io::{self, BufRead, Read};
use std::os::fd::BorrowedFd;

pub use error::UnpackError;

use crate::limits::Limits;
use crate::tar::{Fragment, Reader};
use crate::tree;

/// Who owns what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// As the archive says.
    #[default]
    Archived,
    /// This user and group.
    Fixed(u32, u32),
    /// The user who unpacks: nothing is changed.
    Caller,
}

/// Under which names overlayfs keeps its attributes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverlayNames {
    /// `trusted.overlay.` (as root).
    #[default]
    Trusted,
    /// `user.overlay.` (mounts with `userxattr`, as without root).
    User,
}

impl OverlayNames {
    /// The prefix of the attributes.
    #[must_use]
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }
}

/// How an archive is unpacked.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Translate OCI whiteouts into overlayfs's, with its attributes under these names;
    /// `None` takes `.wh.` names as they are.
    pub whiteouts: Option<OverlayNames>,
    /// Who owns the result.
    pub owners: Owners,
    /// What is accepted.
    pub limits: Limits,
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Entries made.
    pub files: u64,
    /// Bytes of regular files.
    pub content_size: u64,
    /// Bytes on the disk, roughly.
    pub disk_usage: u64,
    /// Whether attributes or devices could not be made here and were left out.
    pub incomplete: bool,
    /// Entries whose owner this user namespace does not have, and which are the caller's here.
    pub foreign_owners: u64,
    /// Directories that entries lie in without being listed, sorted; without the root.
    pub(crate) implied: Vec<Vec<u8>>,
    /// Whether the root directory is listed, and whether it is anything but 0755 of root.
    pub(crate) root: RootListing,
    /// Hard links whose target is not in this archive: path and target.
    pub(crate) foreign_links: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an archive says of its root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RootListing {
    #[default]
    Implied,
    Plain,
    Special,
}

/// Unpacks an archive below `root`, over what is there.
///
/// # Errors
/// [`UnpackError`]; what was unpacked before the error stays.
pub fn into_directory(
    root: BorrowedFd<'_>,
    archive: impl BufRead,
    options: &Options,
) -> Result<Unpacked, UnpackError> {
    let mut reader = Reader::new(Plain(archive), &options.limits);
    whole(Unpacker::new(root, options)?.run(&mut reader)?)
}

/// Refuses links to files that only a layer below could have.
fn whole(unpacked: Unpacked) -> Result<Unpacked, UnpackError> {
    match unpacked.foreign_links.first() {
        Some((path, target)) => Err(UnpackError::LinkTarget {
            path: error::show(path),
            target: error::show(target),
        }),
        None => Ok(unpacked),
    }
}

/// A stream that is told what becomes of the bytes that are read from it.
pub(crate) trait Tape: BufRead {
    /// The bytes that follow go into this file, to these places.
    fn start_file(&mut self, path: &[u8], fragments: &[Fragment]) -> io::Result<()>;
    /// The bytes that follow do not go into a file any more.
    fn end_file(&mut self);
    /// Takes away a regular file (`path` is `name` in `parent`), which an entry replaces.
    fn replace(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> io::Result<()>;
}

/// A stream of which nothing is kept.
#[derive(Debug)]
struct Plain<R>(R);

impl<R: BufRead> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: BufRead> BufRead for Plain<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

impl<R: BufRead> Tape for Plain<R> {
    fn start_file(&mut self, _: &[u8], _: &[Fragment]) -> io::Result<()> {
        Ok(())
    }

    fn end_file(&mut self) {}

    fn replace(&mut self, parent: BorrowedFd<'_>, name: &[u8], _: &[u8]) -> io::Result<()> {
        Ok(tree::remove_tree(parent, name)?)
    }
}

pub(crate) use directories::is_whiteout;
pub(crate) use directories::relative;
pub(crate) use metadata::timestamps;
pub(crate) use unpacker::Unpacker;
pub(crate) use verified::piped;
pub(crate) use whiteouts::{Meaning, meaning as meaning_of};

#[cfg(test)]
mod tests;
