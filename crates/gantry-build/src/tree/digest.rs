//! Digests of files: content and extended attributes.
//!
//! Large files are hashed by blocks, and blocks of zeros are left out: a file with holes costs what
//! its data cost, however large it says it is. Which blocks these are depends on the content alone,
//! not on where the file system has holes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use gantry_store::GoesOn;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// How much is read at once; the blocks of a large file.
const BUFFER: usize = 256 << 10;
/// Files from this size on are large.
const LARGE: u64 = 64 << 20;
/// Sets the digests of large files apart from all others.
const CONTEXT: &str = "gantry 2026-11-21 blocks of a large file";
/// Most bytes of the list of attributes of a file, and of one value (the kernel's own bound).
const ATTRIBUTE: usize = 64 << 10;

thread_local! {
    static SCRATCH: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; BUFFER]);
}

/// The digest of the first `size` bytes of an open file.
pub(crate) fn content_digest(file: &File, size: u64, goes_on: &GoesOn<'_>) -> io::Result<[u8; 32]> {
    copy_and_digest(file, size, file, &mut Nowhere, goes_on).map(|copied| copied.digest)
}

/// What is known of a file once it was read.
#[derive(Debug)]
pub(crate) struct Copied {
    /// The digest of the content and of the extended attributes.
    pub(crate) digest: [u8; 32],
    /// The extended attributes.
    pub(crate) attributes: Vec<Attribute>,
}

/// An extended attribute: name and value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// Where a copy goes.
pub(crate) trait Target {
    /// Takes the next bytes.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Takes so many zeros.
    fn zeros(&mut self, count: u64) -> io::Result<()>;
}

/// Keeps nothing: only the digest is wanted.
pub(crate) struct Nowhere;

impl Target for Nowhere {
    fn data(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn zeros(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Copies the first `size` bytes of an open file (all there are, if they are fewer), and gives the
/// digest of what was copied and of the extended attributes of `original`: the same file, unless it
/// is its clone that is read.
///
/// A file that grows while it is read does not grow in the copy. `goes_on` is asked for each piece.
pub(crate) fn copy_and_digest(
    file: &File,
    size: u64,
    original: &File,
    to: &mut dyn Target,
    goes_on: &GoesOn<'_>,
) -> io::Result<Copied> {
    let mut hasher = ContentHasher::new(size);
    SCRATCH.with_borrow_mut(|buffer| {
        let mut at = 0;
        while at < size {
            goes_on()?;
            let zeros = if size >= LARGE {
                hole(file, at, size)?
            } else {
                0
            };
            if zeros > 0 {
                hasher.zeros(zeros);
                to.zeros(zeros)?;
                at += zeros;
                continue;
            }
            let most = usize::try_from(size - at).unwrap_or(BUFFER).min(BUFFER);
            let count = match file.read_at(&mut buffer[..most], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            to.data(&buffer[..count])?;
            at += count as u64;
        }
        Ok::<_, io::Error>(())
    })?;
    let attributes = attributes(original)?;
    Ok(Copied {
        digest: hasher.finish(&attributes),
        attributes,
    })
}

/// How many bytes from here on, before `size`, are a hole.
fn hole(file: &File, at: u64, size: u64) -> io::Result<u64> {
    let end = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        // Nothing but a hole up to the end, which may have come nearer.
        Err(Errno::NXIO) => file.metadata()?.len(),
        // File systems that cannot tell have none.
        Err(_) => at,
    };
    Ok(end.min(size).saturating_sub(at))
}

/// The digest of a file whose content is in memory.
pub(crate) fn digest_of_bytes(content: &[u8], attributes: &[Attribute]) -> [u8; 32] {
    let mut hasher = ContentHasher::new(content.len() as u64);
    hasher.update(content);
    hasher.finish(attributes)
}

/// Hashes the content of a file in order.
#[derive(Debug)]
pub(crate) struct ContentHasher {
    hasher: blake3::Hasher,
    blocks: Option<Blocks>,
}

/// Where a large file is being hashed.
#[derive(Debug, Default)]
struct Blocks {
    /// Where the block begins whose content comes.
    at: u64,
    /// As much as came of it.
    block: Vec<u8>,
}

impl ContentHasher {
    /// For a file that was said to have so many bytes.
    pub(crate) fn new(size: u64) -> Self {
        let is_large = size >= LARGE;
        Self {
            hasher: if is_large {
                blake3::Hasher::new_derive_key(CONTEXT)
            } else {
                blake3::Hasher::new()
            },
            blocks: is_large.then(Blocks::default),
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        let Some(blocks) = &mut self.blocks else {
            self.hasher.update(bytes);
            return;
        };
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER - blocks.block.len()));
            blocks.block.extend_from_slice(now);
            bytes = later;
            if blocks.block.len() == BUFFER {
                blocks.end(&mut self.hasher);
            }
        }
    }

    /// Takes so many zeros.
    fn zeros(&mut self, mut count: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            if let Some(blocks) = &mut self.blocks
                && blocks.block.is_empty()
                && count >= BUFFER as u64
            {
                let whole = count / BUFFER as u64 * BUFFER as u64;
                blocks.at += whole;
                count -= whole;
                continue;
            }
            let some = count.min(ZEROS.len() as u64);
            self.update(&ZEROS[..usize::try_from(some).unwrap_or(ZEROS.len())]);
            count -= some;
        }
    }

    /// The digest of what came and of the attributes.
    pub(crate) fn finish(mut self, attributes: &[Attribute]) -> [u8; 32] {
        if let Some(blocks) = &mut self.blocks {
            blocks.end(&mut self.hasher);
            self.hasher.update(&blocks.at.to_le_bytes());
        }
        for (name, value) in attributes {
            let length = (value.len() as u64).to_le_bytes();
            self.hasher
                .update(&[0])
                .update(name)
                .update(&[0])
                .update(&length)
                .update(value);
        }
        *self.hasher.finalize().as_bytes()
    }
}

impl Blocks {
    /// Ends the block: its place and content count, unless it is all zero.
    fn end(&mut self, hasher: &mut blake3::Hasher) {
        if self.block.iter().any(|byte| *byte != 0) {
            hasher.update(&self.at.to_le_bytes()).update(&self.block);
        }
        self.at += self.block.len() as u64;
        self.block.clear();
    }
}

/// Reads a file and hashes what is read.
#[derive(Debug)]
pub(crate) struct HashingReader<'f> {
    file: &'f File,
    hasher: ContentHasher,
}

impl<'f> HashingReader<'f> {
    /// For a file that stands at its beginning.
    pub(crate) fn new(file: &'f File) -> io::Result<Self> {
        let hasher = ContentHasher::new(file.metadata()?.len());
        Ok(Self { file, hasher })
    }

    /// Reads what is left, and gives the digest of all.
    pub(crate) fn finish(mut self) -> io::Result<[u8; 32]> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish(&attributes(self.file)?))
    }
}

impl Read for HashingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// The extended attributes that a copy keeps: those of the user, and file capabilities.
pub(crate) fn attributes(file: &impl AsFd) -> io::Result<Vec<Attribute>> {
    // Most files have none or a few. (A buffer of no length at all would be answered with 0.)
    let mut few = [0; 256];
    let mut many = Vec::new();
    let names = match rustix::fs::flistxattr(file, &mut few[..]) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(length) => &few[..length],
        Err(Errno::RANGE) => {
            many.resize(ATTRIBUTE, 0);
            let length = rustix::fs::flistxattr(file, &mut many[..])?;
            &many[..length]
        }
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let mut value = vec![0; ATTRIBUTE];
        match rustix::fs::fgetxattr(file, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                found.push((name.to_vec(), value));
            }
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort();
    Ok(found)
}

/// What overlayfs keeps of its own means nothing elsewhere, and too much in a layer.
fn is_kept(name: &[u8]) -> bool {
    let is_users = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    is_users || name == b"security.capability"
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    fn file(write: impl FnOnce(&File)) -> File {
        let file = tempfile::tempfile().unwrap();
        write(&file);
        file
    }

    fn digest(file: &File) -> [u8; 32] {
        content_digest(file, file.metadata().unwrap().len(), &|| Ok(())).unwrap()
    }

    #[test]
    fn holes_and_zeros_are_the_same_and_everything_else_is_not() {
        let size = LARGE + 12345;
        let place = LARGE / 2 + 77;
        let holes = file(|file| {
            file.set_len(size).unwrap();
            file.write_all_at(b"data", place).unwrap();
        });
        let zeros = file(|file| {
            let block = vec![0; 1 << 20];
            (0..LARGE / (1 << 20)).for_each(|n| file.write_all_at(&block, n << 20).unwrap());
            file.set_len(size).unwrap();
            file.write_all_at(b"data", place).unwrap();
        });
        assert_eq!(digest(&holes), digest(&zeros));
        assert_eq!(digest(&holes), {
            (&holes).rewind().unwrap();
            let mut reader = HashingReader::new(&holes).unwrap();
            reader.read_exact(&mut [0; 1000]).unwrap();
            reader.finish().unwrap()
        });
        for (what, change) in [
            (
                "longer",
                Box::new(|file: &File| file.set_len(size + 1).unwrap()) as Box<dyn Fn(&File)>,
            ),
            (
                "moved by a byte",
                Box::new(|file| file.write_all_at(b"\0data", place).unwrap()),
            ),
            (
                "more",
                Box::new(|file| file.write_all_at(b"!", size - 1).unwrap()),
            ),
            (
                "nothing",
                Box::new(|file| file.write_all_at(&[0; 4], place).unwrap()),
            ),
        ] {
            let other = file(|file| {
                file.set_len(size).unwrap();
                file.write_all_at(b"data", place).unwrap();
                change(file);
            });
            assert_ne!(digest(&holes), digest(&other), "{what}");
        }
    }

    #[test]
    fn a_tebibyte_of_nothing_is_hashed_at_once() {
        let empty = file(|file| file.set_len(1 << 40).unwrap());
        let other = file(|file| file.set_len((1 << 40) - 1).unwrap());
        assert_ne!(digest(&empty), digest(&other));
        // What has become shorter meanwhile is what is there.
        assert_eq!(
            content_digest(&other, 1 << 40, &|| Ok(())).unwrap(),
            content_digest(&other, u64::MAX, &|| Ok(())).unwrap()
        );
    }
}
