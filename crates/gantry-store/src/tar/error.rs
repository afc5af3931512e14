//! Why an archive cannot be read.

use std::io;

use crate::limits::Limit;

/// An archive cannot be read, and where in it.
#[derive(Debug, thiserror::Error)]
#[error("malformed tar at byte {offset}: {kind}")]
pub struct ReadError {
    /// Offset in the uncompressed archive, of the header concerned.
    pub offset: u64,
    /// What is wrong there.
    pub kind: ReadErrorKind,
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The stream below failed.
    #[error("the stream cannot be read")]
    Stream(#[source] io::Error),
    /// The archive ends within an entry.
    #[error("it ends in the middle of an entry")]
    Truncated,
    /// A header's checksum is wrong.
    #[error("the checksum of the header is wrong")]
    Checksum,
    /// A numeric field is no number.
    #[error("the field {0} is no number")]
    Number(&'static str),
    /// A number does not fit.
    #[error("the field {0} is out of range")]
    Range(&'static str),
    /// A PAX record is malformed.
    #[error("a PAX record is malformed")]
    Pax,
    /// A sparse map is malformed.
    #[error("the map of a sparse file is malformed")]
    Sparse,
    /// An entry of a type that has no meaning in a layer.
    #[error("entries of type {:?} are not supported", char::from(*.0))]
    Type(u8),
    /// An extended header has no entry that it belongs to.
    #[error("an extended header is followed by no entry")]
    Dangling,
    /// More than is accepted.
    #[error("more than {limit} {what}")]
    TooMuch {
        /// Which limit.
        what: Limit,
        /// Its value.
        limit: u64,
    },
}
