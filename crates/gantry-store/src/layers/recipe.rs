//! The recipe of a layer: its tar, with the contents of files left out.
//!
//! A zstd stream of items: bytes as they are (headers, padding, what follows the archive), or
//! "so many bytes of this file here". Played back over the unpacked files it gives the tar byte
//! for byte, whoever wrote it. When a later entry of the same tar replaces a file, the old
//! content is moved to `replaced/<number>` and the recipe says so at that point.
//!
//! Items, numbers in LEB128:
//! `0 length bytes` · `1 length path count (offset length)*` · `2 length path number` · `3 size`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{self, Mode};

use crate::compression::Pipeline;
use crate::tar::Fragment;
use crate::tree;
use crate::unpack::Tape;

const RAW: u8 = 0;
const FILE: u8 = 1;
const REPLACED: u8 = 2;
const END: u8 = 3;

/// Raw bytes are collected up to this length.
const RAW_LENGTH: usize = 64 << 10;
const LEVEL: i32 = 1;
/// Longest path in a recipe; more is damage.
const MAX_PATH: u64 = 1 << 16;

/// Writes a recipe.
pub(super) struct RecipeWriter {
    sink: zstd::Encoder<'static, File>,
    raw: Vec<u8>,
    size: u64,
}

impl std::fmt::Debug for RecipeWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecipeWriter")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl RecipeWriter {
    pub(super) fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            sink: zstd::Encoder::new(file, LEVEL)?,
            raw: Vec::new(),
            size: 0,
        })
    }

    /// Bytes of the tar as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.raw.extend_from_slice(bytes);
        if self.raw.len() >= RAW_LENGTH {
            self.flush_raw()
        } else {
            Ok(())
        }
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let mut head = vec![RAW];
        put_number(&mut head, self.raw.len() as u64);
        self.sink.write_all(&head)?;
        self.sink.write_all(&self.raw)?;
        self.raw.clear();
        Ok(())
    }

    /// Here follow these parts of a file.
    pub(super) fn file(&mut self, path: &[u8], fragments: &[Fragment]) -> io::Result<()> {
        self.flush_raw()?;
        let mut item = vec![FILE];
        put_bytes(&mut item, path);
        put_number(&mut item, fragments.len() as u64);
        for fragment in fragments {
            put_number(&mut item, fragment.offset);
            put_number(&mut item, fragment.length);
            self.size += fragment.length;
        }
        self.sink.write_all(&item)
    }

    /// What was at `path` up to here is in `replaced/<number>`.
    fn replaced(&mut self, path: &[u8], number: u64) -> io::Result<()> {
        self.flush_raw()?;
        let mut item = vec![REPLACED];
        put_bytes(&mut item, path);
        put_number(&mut item, number);
        self.sink.write_all(&item)
    }

    /// Closes the recipe; the size of the tar it gives.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.flush_raw()?;
        let mut item = vec![END];
        put_number(&mut item, self.size);
        self.sink.write_all(&item)?;
        self.sink.finish()?;
        Ok(self.size)
    }
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// One item of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// So many bytes follow, to be read by [`RecipeReader::raw`].
    Raw(u64),
    /// Parts of a file.
    File {
        path: Vec<u8>,
        fragments: Vec<Fragment>,
    },
    /// What was at this path is from now on another file.
    Replaced { path: Vec<u8>, number: u64 },
    /// The end, and the size of the tar.
    End(u64),
}

/// Reads a recipe. A damaged one gives [`io::ErrorKind::InvalidData`].
pub(super) struct RecipeReader {
    source: BufReader<zstd::Decoder<'static, BufReader<File>>>,
}

impl std::fmt::Debug for RecipeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecipeReader").finish_non_exhaustive()
    }
}

fn damaged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the recipe of the layer is damaged",
    )
}

impl RecipeReader {
    pub(super) fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            source: BufReader::with_capacity(RAW_LENGTH, zstd::Decoder::new(file)?),
        })
    }

    pub(super) fn item(&mut self) -> io::Result<Item> {
        match self.byte()? {
            RAW => Ok(Item::Raw(self.number()?)),
            FILE => {
                let path = self.path()?;
                let count = self.number()?;
                let mut fragments = Vec::new();
                for _ in 0..count {
                    fragments.push(Fragment {
                        offset: self.number()?,
                        length: self.number()?,
                    });
                }
                Ok(Item::File { path, fragments })
            }
            REPLACED => Ok(Item::Replaced {
                path: self.path()?,
                number: self.number()?,
            }),
            END => Ok(Item::End(self.number()?)),
            _ => Err(damaged()),
        }
    }

    /// Reads bytes of a raw item.
    pub(super) fn raw(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer)? {
            0 if !buffer.is_empty() => Err(damaged()),
            count => Ok(count),
        }
    }

    pub(super) fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.source.by_ref().take(count), &mut io::sink())?;
        if skipped == count {
            Ok(())
        } else {
            Err(damaged())
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.source.read_exact(&mut byte).map_err(|_| damaged())?;
        Ok(byte[0])
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    fn path(&mut self) -> io::Result<Vec<u8>> {
        let length = self.number()?;
        if length > MAX_PATH {
            return Err(damaged());
        }
        let mut path = vec![0; usize::try_from(length).map_err(|_| damaged())?];
        self.source.read_exact(&mut path).map_err(|_| damaged())?;
        Ok(path)
    }
}

/// Where the content of files is that were replaced: for each path the points of the recipe
/// (counted in items) at which it was, and the numbers of the files.
#[derive(Debug, Default)]
pub(super) struct Replacements(HashMap<Vec<u8>, Vec<(u64, u64)>>);

impl Replacements {
    pub(super) fn read(mut recipe: RecipeReader) -> io::Result<Self> {
        let mut replacements = Self::default();
        for position in 0.. {
            match recipe.item()? {
                Item::Raw(count) => recipe.skip(count)?,
                Item::File { .. } => {}
                Item::Replaced { path, number } => {
                    replacements
                        .0
                        .entry(path)
                        .or_default()
                        .push((position, number));
                }
                Item::End(_) => break,
            }
        }
        Ok(replacements)
    }

    /// The file that has the content which the item at `position` means by `path`, if it is
    /// not the one at that path.
    pub(super) fn file(&self, path: &[u8], position: u64) -> Option<u64> {
        let replaced = self.0.get(path)?;
        replaced
            .iter()
            .find(|(at, _)| *at > position)
            .map(|(_, number)| *number)
    }
}

/// Records what goes through a pipeline as a recipe.
#[derive(Debug)]
pub(super) struct Recorder {
    pipeline: Pipeline,
    recipe: RecipeWriter,
    recording: bool,
    /// The folder of the layer under construction.
    layer: OwnedFd,
    replaced: Option<OwnedFd>,
    replacements: u64,
    /// An error of the recipe, to be given at the next occasion: `consume` cannot.
    failed: Option<io::Error>,
}

impl Recorder {
    pub(super) fn new(pipeline: Pipeline, recipe: RecipeWriter, layer: OwnedFd) -> Self {
        Self {
            pipeline,
            recipe,
            recording: true,
            layer,
            replaced: None,
            replacements: 0,
            failed: None,
        }
    }

    pub(super) fn finish(mut self) -> io::Result<(Pipeline, u64)> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let size = self.recipe.finish()?;
        Ok((self.pipeline, size))
    }

    fn replaced_folder(&mut self) -> io::Result<&OwnedFd> {
        if self.replaced.is_none() {
            fs::mkdirat(&self.layer, "replaced", Mode::RWXU)?;
            self.replaced = Some(tree::open_directory(&self.layer, "replaced")?);
        }
        Ok(self.replaced.as_ref().expect("made above"))
    }
}

impl Read for Recorder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Recorder {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.pipeline.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if self.recording {
            // Cannot block or fail: the pipeline has these bytes at hand.
            let piece = self.pipeline.fill_buf().unwrap_or_default();
            if let Err(error) = self.recipe.raw(&piece[..count.min(piece.len())]) {
                self.failed = Some(error);
            }
        }
        self.pipeline.consume(count);
    }
}

impl Tape for Recorder {
    fn start_file(&mut self, path: &[u8], fragments: &[Fragment]) -> io::Result<()> {
        self.recording = false;
        self.recipe.file(path, fragments)
    }

    fn end_file(&mut self) {
        self.recording = true;
    }

    fn replace(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> io::Result<()> {
        let number = self.replacements;
        self.replacements += 1;
        let folder = self.replaced_folder()?;
        fs::renameat(parent, name, folder, number.to_string())?;
        self.recipe.replaced(path, number)
    }
}
