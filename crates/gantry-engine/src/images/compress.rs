//! Compressing on all processors: a stream is cut into pieces, each becomes a gzip member or a
//! zstd frame of its own (RFC 1952 and RFC 8878 allow any number of them), in order.
//!
//! The same bytes give the same result wherever and on however many processors: the cuts and the
//! level are fixed, and members carry neither time nor name.

mod estargz;
mod gzip;

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use gantry_model::Digest;
use gantry_model::media_type::Compression;
use sha2::{Digest as _, Sha256};

use self::estargz::Contents;
use self::gzip::Gzip;

/// Bytes of a piece; the result's digest depends on it.
const PIECE: usize = 1 << 20;
/// Bytes of a piece that becomes a zstd frame, which gains more from length.
const ZSTD_PIECE: usize = 4 << 20;
/// The level of zstd where none is asked for; the result's digest depends on it.
const ZSTD_LEVEL: i32 = 3;

/// How the tar of a layer is compressed on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerCompression {
    /// Not at all.
    Uncompressed,
    /// RFC 1952.
    #[default]
    Gzip,
    /// gzip with a table of contents, from which single files can be read.
    Estargz,
    /// RFC 8878.
    Zstd,
}

impl LayerCompression {
    /// The level that a text says; what is wanted where it is none of this compression.
    ///
    /// # Errors
    /// What would be a level.
    pub fn level(self, text: &str) -> Result<i32, String> {
        let (low, high) = self.levels();
        let level = text
            .parse()
            .ok()
            .filter(|level| (low..=high).contains(level));
        level.ok_or_else(|| format!("a number from {low} to {high} for this compression"))
    }

    /// The least and the greatest level there is.
    #[must_use]
    const fn levels(self) -> (i32, i32) {
        match self {
            Self::Uncompressed => (0, 0),
            Self::Gzip | Self::Estargz => (0, 9),
            Self::Zstd => (1, 22),
        }
    }
}

/// A compression and its level; the usual one of the compression without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Method {
    pub(crate) compression: LayerCompression,
    pub(crate) level: Option<i32>,
}

impl Method {
    /// How its result is compressed, as media types tell it.
    pub(crate) const fn media(self) -> Option<Compression> {
        Some(match self.compression {
            LayerCompression::Uncompressed => Compression::None,
            LayerCompression::Gzip | LayerCompression::Estargz => Compression::Gzip,
            LayerCompression::Zstd => Compression::Zstd,
        })
    }
}

/// What a stream came to that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Digest of the compressed stream.
    pub(crate) digest: Digest,
    /// For a stream with a table of contents, which is part of the archive: the digest of the
    /// whole archive, and that of the table.
    pub(crate) contents: Option<(Digest, Digest)>,
}

type Piece = io::Result<Option<Vec<u8>>>;
type Work = (Vec<u8>, SyncSender<Piece>);

/// Compresses `source` while `consume` reads the result, which has a digest once it was read to
/// its end.
pub(crate) fn compressed<T>(
    source: &mut (dyn Read + Send),
    method: Method,
    threads: usize,
    consume: impl FnOnce(&mut Compressed) -> T,
) -> T {
    let threads = threads.max(1);
    // The order of the results, and the work; both bounded, so that a slow network holds up the
    // reading and memory does not grow.
    let (order, results) = sync_channel::<Receiver<Piece>>(threads * 2);
    let (work, queue) = sync_channel::<Work>(threads);
    let queue = Arc::new(Mutex::new(queue));
    let contents = (method.compression == LayerCompression::Estargz)
        .then(|| Arc::new(Mutex::new(Contents::default())));
    thread::scope(|scope| {
        let listed = contents.clone();
        scope.spawn(move || {
            let line = Line { order, work };
            let cut = match (listed, method.compression) {
                (Some(contents), _) => estargz::cut(source, &contents, &line),
                (None, LayerCompression::Zstd) => cut(source, ZSTD_PIECE, &line),
                (None, _) => cut(source, PIECE, &line),
            };
            line.end(cut);
        });
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            scope.spawn(move || press(&queue, method));
        }
        let mut stream = Compressed {
            results,
            contents,
            method,
            offsets: Vec::new(),
            current: Vec::new(),
            at: 0,
            count: 0,
            ended: false,
            hasher: Sha256::new(),
            sums: None,
        };
        let value = consume(&mut stream);
        // Before the threads are waited for: nobody may go on for a reader that left.
        drop(stream);
        value
    })
}

/// Where pieces go to be compressed.
struct Line {
    order: SyncSender<Receiver<Piece>>,
    work: SyncSender<Work>,
}

/// Nobody wants more pieces.
struct Left;

impl Line {
    fn send(&self, piece: Vec<u8>) -> Result<(), Left> {
        let (answer, result) = sync_channel(1);
        self.order.send(result).map_err(|_| Left)?;
        self.work.send((piece, answer)).map_err(|_| Left)
    }

    /// The last word: the end, or what went wrong.
    fn end(&self, cut: Result<io::Result<()>, Left>) {
        let Ok(result) = cut else { return };
        let (answer, last) = sync_channel(1);
        if self.order.send(last).is_ok() {
            // The reader may be gone, and then needs no answer.
            let _gone = answer.send(result.map(|()| None));
        }
    }
}

/// Cuts the source every `length` bytes; ends when it does, or when nobody wants more.
fn cut(source: &mut dyn Read, length: usize, line: &Line) -> Result<io::Result<()>, Left> {
    let mut first = true;
    loop {
        let mut piece = Vec::with_capacity(length);
        match source.take(length as u64).read_to_end(&mut piece) {
            // An empty source still is one (empty) member.
            Ok(0) if !first => return Ok(Ok(())),
            Ok(_) => line.send(piece)?,
            Err(error) => return Ok(Err(error)),
        }
        first = false;
    }
}

fn press(queue: &Mutex<Receiver<Work>>, method: Method) {
    let mut press = Press::new(method);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((piece, answer)) = next else { return };
        // The reader may be gone, and then needs no answer.
        let _gone = answer.send(press.piece(piece).map(Some));
    }
}

/// Compresses pieces.
enum Press {
    Plain,
    Gzip(Gzip),
    Zstd(i32),
}

impl Press {
    fn new(method: Method) -> Self {
        match method.compression {
            LayerCompression::Uncompressed => Self::Plain,
            LayerCompression::Zstd => Self::Zstd(method.level.unwrap_or(ZSTD_LEVEL)),
            LayerCompression::Gzip | LayerCompression::Estargz => {
                Self::Gzip(Gzip::new(method.level))
            }
        }
    }

    fn piece(&mut self, piece: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(piece),
            Self::Zstd(level) => zstd::bulk::compress(&piece, *level),
            Self::Gzip(gzip) => gzip.member(&piece),
        }
    }
}

/// The compressed stream.
#[derive(Debug)]
pub(crate) struct Compressed {
    results: Receiver<Receiver<Piece>>,
    contents: Option<Arc<Mutex<Contents>>>,
    method: Method,
    /// Where the pieces begin, for a table of contents.
    offsets: Vec<u64>,
    current: Vec<u8>,
    at: usize,
    count: u64,
    ended: bool,
    hasher: Sha256,
    /// Of the archive with its table of contents, and of the table.
    sums: Option<(Digest, Digest)>,
}

impl Compressed {
    /// What was read to its end; of a stream that was not, the digest of what was read so far.
    pub(crate) fn sum(&self) -> Sum {
        Sum {
            digest: Digest::from_bytes(self.hasher.clone().finalize().into()),
            contents: self.sums,
        }
    }

    /// The next piece; nothing at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        // Silence is a thread that died, never the end.
        let lost = || io::Error::other("a compressing thread ended too early");
        loop {
            let result = self.results.recv().map_err(|_| lost())?;
            let Some(piece) = result.recv().map_err(|_| lost())?? else {
                self.ended = true;
                return self.tail();
            };
            if self.contents.is_some() {
                self.offsets.push(self.count);
            }
            self.count += piece.len() as u64;
            if !piece.is_empty() {
                return Ok(piece);
            }
        }
    }

    /// What follows the last piece: the table of contents, where there is one.
    fn tail(&mut self) -> io::Result<Vec<u8>> {
        let Some(contents) = self.contents.take() else {
            return Ok(Vec::new());
        };
        let contents =
            std::mem::take(&mut *contents.lock().unwrap_or_else(PoisonError::into_inner));
        let mut press = Press::new(self.method);
        let (tail, sums) = contents.finish(&self.offsets, self.count, |part| press.piece(part))?;
        self.sums = Some(sums);
        Ok(tail)
    }
}

impl Read for Compressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() && !self.ended {
            self.current = self.next()?;
            self.at = 0;
        }
        let count = buffer.len().min(self.current.len() - self.at);
        let piece = &self.current[self.at..self.at + count];
        buffer[..count].copy_from_slice(piece);
        self.hasher.update(piece);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_store::compression::Decoder;

    fn press_all(bytes: &[u8], compression: LayerCompression, threads: usize) -> (Vec<u8>, Digest) {
        let mut source = bytes;
        let method = Method {
            compression,
            level: None,
        };
        compressed(&mut source, method, threads, |stream| {
            let mut out = Vec::new();
            stream.read_to_end(&mut out).unwrap();
            (out, stream.sum().digest)
        })
    }

    #[test]
    fn it_comes_back_and_is_the_same_on_any_number_of_threads() {
        use LayerCompression::{Gzip, Uncompressed, Zstd};
        for (length, how) in [
            (0, Gzip),
            (1, Gzip),
            (PIECE - 1, Gzip),
            (PIECE, Gzip),
            (PIECE + 1, Gzip),
            (5 * PIECE + 7, Gzip),
            (ZSTD_PIECE + 1, Zstd),
            (0, Zstd),
            (PIECE + 1, Uncompressed),
            (0, Uncompressed),
        ] {
            let bytes: Vec<u8> = (0..length)
                .map(|i| u8::try_from((i * i / 7) % 251).unwrap())
                .collect();
            let (one, digest) = press_all(&bytes, how, 1);
            assert_eq!(press_all(&bytes, how, 4), (one.clone(), digest), "{length}");
            let mut back = Vec::new();
            Decoder::new(&one[..], None)
                .unwrap()
                .read_to_end(&mut back)
                .unwrap();
            assert!(back == bytes, "{length} {how:?}");
            assert_eq!(digest, crate::images::document::digest(&one));
        }
    }

    #[test]
    fn a_level_is_heeded() {
        let bytes: Vec<u8> = (0..300_000_u32)
            .flat_map(|i| (i % 977).to_le_bytes())
            .collect();
        for compression in [LayerCompression::Gzip, LayerCompression::Zstd] {
            let (low, high) = compression.levels();
            let length = |level| {
                let method = Method {
                    compression,
                    level: Some(level),
                };
                let count = |stream: &mut Compressed| io::copy(stream, &mut io::sink());
                compressed(&mut &bytes[..], method, 2, count).unwrap()
            };
            assert!(length(high) < length(low.max(1)), "{compression:?}");
        }
    }

    #[test]
    fn a_failing_source_fails_the_reader_and_a_leaving_reader_ends_it() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::Error::other("disk on fire"));
                }
                self.0 -= 1;
                buffer.fill(7);
                Ok(buffer.len())
            }
        }
        let gzip = Method::default();
        let drain = |s: &mut Compressed| io::copy(s, &mut io::sink());
        let error = compressed(&mut Broken(100), gzip, 2, drain).unwrap_err();
        assert_eq!(error.to_string(), "disk on fire");
        compressed(&mut Broken(usize::MAX), gzip, 2, |s| {
            s.read_exact(&mut [0; 10])
        })
        .unwrap();
    }
}
