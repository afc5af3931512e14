//! Reading an archive, one entry at a time.

use std::io::{self, BufRead, Read};

use super::BLOCK;
use super::entry::{Entry, EntryKind, Timestamp};
use super::error::{ReadError, ReadErrorKind};
use super::header::Header;
use super::pax::{Pax, PaxSparse};
use super::sparse::{self, MapReader};
use crate::limits::{Limit, Limits};

/// Reads an archive from a buffered stream.
///
/// [`Reader::next_entry`] gives the entries in turn; the content of the current one is read by
/// [`Reader::fill`] and [`Reader::consume`], or through [`Read`].
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    limits: Limits,
    /// Bytes taken from the source.
    offset: u64,
    /// Offset of the current entry's first header.
    entry_offset: u64,
    /// Bytes of content still to be read.
    content: u64,
    /// Bytes after the content up to the next block.
    padding: u64,
    entries: u64,
    /// Of these, such as have no name.
    nameless: u64,
    global: Pax,
    ended: bool,
}

/// Extended headers collected for the next entry.
#[derive(Debug, Default)]
struct Extended {
    pax: Option<Pax>,
    gnu_path: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
}

impl Extended {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.gnu_path.is_none() && self.gnu_link.is_none()
    }
}

impl<R: BufRead> Reader<R> {
    /// A reader of the archive that starts here.
    pub fn new(source: R, limits: &Limits) -> Self {
        Self {
            source,
            limits: limits.clone(),
            offset: 0,
            entry_offset: 0,
            content: 0,
            padding: 0,
            entries: 0,
            nameless: 0,
            global: Pax::default(),
            ended: false,
        }
    }

    /// Bytes read from the source so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Entries without a name that were passed over so far.
    #[must_use]
    pub fn nameless(&self) -> u64 {
        self.nameless
    }

    /// The stream below.
    pub fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// The stream below, wherever it stands.
    pub fn into_inner(self) -> R {
        self.source
    }

    fn error(&self, kind: ReadErrorKind) -> ReadError {
        ReadError {
            offset: self.entry_offset,
            kind,
        }
    }

    /// The next entry; skips what is left of the current one. `None` at the end of the archive.
    ///
    /// Entries without a name are passed over, as by Docker: they mean the directory that is
    /// unpacked into, which is there.
    ///
    /// # Errors
    /// [`ReadError`] where the archive is malformed, truncated or more than the limits allow.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        self.skip_content()?;
        if self.ended {
            return Ok(None);
        }
        self.entry_offset = self.offset;
        self.parse_entry().map_err(|kind| self.error(kind))
    }

    /// A piece of the current entry's content; empty at its end.
    ///
    /// # Errors
    /// [`ReadErrorKind::Truncated`] when the archive ends within it.
    pub fn fill(&mut self) -> Result<&[u8], ReadError> {
        let entry_offset = self.entry_offset;
        if self.content == 0 {
            return Ok(&[]);
        }
        let piece = fill(&mut self.source).map_err(|kind| ReadError {
            offset: entry_offset,
            kind,
        })?;
        if piece.is_empty() {
            return Err(ReadError {
                offset: entry_offset,
                kind: ReadErrorKind::Truncated,
            });
        }
        let length =
            usize::try_from(self.content).map_or(piece.len(), |left| left.min(piece.len()));
        Ok(&piece[..length])
    }

    /// Marks `count` bytes of what [`Reader::fill`] gave as read.
    pub fn consume(&mut self, count: usize) {
        self.content -= count as u64;
        self.offset += count as u64;
        self.source.consume(count);
    }

    /// Bytes of the current entry's content still to be read.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.content
    }

    /// Reads what follows the end of the archive, up to the end of the stream.
    ///
    /// # Errors
    /// When the stream fails.
    pub fn drain(&mut self) -> Result<(), ReadError> {
        self.skip_content()?;
        self.entry_offset = self.offset;
        loop {
            let piece = fill(&mut self.source).map(<[u8]>::len);
            let count = piece.map_err(|kind| self.error(kind))?;
            if count == 0 {
                return Ok(());
            }
            self.source.consume(count);
            self.offset += count as u64;
        }
    }

    fn skip_content(&mut self) -> Result<(), ReadError> {
        while self.content > 0 {
            let count = self.fill()?.len();
            self.consume(count);
        }
        let padding = std::mem::take(&mut self.padding);
        self.skip(padding).map_err(|kind| self.error(kind))
    }

    fn skip(&mut self, mut count: u64) -> Result<(), ReadErrorKind> {
        while count > 0 {
            let piece = fill(&mut self.source)?.len();
            if piece == 0 {
                return Err(ReadErrorKind::Truncated);
            }
            let step = usize::try_from(count).map_or(piece, |count| count.min(piece));
            self.source.consume(step);
            self.offset += step as u64;
            count -= step as u64;
        }
        Ok(())
    }

    /// The next block; `None` where the stream ends before it.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ReadErrorKind> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let piece = fill(&mut self.source)?;
            if piece.is_empty() {
                return if filled == 0 {
                    Ok(None)
                } else {
                    Err(ReadErrorKind::Truncated)
                };
            }
            let step = piece.len().min(BLOCK - filled);
            block[filled..filled + step].copy_from_slice(&piece[..step]);
            self.source.consume(step);
            self.offset += step as u64;
            filled += step;
        }
        Ok(Some(block))
    }

    /// The body of an extended header.
    fn body(&mut self, size: u64) -> Result<Vec<u8>, ReadErrorKind> {
        let limit = self.limits.header_bytes;
        let length = usize::try_from(size)
            .ok()
            .filter(|length| *length <= limit)
            .ok_or(ReadErrorKind::TooMuch {
                what: Limit::HeaderBytes,
                limit: limit as u64,
            })?;
        let mut body = Vec::new();
        while body.len() < length {
            let piece = fill(&mut self.source)?;
            if piece.is_empty() {
                return Err(ReadErrorKind::Truncated);
            }
            let step = piece.len().min(length - body.len());
            body.extend_from_slice(&piece[..step]);
            self.source.consume(step);
            self.offset += step as u64;
        }
        self.skip(padding_of(size))?;
        Ok(body)
    }

    fn parse_entry(&mut self) -> Result<Option<Entry>, ReadErrorKind> {
        let mut extended = Extended::default();
        loop {
            let Some(block) = self.block()? else {
                return self.end(&extended);
            };
            if block.iter().all(|&b| b == 0) {
                // Two of them end an archive; one and the end of the stream do as well.
                return match self.block()? {
                    Some(second) if second.iter().any(|&b| b != 0) => Err(ReadErrorKind::Checksum),
                    _ => self.end(&extended),
                };
            }
            let header = Header::parse(block)?;
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(ReadErrorKind::TooMuch {
                    what: Limit::Entries,
                    limit: self.limits.entries,
                });
            }
            match header.typeflag() {
                b'x' | b'X' => {
                    let mut pax = self.global.clone();
                    pax.read(&self.body(header.size()?)?)?;
                    extended.pax = Some(pax);
                }
                b'g' => {
                    let body = self.body(header.size()?)?;
                    self.global.read(&body)?;
                    // Attributes or a map for every file: nobody means it, and over many
                    // headers it would not be bounded.
                    self.global.xattrs.clear();
                    self.global.sparse = PaxSparse::default();
                }
                b'L' => extended.gnu_path = Some(nul_ended(self.body(header.size()?)?)),
                b'K' => extended.gnu_link = Some(nul_ended(self.body(header.size()?)?)),
                _ => {
                    let entry = self.finish_entry(&header, std::mem::take(&mut extended))?;
                    if !entry.path.is_empty() {
                        return Ok(Some(entry));
                    }
                    self.nameless += 1;
                    let rest = std::mem::take(&mut self.content);
                    let padding = std::mem::take(&mut self.padding);
                    self.skip(rest)?;
                    self.skip(padding)?;
                }
            }
        }
    }

    fn end(&mut self, extended: &Extended) -> Result<Option<Entry>, ReadErrorKind> {
        if !extended.is_empty() {
            return Err(ReadErrorKind::Dangling);
        }
        self.ended = true;
        Ok(None)
    }

    fn finish_entry(
        &mut self,
        header: &Header,
        extended: Extended,
    ) -> Result<Entry, ReadErrorKind> {
        let mut pax = extended.pax.unwrap_or_else(|| self.global.clone());
        let mut path = extended
            .gnu_path
            .or(pax.path.take())
            .unwrap_or_else(|| header.path());
        if let Some(name) = pax.sparse.name.take() {
            path = name;
        }
        let kind = kind_of(header.typeflag(), &path)?;
        while path.len() > 1 && path.ends_with(b"/") {
            path.pop();
        }
        let owner = |field, pax: Option<u32>, header: Result<i64, ReadErrorKind>| match pax {
            Some(id) => Ok(id),
            None => u32::try_from(header?).map_err(|_| ReadErrorKind::Range(field)),
        };
        let mut entry = Entry {
            mode: header.mode()?,
            uid: owner("uid", pax.uid, header.uid())?,
            gid: owner("gid", pax.gid, header.gid())?,
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                None => Timestamp {
                    seconds: header.mtime()?,
                    nanoseconds: 0,
                },
            },
            ..Entry::new(kind, path)
        };
        entry.xattrs = std::mem::take(&mut pax.xattrs).into_iter().collect();
        match kind {
            EntryKind::HardLink | EntryKind::Symlink => {
                let link = extended.gnu_link.or(pax.link.take());
                entry.link = link.unwrap_or_else(|| header.link().to_vec());
            }
            EntryKind::CharacterDevice | EntryKind::BlockDevice => {
                entry.device = header.device()?
            }
            EntryKind::Regular => self.start_content(header, &pax, &mut entry)?,
            EntryKind::Directory | EntryKind::Fifo => {}
        }
        Ok(entry)
    }

    /// Sets up the content of a regular file. (What is no regular file has none, whatever its
    /// size field says: so do all readers of layers.)
    fn start_content(
        &mut self,
        header: &Header,
        pax: &Pax,
        entry: &mut Entry,
    ) -> Result<(), ReadErrorKind> {
        let archived = match pax.size {
            Some(size) => size,
            None => header.size()?,
        };
        let limit = self.limits.sparse_fragments;
        self.padding = padding_of(archived);
        self.content = archived;
        entry.size = archived;
        if header.typeflag() == b'S' {
            let (area, mut extended, real_size) = header.gnu_sparse()?;
            let mut numbers = Vec::new();
            sparse::gnu_pairs(area, &mut numbers)?;
            while extended {
                let block = self.block()?.ok_or(ReadErrorKind::Truncated)?;
                sparse::gnu_pairs(&block[..504], &mut numbers)?;
                extended = block[504] != 0;
                self.bound_fragments(&numbers)?;
            }
            entry.size = real_size;
            entry.sparse = Some(sparse::map(&numbers, real_size, archived, limit)?);
        } else if pax.sparse.present {
            let real_size = pax.sparse.real_size.ok_or(ReadErrorKind::Sparse)?;
            let numbers = match (pax.sparse.major, pax.sparse.minor) {
                (Some(1), Some(0)) => self.map_of_data()?,
                (None, None) | (Some(0), Some(0 | 1)) => pax.sparse.numbers.clone(),
                _ => return Err(ReadErrorKind::Sparse),
            };
            entry.size = real_size;
            entry.sparse = Some(sparse::map(&numbers, real_size, self.content, limit)?);
        }
        if entry.size > self.limits.file_bytes {
            return Err(ReadErrorKind::TooMuch {
                what: Limit::FileBytes,
                limit: self.limits.file_bytes,
            });
        }
        Ok(())
    }

    fn bound_fragments(&self, numbers: &[u64]) -> Result<(), ReadErrorKind> {
        let limit = self.limits.sparse_fragments;
        if numbers.len() / 2 > limit {
            return Err(ReadErrorKind::TooMuch {
                what: Limit::SparseFragments,
                limit: limit as u64,
            });
        }
        Ok(())
    }

    fn map_of_data(&mut self) -> Result<Vec<u64>, ReadErrorKind> {
        let mut map = MapReader::default();
        loop {
            if self.content < BLOCK as u64 {
                return Err(ReadErrorKind::Sparse);
            }
            let block = self.block()?.ok_or(ReadErrorKind::Truncated)?;
            self.content -= BLOCK as u64;
            if map.take(&block, self.limits.sparse_fragments)? {
                return Ok(map.numbers);
            }
        }
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self
            .fill()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

fn fill<R: BufRead>(source: &mut R) -> Result<&[u8], ReadErrorKind> {
    loop {
        // Asked twice because the borrow checker cannot see that an error borrows nothing.
        match source.fill_buf() {
            Ok(_) => return source.fill_buf().map_err(ReadErrorKind::Stream),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadErrorKind::Stream(error)),
        }
    }
}

fn padding_of(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn nul_ended(mut body: Vec<u8>) -> Vec<u8> {
    if let Some(end) = body.iter().position(|&b| b == 0) {
        body.truncate(end);
    }
    body
}

fn kind_of(typeflag: u8, path: &[u8]) -> Result<EntryKind, ReadErrorKind> {
    Ok(match typeflag {
        // Before ustar, a directory was a file whose name ends in a slash.
        b'0' | 0 if path.ends_with(b"/") => EntryKind::Directory,
        b'0' | 0 | b'7' | b'S' => EntryKind::Regular,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharacterDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => return Err(ReadErrorKind::Type(other)),
    })
}
