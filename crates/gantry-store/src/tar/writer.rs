//! Writing an archive: ustar, with a PAX header where ustar cannot say it.

use std::io::{self, Read, Write};

use super::BLOCK;
use super::entry::{Entry, EntryKind};
use super::{header, number, pax};

/// An entry cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The archive's stream failed.
    #[error("cannot write the archive")]
    Stream(#[source] io::Error),
    /// The content of an entry cannot be read.
    #[error("cannot read the content of {path:?}")]
    Content {
        /// Path of the entry.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The content of an entry ends before its size.
    #[error("{path:?} became shorter than {size} bytes while it was read")]
    Shrunk {
        /// Path of the entry.
        path: String,
        /// Its size as announced.
        size: u64,
    },
}

/// Writes an archive; the same entries always give the same bytes.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    buffer: Vec<u8>,
}

const COPY: usize = 256 << 10;

impl<W: Write> Writer<W> {
    /// A writer of a new archive.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            buffer: Vec::new(),
        }
    }

    /// The stream below.
    pub fn sink_mut(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Writes an entry. `content` gives the data of a regular file: `size` bytes of it, or of
    /// a sparse one the data of its fragments, one after the other.
    ///
    /// # Errors
    /// [`WriteError`]; the archive is of no use then.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), WriteError> {
        self.header(entry)?;
        let size = entry
            .sparse
            .as_ref()
            .map_or(entry.size, super::SparseMap::data_size);
        if entry.kind == EntryKind::Regular && size > 0 {
            self.content(entry, content, size)?;
        }
        Ok(())
    }

    /// Writes the headers of an entry whose content (if any) the caller writes to
    /// [`Writer::sink_mut`], followed by [`Writer::pad`].
    ///
    /// # Errors
    /// [`WriteError::Stream`].
    pub fn header(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let headers = encode(entry);
        self.sink.write_all(&headers).map_err(WriteError::Stream)
    }

    /// Writes the zeros that follow `size` bytes of content.
    ///
    /// # Errors
    /// [`WriteError::Stream`].
    pub fn pad(&mut self, size: u64) -> Result<(), WriteError> {
        let count = usize::try_from(size.wrapping_neg() % BLOCK as u64).expect("less than a block");
        self.sink
            .write_all(&[0; BLOCK][..count])
            .map_err(WriteError::Stream)
    }

    fn content(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        size: u64,
    ) -> Result<(), WriteError> {
        let path = || String::from_utf8_lossy(&entry.path).into_owned();
        self.buffer.resize(COPY, 0);
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).map_or(COPY, |left| left.min(COPY));
            let count = match content.read(&mut self.buffer[..want]) {
                Ok(0) => return Err(WriteError::Shrunk { path: path(), size }),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(WriteError::Content {
                        path: path(),
                        source,
                    });
                }
            };
            self.sink
                .write_all(&self.buffer[..count])
                .map_err(WriteError::Stream)?;
            left -= count as u64;
        }
        self.pad(size)
    }

    /// Writes the end of the archive and gives the stream back.
    ///
    /// # Errors
    /// [`WriteError::Stream`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.sink
            .write_all(&[0; 2 * BLOCK])
            .map_err(WriteError::Stream)?;
        self.sink.flush().map_err(WriteError::Stream)?;
        Ok(self.sink)
    }
}

/// The header blocks of an entry (and, for a sparse one, the map before its data).
fn encode(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    let mut block = [0; BLOCK];
    if [&entry.path, &entry.link]
        .into_iter()
        .any(|text| std::str::from_utf8(text).is_err())
    {
        pax::write(&mut records, b"hdrcharset", b"BINARY");
    }
    let mut path = entry.path.clone();
    if entry.kind == EntryKind::Directory && !path.ends_with(b"/") {
        path.push(b'/');
    }
    let map = entry
        .sparse
        .as_ref()
        .map(|sparse| encode_map(&sparse.fragments, entry.size));
    let size = match (&entry.sparse, &map) {
        (Some(sparse), Some(map)) => sparse.data_size() + map.len() as u64,
        _ if entry.kind == EntryKind::Regular => entry.size,
        _ => 0,
    };
    if map.is_some() {
        pax::write(&mut records, b"GNU.sparse.major", b"1");
        pax::write(&mut records, b"GNU.sparse.minor", b"0");
        pax::write(&mut records, b"GNU.sparse.name", &path);
        pax::write(
            &mut records,
            b"GNU.sparse.realsize",
            entry.size.to_string().as_bytes(),
        );
        path = [b"GNUSparseFile.0/", base_name(&path)].concat();
    }
    if !put_path(&mut block, &path) {
        pax::write(&mut records, b"path", &path);
    }
    if !put_text(&mut block[157..257], &entry.link) {
        pax::write(&mut records, b"linkpath", &entry.link);
    }
    put_numbers(&mut block, entry, size, &mut records);
    block[156] = typeflag(entry.kind);
    put_magic(&mut block);
    for (name, value) in &entry.xattrs {
        pax::write_xattr(&mut records, name, value);
    }
    header::seal(&mut block);
    let mut headers = Vec::new();
    if !records.is_empty() {
        headers.extend_from_slice(&pax_header(&path, records.len()));
        headers.extend_from_slice(&records);
        headers.resize(headers.len().next_multiple_of(BLOCK), 0);
    }
    headers.extend_from_slice(&block);
    headers.extend_from_slice(&map.unwrap_or_default());
    headers
}

fn put_numbers(block: &mut [u8; BLOCK], entry: &Entry, size: u64, records: &mut Vec<u8>) {
    let fits = number::write_octal(&mut block[100..108], u64::from(entry.mode & 0o7777));
    debug_assert!(fits, "twelve bits fit seven digits");
    for (at, key, value) in [
        (108, &b"uid"[..], u64::from(entry.uid)),
        (116, b"gid", u64::from(entry.gid)),
    ] {
        if !number::write_octal(&mut block[at..at + 8], value) {
            pax::write(records, key, value.to_string().as_bytes());
        }
    }
    if !number::write_octal(&mut block[124..136], size) {
        pax::write(records, b"size", size.to_string().as_bytes());
    }
    let seconds = u64::try_from(entry.mtime.seconds);
    let fits = number::write_octal(&mut block[136..148], *seconds.as_ref().unwrap_or(&0));
    if !fits || seconds.is_err() || entry.mtime.nanoseconds != 0 {
        pax::write(records, b"mtime", pax::format_time(entry.mtime).as_bytes());
    }
    let (major, minor) = entry.device;
    for (at, value) in [(329, major), (337, minor)] {
        // Linux has at most 20 bits of minor; seven digits hold 21.
        let fits = number::write_octal(&mut block[at..at + 8], u64::from(value & 0x1f_ffff));
        debug_assert!(fits, "twenty-one bits fit seven digits");
    }
}

fn put_magic(block: &mut [u8; BLOCK]) {
    block[257..263].copy_from_slice(b"ustar\0");
    block[263..265].copy_from_slice(b"00");
}

fn pax_header(path: &[u8], length: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let name = [b"PaxHeaders.0/", base_name(path)].concat();
    let cut = name.len().min(100);
    block[..cut].copy_from_slice(&name[..cut]);
    number::write_octal(&mut block[100..108], 0o644);
    for at in [108, 116, 329, 337] {
        number::write_octal(&mut block[at..at + 8], 0);
    }
    number::write_octal(&mut block[124..136], length as u64);
    number::write_octal(&mut block[136..148], 0);
    block[156] = b'x';
    put_magic(&mut block);
    header::seal(&mut block);
    block
}

fn base_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    crate::tree::split_last(path).1
}

fn typeflag(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::Regular => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharacterDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    }
}

/// Puts a text into a field; says whether it fits (PAX must say it where it does not, or
/// where it is not ASCII).
fn put_text(field: &mut [u8], text: &[u8]) -> bool {
    let cut = text.len().min(field.len());
    field[..cut].copy_from_slice(&text[..cut]);
    text.len() <= field.len() && text.is_ascii()
}

/// Puts a path into name and prefix; says whether it fits.
fn put_path(block: &mut [u8; BLOCK], path: &[u8]) -> bool {
    if path.len() <= 100 || !path.is_ascii() {
        return put_text(&mut block[..100], path);
    }
    // The longest name that leaves a prefix of at most 155 bytes; neither may be empty.
    let split = path
        .iter()
        .enumerate()
        .filter(|&(at, &byte)| byte == b'/' && at > 0 && at + 1 < path.len())
        .map(|(at, _)| at)
        .find(|&at| at <= 155 && path.len() - at - 1 <= 100);
    match split {
        Some(at) => {
            block[345..345 + at].copy_from_slice(&path[..at]);
            block[..path.len() - at - 1].copy_from_slice(&path[at + 1..]);
            true
        }
        None => put_text(&mut block[..100], path),
    }
}

/// The map of a sparse file as format 1.0 writes it, padded to a block.
fn encode_map(fragments: &[super::Fragment], size: u64) -> Vec<u8> {
    let end = fragments.last().map_or(0, |last| last.offset + last.length);
    // GNU tar learns from an empty last fragment that a file ends in a hole.
    let closing = (end < size).then_some(super::Fragment {
        offset: size,
        length: 0,
    });
    let count = fragments.len() + usize::from(closing.is_some());
    let mut map = format!("{count}\n").into_bytes();
    for fragment in fragments.iter().chain(&closing) {
        map.extend_from_slice(format!("{}\n{}\n", fragment.offset, fragment.length).as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}
