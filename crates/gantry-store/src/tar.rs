//! Tar archives: our own reader and writer (POSIX.1-2001 `pax`, ustar, GNU, v7).
//!
//! [`Reader`] understands what layers are made of: ustar with prefixes, GNU long names and
//! links, PAX headers local and global, base-256 numbers, GNU sparse files in all their four
//! forms, extended attributes as `SCHILY.xattr.` and `LIBARCHIVE.xattr.`, devices and FIFOs.
//! It streams, holds one header at a time, and refuses what is malformed by saying at which
//! byte. [`Writer`] writes ustar with PAX headers where ustar cannot say it, always the same
//! bytes for the same entry.

mod entry;
mod error;
mod header;
mod number;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use entry::{Entry, EntryKind, Fragment, SparseMap, Timestamp, Xattr};
pub use error::{ReadError, ReadErrorKind};
pub use reader::Reader;
pub use writer::{WriteError, Writer};

/// Tar's unit.
pub const BLOCK: usize = 512;

#[cfg(test)]
mod tests;
