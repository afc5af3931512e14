//! Archives that are a context: unpacked into a layer, as root's files.

use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;

use gantry_model::Digest;
use gantry_store::compression::Bounded;
use gantry_store::unpack::{self, Options, Owners};
use gantry_sys::path::Directory;
use serde::{Deserialize, Serialize};

use super::{Behalf, Remote};
use crate::cache::Key;
use crate::error::StepError;
use crate::graph::Fields;

/// Bytes of the header of a tar's entry.
const HEADER: usize = 512;
/// Where its checksum stands.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// What is remembered of an archive.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    layer: Digest,
}

impl Remote {
    /// The layer of what the archive in `file`, a layer itself, holds.
    pub(crate) fn unpacked(
        &self,
        file: &Digest,
        archive: impl Read,
        name: &str,
        on: &Behalf<'_>,
    ) -> Result<Digest, StepError> {
        let mut fields = Fields::new("unpacked");
        fields.bytes(file.as_bytes());
        let key = Key(fields.finish());
        let _lock = self.lock(&key)?;
        if let Some(known) = self.known::<Known>(&key, on)? {
            self.touch(&key)?;
            return Ok(known.layer);
        }
        let layer = self.unpack(archive, name)?;
        self.remember(&key, layer, &Known { layer })?;
        Ok(layer)
    }

    /// The layer of what an archive holds.
    pub(crate) fn unpack(&self, archive: impl Read, name: &str) -> Result<Digest, StepError> {
        let draft = self.store.layers().draft()?;
        let failed = |source| StepError::io("read", name, source);
        let target = Directory::open(draft.upper()).map_err(failed)?;
        let options = Options {
            whiteouts: None,
            owners: Owners::Fixed(0, 0),
            limits: self.store.limits().clone(),
        };
        let decoder = Bounded::new(archive, self.store.limits()).map_err(failed)?;
        let unpacked = unpack::into_directory(target.as_fd(), BufReader::new(decoder), &options);
        unpacked.map_err(|source| {
            if self.stop.is_stopped() {
                return StepError::Canceled;
            }
            StepError::Unpack {
                path: PathBuf::from(name),
                source,
            }
        })?;
        Ok(draft.commit_while(&|| self.stop.goes_on())?.diff_id)
    }
}

/// The beginning of a file, enough for [`is_archive`].
pub(crate) fn read_head(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEADER as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether a file that begins so is an archive, compressed or not; else it is taken for text.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    let compressed: [&[u8]; 4] = [
        &[0x1f, 0x8b],
        b"BZh",
        b"\xfd7zXZ\0",
        &[0x28, 0xb5, 0x2f, 0xfd],
    ];
    compressed.iter().any(|magic| head.starts_with(magic)) || is_tar(head)
}

fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..HEADER) else {
        return false;
    };
    if header.iter().all(|byte| *byte == 0) {
        // An archive of nothing.
        return true;
    }
    let written = String::from_utf8_lossy(&header[CHECKSUM]);
    let written = written.trim_matches([' ', '\0']);
    let sum: u32 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *byte }))
        .sum();
    u32::from_str_radix(written, 8).is_ok_and(|written| written == sum)
}

#[cfg(test)]
mod tests {
    use super::is_archive;

    #[test]
    fn archives_are_recognised() {
        let mut header = [0; 512];
        header[..4].copy_from_slice(b"file");
        assert!(!is_archive(&header));
        header[148..156].copy_from_slice(b"001240\0 ");
        assert!(is_archive(&header));
        assert!(is_archive(&[0; 512]) && !is_archive(&[0; 511]));
        assert!(is_archive(&[0x1f, 0x8b, 8]) && is_archive(b"BZh9"));
        assert!(!is_archive(b"FROM scratch\n") && !is_archive(b""));
    }
}
