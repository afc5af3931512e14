//! Digests of files: content and extended attributes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

/// How much is read at once.
const BUFFER: usize = 256 << 10;
/// Most bytes of the list of attributes of a file, and of one value (the kernel's own bound).
const ATTRIBUTE: usize = 64 << 10;

thread_local! {
    static SCRATCH: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; BUFFER]);
}

/// The digest of the first `size` bytes of an open file.
pub(crate) fn content_digest(file: &File, size: u64) -> io::Result<[u8; 32]> {
    copy_and_digest(file, size, file, &mut io::sink()).map(|copied| copied.digest)
}

/// The digest of a whole open file, from where it stands.
pub(crate) fn digest_of(file: &File) -> io::Result<[u8; 32]> {
    content_digest(file, u64::MAX)
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

/// Copies the first `size` bytes of an open file (all there are, if they are fewer), and gives the
/// digest of what was copied and of the extended attributes of `original`: the same file, unless it
/// is its clone that is read.
///
/// A file that grows while it is read does not grow in the copy.
pub(crate) fn copy_and_digest(
    file: &File,
    size: u64,
    original: &File,
    to: &mut dyn Write,
) -> io::Result<Copied> {
    let mut hasher = blake3::Hasher::new();
    let mut left = size;
    let mut reader = file;
    SCRATCH.with_borrow_mut(|buffer| {
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let count = match reader.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            to.write_all(&buffer[..count])?;
            left -= count as u64;
        }
        Ok::<_, io::Error>(())
    })?;
    let attributes = attributes(original)?;
    Ok(Copied {
        digest: finish(hasher, &attributes),
        attributes,
    })
}

/// The digest of a file whose content is in memory.
pub(crate) fn digest_of_bytes(content: &[u8], attributes: &[Attribute]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(content);
    finish(hasher, attributes)
}

fn finish(mut hasher: blake3::Hasher, attributes: &[Attribute]) -> [u8; 32] {
    for (name, value) in attributes {
        let length = (value.len() as u64).to_le_bytes();
        hasher
            .update(&[0])
            .update(name)
            .update(&[0])
            .update(&length)
            .update(value);
    }
    *hasher.finalize().as_bytes()
}

/// The extended attributes that a copy keeps: those of the user, and file capabilities.
pub(crate) fn attributes(file: &impl AsFd) -> io::Result<Vec<Attribute>> {
    use rustix::io::Errno;
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
