//! Archives from outside: more compressions than layers have, and no more bytes than are accepted.

use std::io::{self, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bzip2::bufread::MultiBzDecoder;
use lzma_rust2::XzReader;

use super::{Decoder, INPUT_BUFFER, StreamError, check_limits};
use crate::limits::{Limit, Limits};

/// Most memory that an xz stream may ask for, in KiB: what `xz -9` makes needs an eighth of it.
const XZ_MEMORY: u32 = 512 << 10;
/// First bytes that tell how a stream is compressed.
const HEAD: u64 = 6;

/// A decoder of a stream from outside, however it is compressed: plain, gzip, zstd, bzip2 or xz.
/// Reading fails with [`exceeded`]'s error where it would give more than is accepted.
pub struct Bounded<R: Read> {
    inner: Inner<Input<R>>,
    compressed: Arc<AtomicU64>,
    total: u64,
    limits: Limits,
}

type Input<R> = Chain<Cursor<Vec<u8>>, Counted<R>>;

enum Inner<R: Read> {
    /// What a layer may be as well.
    Layer(Decoder<R>),
    Bzip2(Box<MultiBzDecoder<BufReader<R>>>),
    Xz(Box<XzReader<BufReader<R>>>),
}

impl<R: Read> std::fmt::Debug for Bounded<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bounded")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// Counts what is read.
struct Counted<R> {
    source: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<R: Read> Bounded<R> {
    /// A decoder of what `reader` gives, however it is compressed.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn new(reader: R, limits: &Limits) -> io::Result<Self> {
        let compressed = Arc::new(AtomicU64::new(0));
        let mut counted = Counted {
            source: reader,
            count: Arc::clone(&compressed),
        };
        let mut head = Vec::new();
        counted.by_ref().take(HEAD).read_to_end(&mut head)?;
        let kind = (head.starts_with(b"BZh"), head.starts_with(b"\xfd7zXZ\0"));
        let input = Cursor::new(head).chain(counted);
        let buffered = |input| BufReader::with_capacity(INPUT_BUFFER, input);
        let inner = match kind {
            (true, _) => Inner::Bzip2(Box::new(MultiBzDecoder::new(buffered(input)))),
            (_, true) => {
                let reader = XzReader::new_mem_limit(buffered(input), true, XZ_MEMORY);
                Inner::Xz(Box::new(reader))
            }
            _ => Inner::Layer(Decoder::new(input, None)?),
        };
        Ok(Self {
            inner,
            compressed,
            total: 0,
            limits: limits.clone(),
        })
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.inner {
            Inner::Layer(decoder) => decoder.read(buffer)?,
            Inner::Bzip2(decoder) => decoder.read(buffer)?,
            Inner::Xz(decoder) => decoder.read(buffer)?,
        };
        self.total += count as u64;
        let compressed = self.compressed.load(Ordering::Relaxed);
        check_limits(self.total, compressed, &self.limits)?;
        Ok(count)
    }
}

/// The bound that a [`Bounded`] stream went over, if that is what failed, and its value.
#[must_use]
pub fn exceeded(error: &io::Error) -> Option<(Limit, u64)> {
    match error.get_ref()?.downcast_ref()? {
        StreamError::Limit { what, limit } => Some((*what, *limit)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// What a program makes of these bytes.
    fn compressed(program: &str, bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("gzip, zstd, bzip2 and xz-utils are installed");
        let mut stdin = child.stdin.take().unwrap();
        let input = bytes.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output.stdout
    }

    fn read(bytes: &[u8], limits: &Limits) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        Bounded::new(bytes, limits)?.read_to_end(&mut output)?;
        Ok(output)
    }

    #[test]
    fn archives_are_decompressed_whatever_made_them() {
        let text: Vec<u8> = (0..100_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        for program in ["gzip", "zstd", "bzip2", "xz"] {
            let one = compressed(program, &text);
            assert!(read(&one, &Limits::default()).unwrap() == text, "{program}");
            let twice = [one.clone(), one.clone()].concat();
            let want = [text.clone(), text.clone()].concat();
            assert!(
                read(&twice, &Limits::default()).unwrap() == want,
                "{program}"
            );
            let half = &one[..one.len() / 2];
            assert!(read(half, &Limits::default()).is_err(), "{program}");
        }
        assert_eq!(read(b"BZ", &Limits::default()).unwrap(), b"BZ");
    }

    #[test]
    fn bombs_are_refused() {
        let limits = Limits {
            ratio: 100,
            ratio_floor: 1 << 20,
            ..Limits::default()
        };
        for program in ["gzip", "zstd", "bzip2", "xz"] {
            let bomb = compressed(program, &vec![0; 32 << 20]);
            let error = read(&bomb, &limits).unwrap_err();
            assert_eq!(exceeded(&error), Some((Limit::Ratio, 100)), "{program}");
        }
    }
}
