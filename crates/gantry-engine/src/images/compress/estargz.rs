//! eStargz: gzip with a table of contents, from which single files can be read.
//!
//! The archive stays as it is, byte for byte; the content of each file begins a gzip member of its
//! own. Behind the archive stands the table, a tar with one file, and behind that a footer of 51
//! bytes that says where the table begins (stargz-snapshotter, docs/estargz.md).

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_model::Digest;
use gantry_store::Limits;
use gantry_store::tar::{Entry, EntryKind, Reader, Writer};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Left, Line};
use crate::images::document;

/// Name of the table in its tar.
const NAME: &str = "stargz.index.json";
/// Most bytes of content of one member.
const CHUNK: usize = 4 << 20;
/// Bytes of headers that are kept together.
const HEADERS: usize = 1 << 20;

/// One line of the table.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(rename = "modtime", skip_serializing_if = "String::is_empty")]
    time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<Digest>,
    /// The piece that begins with this content.
    #[serde(skip)]
    piece: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The table as far as the archive was read.
#[derive(Debug, Default)]
pub(super) struct Contents {
    entries: Vec<Listed>,
    /// Of the archive.
    hasher: Sha256,
}

#[derive(Serialize)]
struct Table<'a> {
    version: u32,
    entries: &'a [Listed],
}

impl Contents {
    /// The table and the footer, compressed, that follow pieces which begin at `offsets` and end
    /// at `end`; the digest of archive and table, and that of the table alone.
    pub(super) fn finish(
        mut self,
        offsets: &[u64],
        end: u64,
        mut press: impl FnMut(Vec<u8>) -> io::Result<Vec<u8>>,
    ) -> io::Result<(Vec<u8>, (Digest, Digest))> {
        for entry in &mut self.entries {
            if let Some(piece) = entry.piece {
                entry.offset = offsets.get(piece).copied().unwrap_or_default();
            }
        }
        let table = document::json(&Table {
            version: 1,
            entries: &self.entries,
        });
        let mut entry = Entry::new(EntryKind::Regular, NAME);
        entry.size = table.len() as u64;
        let mut tar = Writer::new(Vec::new());
        tar.append(&entry, &mut &table[..])
            .map_err(io::Error::other)?;
        let tar = tar.finish().map_err(io::Error::other)?;
        self.hasher.update(&tar);
        let whole = Digest::from_bytes(self.hasher.finalize().into());
        let mut tail = press(tar)?;
        tail.extend_from_slice(&footer(end));
        Ok((tail, (whole, document::digest(&table))))
    }
}

/// An empty gzip member whose extra field says where the table begins.
fn footer(offset: u64) -> Vec<u8> {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
    // One stored block without content, its check sum and length.
    const EMPTY: [u8; 13] = [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
    let field = format!("{offset:016x}STARGZ");
    let mut footer = HEADER.to_vec();
    footer.extend_from_slice(&[26, 0, b'S', b'G', 22, 0]);
    footer.extend_from_slice(field.as_bytes());
    footer.extend_from_slice(&EMPTY);
    footer
}

/// Keeps a copy of what is consumed.
struct Tee<R> {
    inner: R,
    taken: Vec<u8>,
}

impl<R: BufRead> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Tee<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // What was filled and not consumed is still there.
        if let Ok(bytes) = self.inner.fill_buf() {
            self.taken
                .extend_from_slice(&bytes[..count.min(bytes.len())]);
        }
        self.inner.consume(count);
    }
}

/// Cuts an archive before and within the content of its files, and lists what is in it.
pub(super) fn cut(
    source: &mut dyn Read,
    contents: &Mutex<Contents>,
    line: &Line,
) -> Result<io::Result<()>, Left> {
    let mut cutter = Cutter {
        contents,
        line,
        pieces: 0,
    };
    match cutter.run(source) {
        Ok(()) => Ok(Ok(())),
        Err(Stop::Left) => Err(Left),
        Err(Stop::Failed(error)) => Ok(Err(error)),
    }
}

enum Stop {
    Left,
    Failed(io::Error),
}

struct Cutter<'a> {
    contents: &'a Mutex<Contents>,
    line: &'a Line,
    pieces: usize,
}

type Archive<'s> = Reader<Tee<BufReader<&'s mut dyn Read>>>;

impl Cutter<'_> {
    fn run(&mut self, source: &mut dyn Read) -> Result<(), Stop> {
        let tee = Tee {
            inner: BufReader::with_capacity(256 << 10, source),
            taken: Vec::new(),
        };
        // It is of our own making: what is accepted was decided when it came in.
        let limits = Limits {
            entries: u64::MAX,
            file_bytes: u64::MAX,
            tar_bytes: u64::MAX,
            ..Limits::default()
        };
        let mut archive = Reader::new(tee, &limits);
        while let Some(entry) = archive.next_entry().map_err(malformed)? {
            let mut listed = describe(&entry);
            if entry.sparse.is_some() {
                let path = String::from_utf8_lossy(&entry.path).into_owned();
                return Err(Stop::Failed(io::Error::other(format!(
                    "{path:?} is a file with holes, which eStargz cannot list: choose compression=gzip"
                ))));
            }
            if archive.remaining() > 0 {
                self.flush(&mut archive)?;
                self.content(&mut archive, listed)?;
                continue;
            }
            if entry.kind == EntryKind::Regular {
                listed.digest = Some(document::digest(b""));
            }
            self.list(listed);
            if archive.source_mut().taken.len() >= HEADERS {
                self.flush(&mut archive)?;
            }
        }
        archive.drain().map_err(malformed)?;
        self.flush(&mut archive)
    }

    /// The content of a file, the first chunk in its own line of the table.
    fn content(&mut self, archive: &mut Archive<'_>, mut file: Listed) -> Result<(), Stop> {
        let mut whole = Sha256::new();
        let mut chunks = Vec::new();
        let mut offset = 0;
        let several = archive.remaining() > CHUNK as u64;
        while archive.remaining() > 0 {
            if offset > 0 {
                self.flush(archive)?;
            }
            let length = archive.remaining().min(CHUNK as u64);
            let mut hasher = Sha256::new();
            let mut left = length;
            while left > 0 {
                let piece = archive.fill().map_err(malformed)?;
                let count = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
                hasher.update(&piece[..count]);
                whole.update(&piece[..count]);
                archive.consume(count);
                left -= count as u64;
            }
            chunks.push(Listed {
                name: file.name.clone(),
                kind: "chunk",
                piece: Some(self.pieces),
                chunk_offset: offset,
                chunk_size: if several { length } else { 0 },
                chunk_digest: Some(Digest::from_bytes(hasher.finalize().into())),
                ..Listed::default()
            });
            offset += length;
        }
        file.digest = Some(Digest::from_bytes(whole.finalize().into()));
        let mut chunks = chunks.into_iter();
        if let Some(first) = chunks.next() {
            file.piece = first.piece;
            file.chunk_size = first.chunk_size;
            file.chunk_digest = first.chunk_digest;
        }
        self.list(file);
        for chunk in chunks {
            self.list(chunk);
        }
        Ok(())
    }

    fn list(&self, line: Listed) {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.entries.push(line);
    }

    /// What was taken so far becomes a piece.
    fn flush(&mut self, archive: &mut Archive<'_>) -> Result<(), Stop> {
        let taken = std::mem::take(&mut archive.source_mut().taken);
        if taken.is_empty() {
            return Ok(());
        }
        self.contents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .hasher
            .update(&taken);
        self.pieces += 1;
        self.line.send(taken).map_err(|_| Stop::Left)
    }
}

fn malformed(error: gantry_store::tar::ReadError) -> Stop {
    Stop::Failed(io::Error::new(io::ErrorKind::InvalidData, error))
}

fn describe(entry: &Entry) -> Listed {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut name = text(entry.path.strip_prefix(b"./").unwrap_or(&entry.path));
    if entry.kind == EntryKind::Directory {
        name.push('/');
    }
    let time = jiff::Timestamp::from_second(entry.mtime.seconds);
    Listed {
        name,
        kind: match entry.kind {
            EntryKind::Regular => "reg",
            EntryKind::HardLink => "hardlink",
            EntryKind::Symlink => "symlink",
            EntryKind::CharacterDevice => "char",
            EntryKind::BlockDevice => "block",
            EntryKind::Directory => "dir",
            EntryKind::Fifo => "fifo",
        },
        size: entry.size,
        time: time.map(|time| time.to_string()).unwrap_or_default(),
        link_name: text(&entry.link),
        mode: u64::from(entry.mode),
        uid: u64::from(entry.uid),
        gid: u64::from(entry.gid),
        dev_major: u64::from(entry.device.0),
        dev_minor: u64::from(entry.device.1),
        xattrs: entry
            .xattrs
            .iter()
            .map(|(name, value)| (text(name), STANDARD.encode(value)))
            .collect(),
        ..Listed::default()
    }
}

#[cfg(test)]
mod tests;
