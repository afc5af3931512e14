//! Maps of sparse files: old GNU headers, and PAX formats 0.0, 0.1 and 1.0.

use super::entry::{Fragment, SparseMap};
use super::error::ReadErrorKind;
use super::number;
use crate::limits::Limit;

/// Makes a map of offsets and lengths in turn; refuses what goes backwards, overlaps, leaves
/// the file, or does not account for exactly the data that the archive has.
pub(super) fn map(
    numbers: &[u64],
    real_size: u64,
    data_size: u64,
    limit: usize,
) -> Result<SparseMap, ReadErrorKind> {
    if !numbers.len().is_multiple_of(2) {
        return Err(ReadErrorKind::Sparse);
    }
    if numbers.len() / 2 > limit {
        return Err(ReadErrorKind::TooMuch {
            what: Limit::SparseFragments,
            limit: limit as u64,
        });
    }
    let mut fragments = Vec::new();
    let mut end = 0_u64;
    let mut data = 0_u64;
    for pair in numbers.chunks_exact(2) {
        let fragment = Fragment {
            offset: pair[0],
            length: pair[1],
        };
        let next = fragment
            .offset
            .checked_add(fragment.length)
            .ok_or(ReadErrorKind::Sparse)?;
        if fragment.offset < end || next > real_size {
            return Err(ReadErrorKind::Sparse);
        }
        end = next;
        data += fragment.length;
        // An empty fragment at the end marks the size.
        if fragment.length > 0 {
            fragments.push(fragment);
        }
    }
    if data != data_size {
        return Err(ReadErrorKind::Sparse);
    }
    Ok(SparseMap { fragments })
}

/// Reads (offset, length) pairs of 24 bytes of an old GNU header up to the first empty one.
pub(super) fn gnu_pairs(area: &[u8], numbers: &mut Vec<u64>) -> Result<(), ReadErrorKind> {
    for pair in area.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        for field in [&pair[..12], &pair[12..]] {
            let value = number::parse(field).and_then(|value| u64::try_from(value).ok());
            numbers.push(value.ok_or(ReadErrorKind::Sparse)?);
        }
    }
    Ok(())
}

/// Reads the map at the start of the data of format 1.0, block by block.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    line: Vec<u8>,
    expected: Option<u64>,
    pub(super) numbers: Vec<u64>,
}

impl MapReader {
    /// Takes a block in; says whether the map is complete.
    pub(super) fn take(&mut self, block: &[u8], limit: usize) -> Result<bool, ReadErrorKind> {
        for &byte in block {
            if byte != b'\n' {
                if self.line.len() >= 20 {
                    return Err(ReadErrorKind::Sparse);
                }
                self.line.push(byte);
                continue;
            }
            let value = super::pax::decimal(&self.line).map_err(|_| ReadErrorKind::Sparse)?;
            self.line.clear();
            match self.expected {
                None if value > limit as u64 => {
                    return Err(ReadErrorKind::TooMuch {
                        what: Limit::SparseFragments,
                        limit: limit as u64,
                    });
                }
                None => self.expected = Some(value * 2),
                Some(_) => self.numbers.push(value),
            }
            if self.expected == Some(self.numbers.len() as u64) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
