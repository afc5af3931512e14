//! Images as files with names, wherever these are: entries of an archive, files of a folder.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use gantry_model::Digest;
use gantry_model::image::{Descriptor, Index};
use serde::de::DeserializeOwned;

use super::archive::ArchiveError;
use super::document::{self, DOCUMENT_LIMIT};
use super::layout::blob_name;

/// The entry of an OCI layout that says what to begin with.
pub(crate) const INDEX: &str = "index.json";

/// What images are read from.
pub(crate) trait Bundle {
    /// Whether something of that name is there.
    fn has(&self, name: &str) -> bool;

    /// Opens a file; `by` is who refers to it.
    fn open(&self, name: &str, by: &'static str) -> Result<Section, ArchiveError>;

    /// Reads a document.
    fn read(&self, name: &str, by: &'static str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let section = self.open(name, by)?;
        let size = section.size();
        if size > limit {
            return Err(ArchiveError::TooLarge {
                name: name.to_owned(),
                size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        section
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|source| ArchiveError::Read { source })?;
        Ok(bytes)
    }

    /// Reads a document of an OCI layout and verifies it.
    fn blob(&self, digest: &Digest, by: &'static str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let name = blob_name(digest);
        let bytes = self.read(&name, by, limit)?;
        let (actual, expected) = (document::digest(&bytes), *digest);
        if actual != expected {
            return Err(ArchiveError::Digest {
                name,
                expected,
                actual,
            });
        }
        Ok(bytes)
    }

    /// The entries of an OCI layout.
    fn entries(&self) -> Result<Vec<Descriptor>, ArchiveError> {
        let bytes = self.read(INDEX, "layout", DOCUMENT_LIMIT)?;
        let index: Index = parse(INDEX, &bytes)?;
        Ok(index.manifests)
    }
}

/// Reads a document of that name.
pub(crate) fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| ArchiveError::Document {
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

/// A part of a file; several may be read at once.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Section {
    /// `size` bytes from `offset` on.
    pub(crate) fn new(file: Arc<File>, offset: u64, size: u64) -> Self {
        Self {
            file,
            offset,
            left: size,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.left
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
