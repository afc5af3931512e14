//! Compressing on all processors: a stream is cut into pieces of one mebibyte, each becomes a
//! gzip member of its own (RFC 1952 allows any number of them), in order.
//!
//! The same bytes give the same result wherever and on however many processors: piece size and
//! level are fixed, and members carry neither time nor name.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use gantry_model::Digest;
use libdeflater::{CompressionLvl, Compressor};
use sha2::{Digest as _, Sha256};

/// Bytes of a piece; the result's digest depends on it.
const PIECE: usize = 1 << 20;

/// The level; the result's digest depends on it.
const LEVEL: i32 = 6;

type Piece = io::Result<Vec<u8>>;

/// Compresses `source` while `consume` reads the result, which has a digest once it was read to
/// its end.
pub(crate) fn compressed<T>(
    source: &mut (dyn Read + Send),
    threads: usize,
    consume: impl FnOnce(&mut Compressed) -> T,
) -> T {
    let threads = threads.max(1);
    // The order of the results, and the work; both bounded, so that a slow network holds up the
    // reading and memory does not grow.
    let (order, results) = sync_channel::<Receiver<Piece>>(threads * 2);
    let (work, queue) = sync_channel::<(Vec<u8>, SyncSender<Piece>)>(threads);
    let queue = Arc::new(Mutex::new(queue));
    thread::scope(|scope| {
        scope.spawn(move || cut(source, &order, &work));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            scope.spawn(move || press(&queue));
        }
        let mut stream = Compressed {
            results,
            current: Vec::new(),
            at: 0,
            ended: false,
            hasher: Sha256::new(),
        };
        let value = consume(&mut stream);
        // Before the threads are waited for: nobody may go on for a reader that left.
        drop(stream);
        value
    })
}

/// Cuts the source; ends when it does, or when nobody wants more.
fn cut(
    source: &mut dyn Read,
    order: &SyncSender<Receiver<Piece>>,
    work: &SyncSender<(Vec<u8>, SyncSender<Piece>)>,
) {
    let mut first = true;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = source.take(PIECE as u64).read_to_end(&mut piece);
        let (answer, result) = sync_channel(1);
        if order.send(result).is_err() {
            return;
        }
        match read {
            // An empty source still is one (empty) member; an empty result is the end.
            Ok(0) if !first => {
                let _gone = answer.send(Ok(Vec::new()));
                return;
            }
            Ok(_) => {
                if work.send((piece, answer)).is_err() {
                    return;
                }
            }
            Err(error) => {
                // The reader may be gone, and then needs no answer.
                let _gone = answer.send(Err(error));
                return;
            }
        }
        first = false;
    }
}

fn press(queue: &Mutex<Receiver<(Vec<u8>, SyncSender<Piece>)>>) {
    let level = CompressionLvl::new(LEVEL).expect("the level is one of libdeflate's");
    let mut compressor = Compressor::new(level);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((piece, answer)) = next else { return };
        let mut out = vec![0; compressor.gzip_compress_bound(piece.len())];
        let result = match compressor.gzip_compress(&piece, &mut out) {
            Ok(length) => {
                out.truncate(length);
                Ok(out)
            }
            Err(error) => Err(io::Error::other(error)),
        };
        // The reader may be gone, and then needs no answer.
        let _gone = answer.send(result);
    }
}

/// The compressed stream.
#[derive(Debug)]
pub(crate) struct Compressed {
    results: Receiver<Receiver<Piece>>,
    current: Vec<u8>,
    at: usize,
    ended: bool,
    hasher: Sha256,
}

impl Compressed {
    /// Digest of what was read.
    pub(crate) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }
}

impl Read for Compressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() && !self.ended {
            // Silence is a thread that died, never the end.
            let lost = || io::Error::other("a compressing thread ended too early");
            let result = self.results.recv().map_err(|_| lost())?;
            self.current = result.recv().map_err(|_| lost())??;
            self.ended = self.current.is_empty();
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
    use flate2::read::MultiGzDecoder;

    fn press_all(bytes: &[u8], threads: usize) -> (Vec<u8>, Digest) {
        let mut source = bytes;
        compressed(&mut source, threads, |stream| {
            let mut out = Vec::new();
            stream.read_to_end(&mut out).unwrap();
            (out, stream.digest())
        })
    }

    #[test]
    fn it_comes_back_and_is_the_same_on_any_number_of_threads() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7] {
            let bytes: Vec<u8> = (0..length)
                .map(|i| u8::try_from((i * i / 7) % 251).unwrap())
                .collect();
            let (one, digest) = press_all(&bytes, 1);
            assert_eq!(press_all(&bytes, 4), (one.clone(), digest), "{length}");
            let mut back = Vec::new();
            MultiGzDecoder::new(&one[..])
                .read_to_end(&mut back)
                .unwrap();
            assert!(back == bytes, "{length}");
            assert_eq!(digest, crate::images::document::digest(&one));
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
        let error = compressed(&mut Broken(100), 2, |s| io::copy(s, &mut io::sink())).unwrap_err();
        assert_eq!(error.to_string(), "disk on fire");
        compressed(&mut Broken(usize::MAX), 2, |s| s.read_exact(&mut [0; 10])).unwrap();
    }
}
