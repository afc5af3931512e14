//! The 512-byte header block.

use super::BLOCK;
use super::error::ReadErrorKind;
use super::number;

/// A header block with a right checksum.
#[derive(Debug, Clone)]
pub(super) struct Header {
    block: [u8; BLOCK],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}

impl Header {
    pub(super) fn parse(block: [u8; BLOCK]) -> Result<Self, ReadErrorKind> {
        let header = Self { block };
        let stated = number::parse(&header.block[148..156]).ok_or(ReadErrorKind::Checksum)?;
        let (unsigned, signed) = checksums(&header.block);
        if stated != unsigned && stated != signed {
            return Err(ReadErrorKind::Checksum);
        }
        Ok(header)
    }

    fn format(&self) -> Format {
        match &self.block[257..265] {
            b"ustar  \0" => Format::Gnu,
            magic if magic.starts_with(b"ustar\0") => {
                if &self.block[508..512] == b"tar\0" {
                    Format::Star
                } else {
                    Format::Ustar
                }
            }
            _ => Format::V7,
        }
    }

    pub(super) fn typeflag(&self) -> u8 {
        self.block[156]
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix: &[u8] = match self.format() {
            Format::Ustar => text(&self.block[345..500]),
            Format::Star => text(&self.block[345..476]),
            Format::V7 | Format::Gnu => &[],
        };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(super) fn link(&self) -> &[u8] {
        text(&self.block[157..257])
    }

    fn number(&self, name: &'static str, at: usize, length: usize) -> Result<i64, ReadErrorKind> {
        number::parse(&self.block[at..at + length]).ok_or(ReadErrorKind::Number(name))
    }

    pub(super) fn mode(&self) -> Result<u32, ReadErrorKind> {
        let mode = self.number("mode", 100, 8)?;
        Ok(u32::try_from(mode & 0o7777).expect("twelve bits"))
    }

    pub(super) fn uid(&self) -> Result<i64, ReadErrorKind> {
        self.number("uid", 108, 8)
    }

    pub(super) fn gid(&self) -> Result<i64, ReadErrorKind> {
        self.number("gid", 116, 8)
    }

    pub(super) fn size(&self) -> Result<u64, ReadErrorKind> {
        u64::try_from(self.number("size", 124, 12)?).map_err(|_| ReadErrorKind::Range("size"))
    }

    pub(super) fn mtime(&self) -> Result<i64, ReadErrorKind> {
        self.number("mtime", 136, 12)
    }

    pub(super) fn device(&self) -> Result<(u32, u32), ReadErrorKind> {
        if self.format() == Format::V7 {
            return Ok((0, 0));
        }
        let number = |name, at| {
            u32::try_from(self.number(name, at, 8)?).map_err(|_| ReadErrorKind::Range(name))
        };
        Ok((number("devmajor", 329)?, number("devminor", 337)?))
    }

    /// The four (offset, length) pairs of an old GNU sparse header, and the real size.
    pub(super) fn gnu_sparse(&self) -> Result<(&[u8], bool, u64), ReadErrorKind> {
        let size = number::parse(&self.block[483..495])
            .and_then(|size| u64::try_from(size).ok())
            .ok_or(ReadErrorKind::Sparse)?;
        Ok((&self.block[386..482], self.block[482] != 0, size))
    }
}

/// The sum of all bytes, the checksum's own taken as spaces: as unsigned and as signed bytes
/// (which some old archivers computed).
fn checksums(block: &[u8; BLOCK]) -> (i64, i64) {
    let mut unsigned = 8 * i64::from(b' ');
    let mut signed = unsigned;
    for &byte in block[..148].iter().chain(&block[156..]) {
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    (unsigned, signed)
}

/// Fills in the checksum of a header that is otherwise complete.
pub(super) fn seal(block: &mut [u8; BLOCK]) {
    let (sum, _) = checksums(block);
    block[155] = b' ';
    let fits = number::write_octal(&mut block[148..155], sum.unsigned_abs());
    debug_assert!(fits, "504 bytes of 255 are less than 2^18");
}
