//! The header of a package: an index of tags, and the data that it points into ("Header Structure"
//! of the format of rpm packages, version 4), all numbers big-endian.

use super::super::packages::{Package, Rpm};

/// Most tags of a header, as rpm has it.
const MOST: usize = 0xffff;
/// Bytes of an entry of the index: tag, type, offset and count.
const ENTRY: usize = 16;

const NAME: usize = 1000;
const VERSION: usize = 1001;
const RELEASE: usize = 1002;
const EPOCH: usize = 1003;
const VENDOR: usize = 1011;
const LICENSE: usize = 1014;
const ARCHITECTURE: usize = 1022;
const SOURCE: usize = 1044;

/// The type of one 32-bit number or more.
const INT32: usize = 4;
/// The types of texts that end in a zero: one, several, one for each language.
const TEXTS: [usize; 3] = [6, 8, 9];

/// A header that says what cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// A header as it lies in a database.
#[derive(Debug)]
pub(super) struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

fn number(bytes: &[u8], at: usize) -> Result<usize, Damaged> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
    let number = u32::from_be_bytes(*four.ok_or(Damaged)?);
    usize::try_from(number).map_err(|_| Damaged)
}

impl<'a> Header<'a> {
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, Damaged> {
        let (entries, length) = (number(blob, 0)?, number(blob, 4)?);
        if entries > MOST {
            return Err(Damaged);
        }
        let (_, rest) = blob.split_at_checked(8).ok_or(Damaged)?;
        let (index, rest) = rest.split_at_checked(entries * ENTRY).ok_or(Damaged)?;
        let data = rest.get(..length).ok_or(Damaged)?;
        Ok(Self { index, data })
    }

    /// The type of a tag, and the data from its beginning on.
    fn find(&self, tag: usize) -> Result<Option<(usize, &'a [u8])>, Damaged> {
        for entry in self.index.chunks_exact(ENTRY) {
            if number(entry, 0)? == tag {
                let data = self.data.get(number(entry, 8)?..).ok_or(Damaged)?;
                return Ok(Some((number(entry, 4)?, data)));
            }
        }
        Ok(None)
    }

    fn text(&self, tag: usize) -> Result<Option<String>, Damaged> {
        let Some((kind, data)) = self.find(tag)? else {
            return Ok(None);
        };
        let end = data.iter().position(|byte| *byte == 0).ok_or(Damaged)?;
        if !TEXTS.contains(&kind) {
            return Err(Damaged);
        }
        let text = String::from_utf8_lossy(&data[..end]).into_owned();
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    pub(super) fn package(&self) -> Result<Package, Damaged> {
        let needed = |tag| self.text(tag)?.ok_or(Damaged);
        let epoch = match self.find(EPOCH)? {
            Some((INT32, data)) => Some(number(data, 0)?),
            Some(_) => return Err(Damaged),
            None => None,
        };
        let rpm = Rpm {
            epoch,
            vendor: self.text(VENDOR)?,
            license: self.text(LICENSE)?,
            source: self.text(SOURCE)?,
        };
        Ok(Package::of_rpm(
            needed(NAME)?,
            format!("{}-{}", needed(VERSION)?, needed(RELEASE)?),
            self.text(ARCHITECTURE)?.unwrap_or_default(),
            rpm,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn package(blob: &[u8]) -> Result<Package, Damaged> {
        Header::parse(blob)?.package()
    }

    #[test]
    fn a_header_tells_its_package() {
        let bash = package(&sample::header(&sample::BASH)).unwrap();
        assert_eq!((&*bash.name, &*bash.version), ("bash", "5.2-1"));
        let rpm = bash.rpm.unwrap();
        assert_eq!(rpm.license.as_deref(), Some("GPL-3.0-or-later"));
        assert_eq!(rpm.vendor.as_deref(), Some("Nobody"));
        assert_eq!(rpm.epoch, None);
        let tool = package(&sample::header(&sample::TOOL)).unwrap();
        assert_eq!(tool.rpm.unwrap().epoch, Some(3));
    }

    #[test]
    fn no_part_of_a_header_is_a_header() {
        let whole = sample::header(&sample::TOOL);
        for end in 0..whole.len() {
            assert_eq!(package(&whole[..end]).err(), Some(Damaged), "{end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut blob = whole.clone();
                blob[at] ^= 1 << bit;
                // A name may be another one, but what is told is told from inside the blob.
                if let Ok(package) = package(&blob) {
                    assert!(package.name.len() + package.version.len() < 2 * blob.len());
                }
            }
        }
        for (reason, change) in [
            ("more entries than bytes", (0, [0, 0, 0xff, 0xff])),
            ("more entries than rpm has", (0, [0xff; 4])),
            ("more data than bytes", (4, [0xff; 4])),
            ("a name of another type", (8 + 4, [0, 0, 0, 4])),
            ("a name outside of the data", (8 + 8, [0x7f; 4])),
        ] {
            let mut blob = whole.clone();
            blob[change.0..change.0 + 4].copy_from_slice(&change.1);
            assert_eq!(package(&blob).err(), Some(Damaged), "{reason}");
        }
    }
}
