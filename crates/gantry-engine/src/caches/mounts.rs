//! Cache mounts within a cache: further blobs beside the layers of the steps.
//!
//! Each is the archive of a mount's folder, in the form of a layer; what points to it says in
//! annotations what it is. No record of the cache leads there, so that BuildKit, which reads what
//! records lead to, passes it over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

use gantry_model::Digest;
use gantry_model::image::Descriptor;
use gantry_store::{LayerBlob, PackError, UnpackOptions, pack};
use gantry_sys::path::Directory;
use sha2::{Digest as _, Sha256};

use super::Caches;
use super::export::CacheForm;
use super::import::ImportedCache;
use crate::images::ImageError;
use crate::images::compress::{Method, compressed};
use crate::images::destination::Destination;
use crate::images::document::Family;
use crate::images::packing::UPLOADS;
use crate::images::{parallel, spool};

const NAME: &str = "org.gantry.cache-mount.name";
const ID: &str = "org.gantry.cache-mount.id";
const SHARING: &str = "org.gantry.cache-mount.sharing";
const OWNER: &str = "org.gantry.cache-mount.owner";
const MODE: &str = "org.gantry.cache-mount.mode";
const DIFF_ID: &str = "org.gantry.cache-mount.diff-id";
const BUFFER: usize = 256 << 10;

/// What is said of a cache mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMountFacts {
    /// What it is called on every machine; nothing else tells it from others.
    pub name: String,
    /// Its id in Dockerfiles, for people.
    pub id: String,
    /// `shared`, `private` or `locked`.
    pub sharing: String,
    /// Owner and group that it is asked for with.
    pub owner: (u32, u32),
    /// The mode that it is asked for with.
    pub mode: u32,
}

/// A cache mount that is packed, and waits to be carried away.
#[derive(Debug)]
pub struct PackedMount {
    archive: File,
    descriptor: Descriptor,
    /// Bytes before they were compressed.
    pub bytes: u64,
}

/// A cache mount that leaves.
#[derive(Debug)]
pub enum LeavingMount<'a> {
    /// One of this machine.
    Packed(Box<PackedMount>),
    /// One that an imported cache has, to be carried on as it is.
    Offered(&'a ImportedCache<'a>, &'a OfferedMount),
}

/// A cache mount as a cache tells of it.
#[derive(Debug, Clone)]
pub struct OfferedMount {
    pub(super) blob: Descriptor,
    pub(super) diff_id: Digest,
}

impl OfferedMount {
    /// Those among the entries of a manifest or an index, by name.
    pub(super) fn among(entries: &[Descriptor]) -> BTreeMap<String, Self> {
        let offered = |entry: &Descriptor| {
            let name = entry.annotations.get(NAME)?.clone();
            let diff_id = entry.annotations.get(DIFF_ID)?.parse().ok()?;
            let blob = entry.clone();
            Some((name, Self { blob, diff_id }))
        };
        entries.iter().filter_map(offered).collect()
    }

    /// Bytes of the blob.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blob.size
    }
}

impl LeavingMount<'_> {
    /// Bytes that are carried.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Packed(packed) => packed.descriptor.size,
            Self::Offered(_, offered) => offered.blob.size,
        }
    }

    /// Carries it over, unless it is there; what points to it there.
    pub(super) fn carry(
        &self,
        to: &dyn Destination,
        family: Family,
    ) -> Result<Descriptor, ImageError> {
        let (known, repositories) = match self {
            Self::Packed(packed) => (&packed.descriptor, Vec::new()),
            Self::Offered(cache, offered) => (&offered.blob, cache.repository()),
        };
        let media_type = family.layer(&known.media_type).unwrap_or(&known.media_type);
        let form = LayerBlob {
            digest: known.digest,
            size: known.size,
            media_type: media_type.to_owned(),
            repositories,
        };
        if to.held(&[&form])?.is_none() {
            self.send(to, media_type, known)?;
        }
        Ok(Descriptor {
            media_type: media_type.to_owned(),
            ..known.clone()
        })
    }

    fn send(
        &self,
        to: &dyn Destination,
        media_type: &str,
        known: &Descriptor,
    ) -> Result<(), ImageError> {
        let mut tries = 1;
        loop {
            let mut body = Summed::new(self.open()?);
            let sum = std::cell::Cell::new(known.digest);
            let mut reader = Reporting(&mut body, &sum);
            let sent = to.take(media_type, &mut reader, &mut || sum.get());
            match sent {
                Err(ImageError::Registry(error)) if error.is_temporary() && tries < UPLOADS => {
                    tries += 1;
                }
                Ok(sent) if sent.digest != known.digest => {
                    let (expected, actual) = (known.digest, sent.digest);
                    return Err(
                        gantry_store::StoreError::DigestMismatch { expected, actual }.into(),
                    );
                }
                other => return other.map(drop),
            }
        }
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        match self {
            Self::Packed(packed) => {
                let mut archive = &packed.archive;
                archive
                    .rewind()
                    .map_err(ImageError::stream("read a cache mount"))?;
                Ok(Box::new(archive))
            }
            Self::Offered(cache, offered) => cache.open(&offered.blob),
        }
    }
}

impl Caches<'_> {
    /// Packs the files of a cache mount, which nobody may write to meanwhile, into a nameless file
    /// of the store.
    ///
    /// # Errors
    /// When the files cannot be read, or the file cannot be written.
    pub fn pack_mount(
        &self,
        facts: &CacheMountFacts,
        folder: &Path,
        form: &CacheForm,
    ) -> Result<PackedMount, ImageError> {
        let failed = |source| ImageError::File {
            action: "pack the cache mount",
            path: folder.to_owned(),
            source,
        };
        let aside = self.engine.store()?.root().join("ingest");
        let mut archive = spool::nameless(&aside)?;
        let tree = Directory::open(folder).map_err(failed)?;
        let (reader, writer) = io::pipe().map_err(failed)?;
        let options = pack::Options {
            root: true,
            ..pack::Options::default()
        };
        let method = Method {
            compression: form.compression,
            level: form.level,
        };
        let (packed, copied, plain) = std::thread::scope(|scope| {
            let packing = scope.spawn(|| pack::directory(tree.as_fd(), writer, options).map(drop));
            let mut plain = Summed::new(BufReader::with_capacity(BUFFER, reader));
            let copied = compressed(&mut plain, method, parallel::processors(), |stream| {
                let size = io::copy(stream, &mut archive)?;
                Ok::<_, io::Error>((size, stream.sum().digest))
            });
            let sum = (plain.digest(), plain.count);
            // Who still packs for a reader that failed must not wait.
            drop(plain);
            (packing.join(), copied, sum)
        });
        let packed = packed.unwrap_or_else(|_| {
            let ended = io::Error::other("the thread that packs a cache mount ended");
            let source = gantry_store::tar::WriteError::Stream(ended);
            Err(PackError::Write { source })
        });
        let (size, digest) = match (packed, copied) {
            // An archive that nobody reads is not the cause.
            (Ok(()) | Err(PackError::Write { .. }), Err(error)) => return Err(failed(error)),
            (Err(source), _) => {
                let id = facts.id.clone();
                return Err(ImageError::PackMount { id, source });
            }
            (Ok(()), Ok(copied)) => copied,
        };
        let (diff_id, bytes) = plain;
        let family = if form.oci {
            Family::Oci
        } else {
            Family::Docker
        };
        let media_type = family.layer_by(form.compression);
        Ok(PackedMount {
            archive,
            descriptor: Descriptor {
                annotations: annotations(facts, &diff_id),
                ..Descriptor::new(media_type, digest, size)
            },
            bytes,
        })
    }
}

fn annotations(facts: &CacheMountFacts, diff_id: &Digest) -> BTreeMap<String, String> {
    let (user, group) = facts.owner;
    let all = [
        (NAME, facts.name.clone()),
        (ID, facts.id.clone()),
        (SHARING, facts.sharing.clone()),
        (OWNER, format!("{user}:{group}")),
        (MODE, format!("{:04o}", facts.mode)),
        (DIFF_ID, diff_id.to_string()),
    ];
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

impl ImportedCache<'_> {
    /// The cache mount of this name, where the cache has it and it could be had so far.
    #[must_use]
    pub fn mount(&self, name: &str) -> Option<&OfferedMount> {
        let offered = self.mounts.get(name)?;
        (!self.lost().contains(&offered.diff_id)).then_some(offered)
    }

    /// Puts the files of a cache mount below a directory, within the limits and with the checks
    /// that layers have. What is there after an error is of no use.
    ///
    /// # Errors
    /// The archive cannot be had, or is not what the cache says.
    pub fn fill(&self, mount: &OfferedMount, into: &Path) -> Result<(), ImageError> {
        let filled = self.unpack_mount(mount, into);
        if filled.is_err() {
            self.lost().push(mount.diff_id);
        }
        filled
    }

    fn unpack_mount(&self, mount: &OfferedMount, into: &Path) -> Result<(), ImageError> {
        let root = Directory::open(into).map_err(|source| ImageError::File {
            action: "open",
            path: into.to_owned(),
            source,
        })?;
        let blob = &mount.blob;
        let options = UnpackOptions {
            blob: Some((blob.digest, blob.size)),
            diff_id: Some(mount.diff_id),
            ..UnpackOptions::default()
        };
        let archive = BufReader::with_capacity(BUFFER, self.open(blob)?);
        let store = self.engine.store()?;
        let unpacked = store.unpack_files(root.as_fd(), archive, &options);
        unpacked.map(drop).map_err(|source| ImageError::Unpack {
            layer: blob.digest.to_string(),
            source,
        })
    }
}

/// Sums up what is read.
struct Summed<R> {
    inner: R,
    hasher: Sha256,
    count: u64,
}

impl<R> Summed<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            count: 0,
        }
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

/// Tells the digest of what was read to its end.
struct Reporting<'a, R>(&'a mut Summed<R>, &'a std::cell::Cell<Digest>);

impl<R: Read> Read for Reporting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.1.set(self.0.digest());
        }
        Ok(count)
    }
}
