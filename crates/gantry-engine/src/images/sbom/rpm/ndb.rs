//! `Packages.db`: pages of slots, each of which points to the blocks of a header. All numbers are
//! little-endian (`rpmpkg.c` of rpm).

use super::{Heap, Unread, number};

const PAGE: usize = 4096;
/// Bytes of a slot (magic, number of the package, first block, count of blocks) and of a block.
const UNIT: usize = 16;
/// Bytes of the header of the file, which lies where the first slots would.
const START: usize = 32;
/// Bytes behind a header and its padding: checksum, length, magic.
const TAIL: usize = 12;

/// Reads the headers of a whole file.
pub(super) fn read(bytes: &[u8], heap: &mut Heap) -> Result<(), Unread> {
    if !bytes.starts_with(b"RpmP") || number(bytes, 4) != Some(0) {
        return Err(Unread::Damaged("it does not begin as a Packages.db does"));
    }
    let end = number(bytes, 12).and_then(|pages| pages.checked_mul(PAGE));
    let slots = end.and_then(|end| bytes.get(START..end));
    let slots = slots.ok_or(Unread::Damaged("it ends within its slots"))?;
    for slot in slots.chunks_exact(UNIT) {
        if !slot.starts_with(b"Slot") {
            return Err(Unread::Damaged("a slot of it is none"));
        }
        // A slot without blocks is free.
        if number(slot, 8) != Some(0) {
            let outside = Unread::Damaged("a slot of it points to no header");
            heap.add(blob(bytes, slot).ok_or(outside)?)?;
        }
    }
    Ok(())
}

/// The header that a slot points to.
fn blob<'a>(bytes: &'a [u8], slot: &[u8]) -> Option<&'a [u8]> {
    let (first, count) = (number(slot, 8)?, number(slot, 12)?);
    let rest = bytes.get(first.checked_mul(UNIT)?..)?;
    let blocks = rest.get(..count.checked_mul(UNIT)?)?;
    let length = number(blocks, 12)?;
    let (body, tail) = blocks.split_at_checked(blocks.len().checked_sub(TAIL)?)?;
    let is_whole = body.starts_with(b"BlbS")
        && body.get(4..8) == slot.get(4..8)
        && tail.ends_with(b"BlbE")
        && number(tail, 4) == Some(length);
    body.get(UNIT..)?.get(..length).filter(|_| is_whole)
}
