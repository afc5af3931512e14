//! `Packages`: a hash of Berkeley DB, from a number to a header. Numbers are in the order of the
//! machine that wrote it; those of big-endian machines are refused.

use super::{Heap, Unread, number};

const MAGIC: usize = 0x0006_1561;
/// What it looks like from a machine of the other order.
const SWAPPED: usize = 0x6115_0600;
/// Bytes of the first page that are read, and of the head of the others.
const META: usize = 512;
const HEAD: usize = 26;
/// Types of pages: of hashes in no order, of longer values, of hashes in order.
const HASH: u8 = 2;
const OVERFLOW: u8 = 7;
const SORTED: u8 = 13;
/// Types of values: here, and on pages of their own.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;

/// Reads the headers of a whole file.
pub(super) fn read(bytes: &[u8], heap: &mut Heap) -> Result<(), Unread> {
    if number(bytes, 12) == Some(SWAPPED) {
        return Err(Unread::Damaged("it was written on a big-endian machine"));
    }
    let version = number(bytes, 16);
    if number(bytes, 12) != Some(MAGIC) || !(8..=10).contains(&version.unwrap_or_default()) {
        return Err(Unread::Damaged("it is no hash of Berkeley DB"));
    }
    let size = number(bytes, 20).filter(|size| (META..=65536).contains(size));
    let size = size.ok_or(Unread::Damaged("its pages have a size that cannot be"))?;
    let last = number(bytes, 32).unwrap_or(usize::MAX);
    let file = Pages { bytes, size };
    if bytes.len() / size <= last {
        return Err(Unread::Damaged("it ends before its last page"));
    }
    for page in (1..=last).filter_map(|page| file.page(page)) {
        if [HASH, SORTED].contains(&page[25]) {
            file.pairs(page, heap)
                .ok_or(Unread::Damaged("a page of it is damaged"))??;
        }
    }
    Ok(())
}

/// A file of pages of one size.
struct Pages<'a> {
    bytes: &'a [u8],
    size: usize,
}

fn short(page: &[u8], at: usize) -> Option<usize> {
    let two = page.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_le_bytes(*two)))
}

impl<'a> Pages<'a> {
    fn page(&self, page: usize) -> Option<&'a [u8]> {
        let rest = self.bytes.get(page.checked_mul(self.size)?..)?;
        rest.get(..self.size)
    }

    /// Adds the values of a page; nothing where it says what cannot be.
    fn pairs(&self, page: &[u8], heap: &mut Heap) -> Option<Result<(), Unread>> {
        let count = short(page, 20)?;
        // Keys and values take turns, from the end of the page on.
        let mut end = self.size;
        let mut key: Option<&[u8]> = None;
        for at in 0..count {
            let start = short(page, HEAD + 2 * at)?;
            let item = page.get(start..end)?;
            end = start;
            let Some(key) = key.replace(item).filter(|_| at % 2 == 1) else {
                continue;
            };
            // The value of zero is the highest number.
            if key.get(1..)? == [0; 4] {
                continue;
            }
            let added = match *item.first()? {
                HERE => heap.add(item.get(1..)?),
                ELSEWHERE => heap.add(&self.chain(number(item, 4)?, number(item, 8)?)?),
                _ => return None,
            };
            if added.is_err() {
                return Some(added);
            }
        }
        Some(Ok(()))
    }

    /// A value of `length` bytes on pages of its own, from `page` on.
    fn chain(&self, mut page: usize, length: usize) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        while value.len() < length {
            let bytes = self.page(page)?;
            let here = short(bytes, 22).filter(|here| *here > 0 && bytes[25] == OVERFLOW)?;
            value.extend_from_slice(bytes.get(HEAD..)?.get(..here)?);
            page = number(bytes, 16)?;
            // A chain that runs in a circle has more than the file.
            if value.len() > self.bytes.len() {
                return None;
            }
        }
        (value.len() == length).then_some(value)
    }
}
