//! Streams that are compressed: gzip (any number of members), zstd, plain.
//!
//! [`Decoder`] decompresses in place; [`Bounded`] does that for archives, which may be bzip2 and xz as
//! well. For layers a `Pipeline` does it in a thread of its own, which also
//! verifies the compressed side, while the other end hashes, parses and writes.

mod archive;

use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

pub use archive::{Bounded, exceeded};
use flate2::bufread::GzDecoder;
use gantry_model::Digest;
pub use gantry_model::media_type::Compression;
use sha2::{Digest as _, Sha256};

use crate::limits::{Limit, Limits};

const INPUT_BUFFER: usize = 128 << 10;
const CHUNK: usize = 256 << 10;
/// Chunks between the threads.
const DEPTH: usize = 4;

/// Why a stream ended early; travels inside [`io::Error`] through readers that know only that.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("the stream has more than {limit} {what}")]
    Limit { what: Limit, limit: u64 },
    #[error("the compressed stream is damaged")]
    Compression { source: io::Error },
    #[error("the stream cannot be read")]
    Source { source: io::Error },
    #[error("the stream has digest {actual}, expected {expected}")]
    Digest { expected: Digest, actual: Digest },
    #[error("the stream of {digest} has {actual} bytes, expected {expected}")]
    Size {
        digest: Digest,
        expected: u64,
        actual: u64,
    },
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Decompresses a stream; recognises the compression by its first bytes where it is not told.
pub struct Decoder<R: Read> {
    inner: Inner<R>,
}

type Input<R> = BufReader<io::Chain<io::Cursor<Vec<u8>>, R>>;

enum Inner<R: Read> {
    Plain(Input<R>),
    Gzip(Option<Box<GzDecoder<Input<R>>>>),
    /// Behind the last member of a gzip stream.
    Drained(Input<R>),
    Zstd(Box<zstd::Decoder<'static, Input<R>>>),
}

impl<R: Read> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("compression", &self.compression())
            .finish_non_exhaustive()
    }
}

impl<R: Read> Decoder<R> {
    /// A decoder of what `reader` gives.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn new(mut reader: R, compression: Option<Compression>) -> io::Result<Self> {
        let mut head = Vec::new();
        let compression = match compression {
            Some(compression) => compression,
            None => {
                reader.by_ref().take(4).read_to_end(&mut head)?;
                Compression::sniff(&head)
            }
        };
        let input = BufReader::with_capacity(INPUT_BUFFER, io::Cursor::new(head).chain(reader));
        let inner = match compression {
            Compression::None => Inner::Plain(input),
            Compression::Gzip => Inner::Gzip(Some(Box::new(GzDecoder::new(input)))),
            Compression::Zstd => Inner::Zstd(Box::new(zstd::Decoder::with_buffer(input)?)),
        };
        Ok(Self { inner })
    }

    /// The compression that was told or found.
    #[must_use]
    pub fn compression(&self) -> Compression {
        match self.inner {
            Inner::Plain(_) => Compression::None,
            Inner::Gzip(_) | Inner::Drained(_) => Compression::Gzip,
            Inner::Zstd(_) => Compression::Zstd,
        }
    }

    /// Reads the compressed stream up to its end, after the decompressed one has ended.
    fn drain(self) -> io::Result<R> {
        let mut input = match self.inner {
            Inner::Plain(input) | Inner::Drained(input) => input,
            Inner::Zstd(decoder) => decoder.finish(),
            Inner::Gzip(Some(decoder)) => decoder.into_inner(),
            Inner::Gzip(None) => {
                return Err(io::Error::other("a failed gzip stream has no rest to read"));
            }
        };
        io::copy(&mut input, &mut io::sink())?;
        Ok(input.into_inner().into_inner().1)
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let slot = match &mut self.inner {
                Inner::Plain(input) => return input.read(buffer),
                Inner::Zstd(decoder) => return decoder.read(buffer),
                Inner::Drained(_) => return Ok(0),
                Inner::Gzip(slot) => slot,
            };
            let Some(decoder) = slot else { return Ok(0) };
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            // The end of a member: another one may follow; what is none is ignored, as gzip does.
            let Some(decoder) = slot.take() else {
                return Ok(0);
            };
            let mut input = decoder.into_inner();
            let next = input.fill_buf()?;
            if matches!(next, [0x1f] | [0x1f, 0x8b, ..]) {
                *slot = Some(Box::new(GzDecoder::new(input)));
            } else {
                self.inner = Inner::Drained(input);
            }
        }
    }
}

/// What is required of a stream.
#[derive(Clone)]
pub(crate) struct Requirements<'a> {
    pub(crate) compression: Option<Compression>,
    pub(crate) blob: Option<(Digest, u64)>,
    pub(crate) limits: &'a Limits,
    pub(crate) progress: Option<&'a (dyn Fn(u64) + Sync)>,
}

/// Counts, hashes and bounds what is read from the source.
struct Counting<'a, R> {
    source: R,
    hasher: Option<Sha256>,
    count: &'a AtomicU64,
    blob: Option<(Digest, u64)>,
    progress: Option<&'a (dyn Fn(u64) + Sync)>,
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(source) => return Err(StreamError::Source { source }.into()),
            Ok(read) => read,
        };
        let count = self.count.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
        if let Some((digest, expected)) = self.blob
            && count > expected
        {
            return Err(StreamError::Size {
                digest,
                expected,
                actual: count,
            }
            .into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        if let Some(progress) = self.progress {
            progress(count);
        }
        Ok(read)
    }
}

enum Message {
    Data(Vec<u8>),
    End,
    Failed(io::Error),
}

/// The reading end of a decompression that runs in another thread. Hashes what it gives out.
#[derive(Debug)]
pub(crate) struct Pipeline {
    messages: Receiver<Message>,
    recycled: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    position: usize,
    hasher: Sha256,
    total: u64,
    ended: bool,
}

/// The writing end, to be run in a thread of its own.
#[derive(Debug)]
pub(crate) struct Producer {
    messages: SyncSender<Message>,
    recycled: Receiver<Vec<u8>>,
}

/// The two ends of a pipeline.
pub(crate) fn pipeline() -> (Producer, Pipeline) {
    let (messages, received) = sync_channel(DEPTH);
    let (recycled, free) = channel();
    let pipeline = Pipeline {
        messages: received,
        recycled,
        chunk: Vec::new(),
        position: 0,
        hasher: Sha256::new(),
        total: 0,
        ended: false,
    };
    (
        Producer {
            messages,
            recycled: free,
        },
        pipeline,
    )
}

impl Producer {
    /// Decompresses the whole stream into the pipeline and verifies the compressed side.
    pub(crate) fn run(self, source: impl Read, requirements: &Requirements<'_>) {
        let message = match self.produce(source, requirements) {
            Ok(()) => Message::End,
            Err(error) => Message::Failed(error),
        };
        // Nobody listens any more where the other end has failed already.
        let _sent = self.messages.send(message);
    }

    fn produce(&self, source: impl Read, requirements: &Requirements<'_>) -> io::Result<()> {
        let compressed = AtomicU64::new(0);
        let counting = Counting {
            source,
            hasher: requirements.blob.map(|_| Sha256::new()),
            count: &compressed,
            blob: requirements.blob,
            progress: requirements.progress,
        };
        let mut decoder = Decoder::new(counting, requirements.compression).map_err(as_damage)?;
        let mut total = 0_u64;
        loop {
            let mut chunk = self.recycled.try_recv().unwrap_or_default();
            chunk.resize(CHUNK, 0);
            let filled = fill(&mut decoder, &mut chunk).map_err(as_damage)?;
            chunk.truncate(filled);
            total += filled as u64;
            let read = compressed.load(Ordering::Relaxed);
            check_limits(total, read, requirements.limits)?;
            if filled == 0 {
                break;
            }
            if self.messages.send(Message::Data(chunk)).is_err() {
                return Ok(()); // the other end has failed and said so
            }
        }
        let counting = decoder.drain().map_err(as_damage)?;
        verify(counting.hasher, requirements.blob, compressed.into_inner())
    }
}

fn check_limits(total: u64, compressed: u64, limits: &Limits) -> io::Result<()> {
    if total > limits.tar_bytes {
        return Err(StreamError::Limit {
            what: Limit::TarBytes,
            limit: limits.tar_bytes,
        }
        .into());
    }
    if total > limits.ratio_floor && total / limits.ratio.max(1) > compressed {
        return Err(StreamError::Limit {
            what: Limit::Ratio,
            limit: limits.ratio,
        }
        .into());
    }
    Ok(())
}

fn verify(hasher: Option<Sha256>, blob: Option<(Digest, u64)>, count: u64) -> io::Result<()> {
    let (Some(hasher), Some((digest, expected))) = (hasher, blob) else {
        return Ok(());
    };
    if count != expected {
        return Err(StreamError::Size {
            digest,
            expected,
            actual: count,
        }
        .into());
    }
    let actual = Digest::from_bytes(hasher.finalize().into());
    if actual != digest {
        return Err(StreamError::Digest {
            expected: digest,
            actual,
        }
        .into());
    }
    Ok(())
}

/// An error of a decoder that is not the source's is the stream's own.
fn as_damage(error: io::Error) -> io::Error {
    if error
        .get_ref()
        .is_some_and(|inner| inner.is::<StreamError>())
    {
        return error;
    }
    StreamError::Compression { source: error }.into()
}

/// Reads until the buffer is full or the stream ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Pipeline {
    /// Digest and size of everything that was read, once it has been read to its end.
    pub(crate) fn finish(self) -> (Digest, u64) {
        debug_assert!(self.ended, "read to its end");
        (
            Digest::from_bytes(self.hasher.finalize().into()),
            self.total,
        )
    }
}

impl Read for Pipeline {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pipeline {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.chunk.len() && !self.ended {
            let used = std::mem::take(&mut self.chunk);
            self.position = 0;
            // A producer that has ended needs no chunks any more.
            let _returned = self.recycled.send(used);
            match self.messages.recv() {
                Ok(Message::Data(chunk)) => {
                    self.hasher.update(&chunk);
                    self.total += chunk.len() as u64;
                    self.chunk = chunk;
                }
                Ok(Message::End) => self.ended = true,
                Ok(Message::Failed(error)) => return Err(error),
                Err(_) => return Err(io::Error::other("the decompressing thread has died")),
            }
        }
        Ok(&self.chunk[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn through(
        input: &[u8],
        requirements: &Requirements<'_>,
    ) -> io::Result<(Vec<u8>, (Digest, u64))> {
        std::thread::scope(|scope| {
            let (producer, mut pipeline) = pipeline();
            scope.spawn(move || producer.run(input, requirements));
            let mut output = Vec::new();
            pipeline.read_to_end(&mut output)?;
            Ok((output, pipeline.finish()))
        })
    }

    fn requirements(limits: &Limits) -> Requirements<'_> {
        Requirements {
            compression: None,
            blob: None,
            limits,
            progress: None,
        }
    }

    #[test]
    fn every_compression_is_recognised_and_members_are_joined() {
        let limits = Limits::default();
        let text: Vec<u8> = (0..2_000_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let mut members = gzip(&text[..1000]);
        members.extend(gzip(&text[1000..]));
        let mut trailing = gzip(&text);
        trailing.extend([0; 700]);
        for input in [
            text.clone(),
            gzip(&text),
            members,
            trailing,
            zstd::encode_all(&text[..], 1).unwrap(),
            [
                zstd::encode_all(&text[..9], 1).unwrap(),
                zstd::encode_all(&text[9..], 1).unwrap(),
            ]
            .concat(),
        ] {
            let blob = Some((crate::blobs::sha256(&input), input.len() as u64));
            let required = Requirements {
                blob,
                ..requirements(&limits)
            };
            let (output, (digest, size)) = through(&input, &required).unwrap();
            assert!(output == text);
            assert_eq!(
                (digest, size),
                (crate::blobs::sha256(&text), text.len() as u64)
            );
        }
    }

    #[test]
    fn damage_and_excess_are_told_apart() {
        let limits = Limits {
            tar_bytes: 1 << 20,
            ratio: 10,
            ratio_floor: 1000,
            ..Limits::default()
        };
        let kind = |input: &[u8], blob| {
            let required = Requirements {
                blob,
                ..requirements(&limits)
            };
            let error = through(input, &required).unwrap_err();
            error.downcast::<StreamError>().unwrap()
        };
        let bomb = gzip(&vec![0; 200_000]);
        assert!(matches!(
            kind(&bomb, None),
            StreamError::Limit {
                what: Limit::Ratio,
                ..
            }
        ));
        let big: Vec<u8> = (0..400_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        assert!(matches!(
            kind(&gzip(&big), None),
            StreamError::Limit {
                what: Limit::TarBytes,
                ..
            }
        ));
        let good = gzip(b"hello");
        assert!(matches!(
            kind(&good[..good.len() - 3], None),
            StreamError::Compression { .. }
        ));
        let mut flipped = good.clone();
        flipped[12] ^= 0x40;
        assert!(matches!(
            kind(&flipped, None),
            StreamError::Compression { .. }
        ));
        let digest = crate::blobs::sha256(&good);
        let size = good.len() as u64;
        assert!(matches!(
            kind(&good, Some((digest, size - 1))),
            StreamError::Size { .. }
        ));
        assert!(matches!(
            kind(&good, Some((digest, size + 1))),
            StreamError::Size { .. }
        ));
        let other = crate::blobs::sha256(b"other");
        assert!(matches!(
            kind(&good, Some((other, size))),
            StreamError::Digest { .. }
        ));
    }
}
