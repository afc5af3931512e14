//! Archives of images: an index of what is in a tar, read without unpacking it.
//!
//! Names in the archive are keys of a map and never paths: nothing is opened by them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Arc;

use gantry_model::{Digest, Fault, FaultKind};
use gantry_store::Limits;
use gantry_store::limits::Limit;
use gantry_store::tar::{EntryKind, ReadError, ReadErrorKind, Reader};

use super::bundle::{Bundle, Section};

/// Most entries of an archive of images.
const ENTRIES: u64 = 100_000;
/// Longest name that means anything in one.
const NAME: usize = 512;
/// Links from entry to entry that are followed.
const LINKS: usize = 8;

/// Why an archive of images cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("cannot read the archive")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// It cannot be put aside to be read in any order.
    #[error("cannot put the archive aside")]
    Spool {
        /// Why.
        source: io::Error,
    },
    /// There is nothing.
    #[error("the archive is empty")]
    Empty,
    /// It is compressed by something else than gzip or zstd.
    #[error("the archive is compressed by {name}, which is not supported (gzip and zstd are)")]
    Compression {
        /// By what.
        name: &'static str,
    },
    /// It grows beyond belief.
    #[error("the archive has more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: Limit,
        /// How much is accepted.
        limit: u64,
    },
    /// It is no tar, or a malformed one.
    #[error("the archive is no well-formed tar")]
    Tar {
        /// Where and why.
        source: ReadError,
    },
    /// It is a tar, but holds no images.
    #[error("the archive holds no images: it has neither manifest.json nor index.json")]
    NoImages,
    /// It, or an OCI layout in a folder, refers to something that is not in it.
    #[error("{name:?} is missing, to which the {by} refers")]
    Lacks {
        /// The entry.
        name: String,
        /// Who refers to it.
        by: &'static str,
    },
    /// Something in an OCI layout cannot be opened, or is no file of its folder.
    #[error("cannot open {name:?}: {reason}")]
    Foreign {
        /// Where it would be.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A document in it cannot be understood.
    #[error("{name:?} is malformed: {reason}")]
    Document {
        /// The entry.
        name: String,
        /// Why.
        reason: String,
    },
    /// A document in it is too large.
    #[error("{name:?} has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The entry.
        name: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// An entry is not what its name or descriptor says.
    #[error("{name:?} has digest {actual}, expected {expected}")]
    Digest {
        /// The entry.
        name: String,
        /// What it should have.
        expected: Digest,
        /// What it has.
        actual: Digest,
    },
    /// It cannot be written.
    #[error("cannot write the archive")]
    Write {
        /// Why.
        source: io::Error,
    },
}

impl Fault for ArchiveError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Read { .. } | Self::Spool { .. } | Self::Write { .. } => FaultKind::Internal,
            Self::Compression { .. } => FaultKind::Unsupported,
            Self::Empty | Self::NoImages => FaultKind::Invalid,
            _ => FaultKind::Corrupt,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoImages => {
                vec!["a root file system becomes an image with `gantry import`".to_owned()]
            }
            Self::Limit { what, .. } => vec![what.hint()],
            _ => Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
enum Place {
    Content { offset: u64, size: u64 },
    Link(String),
    Sparse,
}

/// What is where in an archive.
#[derive(Debug)]
pub(crate) struct Archive {
    file: Arc<File>,
    places: HashMap<String, Place>,
}

impl Archive {
    /// Reads the headers of a plain tar.
    pub(crate) fn index(file: File, limits: &Limits) -> Result<Self, ArchiveError> {
        let file = Arc::new(file);
        let size = file
            .metadata()
            .map_err(|source| ArchiveError::Read { source })?
            .len();
        let limits = Limits {
            entries: ENTRIES,
            // Its files are layers, which are bounded when they are unpacked.
            file_bytes: u64::MAX,
            ..limits.clone()
        };
        let mut places = HashMap::new();
        let section = Section::new(Arc::clone(&file), 0, size.max(1));
        let mut reader = Reader::new(BufReader::with_capacity(64 << 10, section), &limits);
        let tar = |source: ReadError| match source.kind {
            ReadErrorKind::TooMuch { what, limit } => ArchiveError::Limit { what, limit },
            _ => ArchiveError::Tar { source },
        };
        while let Some(entry) = reader.next_entry().map_err(tar)? {
            let Some(name) = plain(&entry.path) else {
                continue;
            };
            let place = match entry.kind {
                EntryKind::Regular if entry.sparse.is_some() => Place::Sparse,
                EntryKind::Regular => Place::Content {
                    offset: reader.offset(),
                    size: entry.size,
                },
                EntryKind::Symlink => match plain(&beside(&entry.path, &entry.link)) {
                    Some(target) => Place::Link(target),
                    None => continue,
                },
                EntryKind::HardLink => match plain(&entry.link) {
                    Some(target) => Place::Link(target),
                    None => continue,
                },
                _ => continue,
            };
            places.insert(name, place);
        }
        Ok(Self { file, places })
    }
}

impl Bundle for Archive {
    fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Opens an entry; links within the archive are followed.
    fn open(&self, name: &str, by: &'static str) -> Result<Section, ArchiveError> {
        let lacks = || ArchiveError::Lacks {
            name: name.chars().take(NAME).collect(),
            by,
        };
        let mut at = plain(name.as_bytes()).ok_or_else(lacks)?;
        for _ in 0..LINKS {
            match self.places.get(&at).ok_or_else(lacks)? {
                Place::Content { offset, size } => {
                    return Ok(Section::new(Arc::clone(&self.file), *offset, *size));
                }
                Place::Link(target) => at.clone_from(target),
                Place::Sparse => break,
            }
        }
        Err(lacks())
    }
}

/// A name without what does not matter in it; `None` when it is none.
fn plain(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path)
        .ok()
        .filter(|text| text.len() <= NAME)?;
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The target of a symbolic link, from the root of the archive.
fn beside(path: &[u8], link: &[u8]) -> Vec<u8> {
    let folder = path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
    [&path[..folder], link].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys() {
        for (path, want) in [
            ("./a/b", Some("a/b")),
            ("/a//b/", Some("a/b")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("", None),
            ("./", None),
        ] {
            assert_eq!(plain(path.as_bytes()).as_deref(), want, "{path}");
        }
        assert_eq!(
            plain(&beside(b"x/layer.tar", b"../y/layer.tar")).as_deref(),
            Some("y/layer.tar")
        );
        assert_eq!(plain(&beside(b"x", b"../../etc/passwd")), None);
        assert_eq!(plain(&[0xff]), None);
    }
}
