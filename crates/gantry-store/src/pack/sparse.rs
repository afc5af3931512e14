//! Where the data of a file with holes is.
//!
//! The map depends on the content alone: blocks of 4 KiB that are all zero are holes, wherever
//! the file system happens to have allocated some. Only files that save a mebibyte by it are
//! written as sparse ones; everything else stays plain for the simplest readers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{self, SeekFrom, Stat};
use rustix::io::Errno;

use crate::tar::{Fragment, SparseMap};

const BLOCK: u64 = 4096;
const WORTH: u64 = 1 << 20;
/// More fragments than this are not worth a map, and some readers refuse it.
const MOST: usize = 8192;

/// The map of a file, if it is worth one.
pub(super) fn map(file: &File, status: &Stat) -> io::Result<Option<SparseMap>> {
    let size = status.st_size.unsigned_abs();
    let allocated = status.st_blocks.unsigned_abs() * 512;
    if size < allocated.saturating_add(WORTH) {
        return Ok(None);
    }
    let mut fragments = Vec::new();
    let mut offset = 0;
    while offset < size {
        let start = match fs::seek(file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = fs::seek(file, SeekFrom::Hole(start))?.min(size);
        scan(file, start / BLOCK * BLOCK, end, size, &mut fragments)?;
        if fragments.len() > MOST {
            return Ok(None);
        }
        offset = end.max(start + 1);
    }
    let map = SparseMap { fragments };
    Ok((size - map.data_size() >= WORTH).then_some(map))
}

/// Adds the blocks of a data extent that are not all zero.
fn scan(
    file: &File,
    mut offset: u64,
    end: u64,
    size: u64,
    fragments: &mut Vec<Fragment>,
) -> io::Result<()> {
    let mut block = [0; 4096];
    // An extent's first block may have been looked at as the last one of the extent before.
    if let Some(last) = fragments.last() {
        offset = offset.max((last.offset + last.length).next_multiple_of(BLOCK));
    }
    while offset < end {
        let want = usize::try_from((size - offset).min(BLOCK)).unwrap_or(block.len());
        file.read_exact_at(&mut block[..want], offset)?;
        if block[..want].iter().any(|&byte| byte != 0) {
            match fragments.last_mut() {
                Some(last) if last.offset + last.length == offset => last.length += want as u64,
                _ => fragments.push(Fragment {
                    offset,
                    length: want as u64,
                }),
            }
        }
        offset += BLOCK;
    }
    Ok(())
}
