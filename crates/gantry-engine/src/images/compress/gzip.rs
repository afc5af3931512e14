//! gzip members (RFC 1952), one of each piece.

use std::io;

use libdeflater::{CompressionLvl, Compressor};

/// The level where none is asked for: results are as large as those of zlib's level 6, which
/// other tools push with. The result's digest depends on it, as on all that follows.
const LEVEL: i32 = 4;
/// Where none is asked for, pieces of this length and more are looked at first.
const LARGE: usize = 64 << 10;
/// So many parts of a piece are looked at, evenly spread, …
const SAMPLES: usize = 4;
/// … each so long.
const SAMPLE: usize = 4 << 10;

/// Compresses pieces.
pub(super) struct Gzip {
    compressor: Box<Compressor>,
    /// Where no level was asked for.
    glance: Option<Glance>,
}

impl Gzip {
    pub(super) fn new(level: Option<i32>) -> Self {
        Self {
            compressor: compressor(level.unwrap_or(LEVEL)),
            glance: level.is_none().then(Glance::new),
        }
    }

    pub(super) fn member(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        let mut compressor = &mut self.compressor;
        if let Some(glance) = &mut self.glance
            && glance.says_dense(piece)?
        {
            compressor = &mut glance.store;
        }
        let mut out = vec![0; compressor.gzip_compress_bound(piece.len())];
        let length = compressor
            .gzip_compress(piece, &mut out)
            .map_err(io::Error::other)?;
        out.truncate(length);
        Ok(out)
    }
}

/// What is compressed already, as pictures, archives and packages are, is stored as it is: no
/// level takes longer over anything than over what it cannot make smaller.
struct Glance {
    quick: Box<Compressor>,
    store: Box<Compressor>,
    out: Vec<u8>,
}

impl Glance {
    fn new() -> Self {
        let mut quick = compressor(1);
        let out = vec![0; quick.deflate_compress_bound(SAMPLE)];
        Self {
            quick,
            store: compressor(0),
            out,
        }
    }

    /// Whether none of the samples gets noticeably smaller.
    fn says_dense(&mut self, piece: &[u8]) -> io::Result<bool> {
        if piece.len() < LARGE {
            return Ok(false);
        }
        for part in piece.chunks_exact(piece.len() / SAMPLES) {
            let length = self
                .quick
                .deflate_compress(&part[..SAMPLE], &mut self.out)
                .map_err(io::Error::other)?;
            if length < SAMPLE - SAMPLE / 32 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn compressor(level: i32) -> Box<Compressor> {
    Box::new(Compressor::new(
        CompressionLvl::new(level).unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    const PIECE: usize = 1 << 20;

    /// Bytes in which nothing recurs.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(length)
        .collect()
    }

    fn member(piece: &[u8], level: Option<i32>) -> Vec<u8> {
        let member = Gzip::new(level).member(piece).unwrap();
        let mut back = Vec::new();
        gantry_store::compression::Decoder::new(&member[..], None)
            .unwrap()
            .read_to_end(&mut back)
            .unwrap();
        assert!(back == piece);
        member
    }

    #[test]
    fn what_does_not_get_smaller_is_stored() {
        let piece = noise(PIECE);
        let stored = member(&piece, None);
        // Of a block of RFC 1951 that is stored, the content is there as it is.
        assert!(stored.windows(200).any(|part| part == &piece[..200]));
        assert!(stored.len() < PIECE + PIECE / 1000, "{}", stored.len());
    }

    #[test]
    fn a_piece_of_which_a_part_gets_smaller_is_compressed() {
        let mut piece = noise(PIECE);
        piece[PIECE / 2..].fill(b'a');
        assert!(member(&piece, None).len() < PIECE * 6 / 10);
        let words = b"words ".repeat(PIECE / 6);
        assert!(member(&words, None).len() < PIECE / 50);
    }

    #[test]
    fn a_level_that_was_asked_for_is_kept_to() {
        // Nothing in the samples recurs; between them all does.
        let mut piece = noise(PIECE);
        for part in piece.chunks_exact_mut(PIECE / SAMPLES) {
            part[SAMPLE..].fill(b'a');
        }
        assert!(member(&piece, Some(LEVEL)).len() < PIECE / 10);
        assert!(member(&piece, None).len() > PIECE);
    }
}
