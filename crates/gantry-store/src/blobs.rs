//! Blobs: manifests, indexes, configurations, byte for byte under the digest of their content.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use gantry_model::Digest;
use gantry_sys::damage::is_damage;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::error::StoreError;
use crate::ingest::IngestEntry;
use crate::lease::Resource;
use crate::store::Store;

/// The blobs of a store.
#[derive(Debug, Clone, Copy)]
pub struct Blobs<'a> {
    store: &'a Store,
}

impl<'a> Blobs<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Where a blob is (or would be).
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.store.root().join("blobs/sha256").join(digest.hex())
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        let directory = self.store.blobs_directory()?;
        match fs::accessat(
            directory,
            digest.hex(),
            fs::Access::EXISTS,
            AtFlags::empty(),
        ) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(StoreError::io("look for", self.path(digest), errno)),
        }
    }

    /// Size of a blob in bytes.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`] when it is not there.
    pub fn size(&self, digest: &Digest) -> Result<u64, StoreError> {
        let file = self.open(digest)?;
        Ok(file
            .metadata()
            .map_err(|e| self.failed("read", digest, e))?
            .len())
    }

    /// Opens a blob for reading, unverified.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`] when it is not there, [`StoreError::DamagedBlob`] when something
    /// is in its place that is no plain file.
    pub fn open(&self, digest: &Digest) -> Result<File, StoreError> {
        // Without waiting for somebody who writes, should a pipe be in its place.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = fs::openat(
            self.store.blobs_directory()?,
            digest.hex(),
            flags,
            Mode::empty(),
        );
        let file = match opened {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Err(StoreError::NoBlob { digest: *digest }),
            Err(errno) => return Err(self.failed("open", digest, errno.into())),
        };
        let metadata = file.metadata();
        if metadata
            .map_err(|e| self.failed("read", digest, e))?
            .is_file()
        {
            Ok(file)
        } else {
            Err(StoreError::DamagedBlob { digest: *digest })
        }
    }

    /// Why a blob cannot be used: because it is broken, or because of the machine.
    fn failed(&self, action: &'static str, digest: &Digest, error: io::Error) -> StoreError {
        if is_damage(&error) {
            StoreError::DamagedBlob { digest: *digest }
        } else {
            StoreError::io(action, self.path(digest), error)
        }
    }

    /// Whether a blob is there and has the digest of its name.
    pub(crate) fn is_whole(&self, digest: &Digest) -> bool {
        self.verify(digest).is_ok()
    }

    /// Removes a blob, or whatever is in its place; none is no error.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let directory = self.store.blobs_directory()?;
        match fs::unlinkat(directory, digest.hex(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => {
                drop(self.store.ingest()?.take(directory, &digest.hex())?);
                Ok(())
            }
            Err(errno) => Err(StoreError::io("remove", self.path(digest), errno)),
        }
    }

    /// Reads a whole blob of at most `limit` bytes and verifies it.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`], [`StoreError::BlobTooLarge`], [`StoreError::DamagedBlob`].
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.open(digest)?;
        let failed = |e| self.failed("read", digest, e);
        let size = file.metadata().map_err(failed)?.len();
        if size > limit {
            return Err(StoreError::BlobTooLarge {
                digest: *digest,
                size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        if sha256(&bytes) != *digest {
            return Err(StoreError::DamagedBlob { digest: *digest });
        }
        Ok(bytes)
    }

    /// Reads a blob through its digest: is it what its name says?
    ///
    /// # Errors
    /// [`StoreError::NoBlob`], [`StoreError::DamagedBlob`].
    pub fn verify(&self, digest: &Digest) -> Result<u64, StoreError> {
        let mut file = self.open(digest)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut size = 0;
        loop {
            let count = file
                .read(&mut buffer)
                .map_err(|e| self.failed("read", digest, e))?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            size += count as u64;
        }
        if Digest::from_bytes(hasher.finalize().into()) != *digest {
            return Err(StoreError::DamagedBlob { digest: *digest });
        }
        Ok(size)
    }

    /// Starts a blob; with `expected`, what is written must have this digest and size.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn writer(&self, expected: Option<(Digest, u64)>) -> Result<BlobWriter, StoreError> {
        let entry = self.store.ingest()?.file()?;
        Ok(BlobWriter {
            store: self.store.clone(),
            file: entry.as_file()?,
            entry,
            hasher: Sha256::new(),
            written: 0,
            expected,
        })
    }

    /// Stores these bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = sha256(bytes);
        let mut writer = self.writer(Some((digest, bytes.len() as u64)))?;
        writer
            .write_all(bytes)
            .map_err(|e| StoreError::io("write", writer.entry.path(), e))?;
        writer.finish()?;
        Ok(digest)
    }

    /// Every blob there is.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn list(&self) -> Result<Vec<Digest>, StoreError> {
        let directory = self.store.blobs_directory()?;
        let entries = crate::tree::sorted_entries(directory)
            .map_err(|e| StoreError::io("list", self.store.root().join("blobs/sha256"), e))?;
        Ok(entries
            .iter()
            .filter_map(|entry| Digest::from_hex(entry.name.to_str().ok()?).ok())
            .collect())
    }
}

/// The SHA-256 digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// A blob that is being written; nothing of it is visible before [`BlobWriter::finish`].
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    file: File,
    entry: IngestEntry,
    hasher: Sha256,
    written: u64,
    expected: Option<(Digest, u64)>,
}

impl BlobWriter {
    /// Verifies what was written and gives it its name.
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`] and [`StoreError::SizeMismatch`] when it is not what was
    /// expected; then nothing is left of it.
    pub fn finish(self) -> Result<(Digest, u64), StoreError> {
        let digest = Digest::from_bytes(self.hasher.finalize().into());
        if let Some((expected, size)) = self.expected {
            if self.written != size {
                return Err(StoreError::SizeMismatch {
                    digest: expected,
                    expected: size,
                    actual: self.written,
                });
            }
            if digest != expected {
                return Err(StoreError::DigestMismatch {
                    expected,
                    actual: digest,
                });
            }
        }
        fs::fdatasync(&self.file).map_err(|e| StoreError::io("sync", self.entry.path(), e))?;
        let lock = self.store.lock_shared()?;
        self.store.hold(&lock, Resource::Blob(digest))?;
        // Over one that is already there: same content, and a damaged one is healed.
        self.entry
            .rename(self.store.blobs_directory()?, &digest.hex())?;
        Ok((digest, self.written))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((digest, size)) = self.expected {
            // Beyond the announced size nothing is taken: a registry cannot fill the disk.
            if self.written + bytes.len() as u64 > size {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    StoreError::SizeMismatch {
                        digest,
                        expected: size,
                        actual: self.written + bytes.len() as u64,
                    },
                ));
            }
        }
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
