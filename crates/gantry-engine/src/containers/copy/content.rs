//! The bytes of one file, moved by the kernel where it can.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;

use super::place::Found;

/// Bytes moved between two looks at the progress.
const STEP: u64 = 16 << 20;
/// Bytes moved at a time through this process.
const BUFFER: usize = 256 << 10;

/// Opens what was found, and nothing that may have taken its place since, for reading. It must
/// be a regular file.
pub(super) fn open(found: &Found) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", found.file.as_raw_fd()))
}

/// Copies a file of this status into an empty one, holes as holes; never more than it was long
/// when it was looked at, however fast somebody makes it longer.
pub(super) fn copy(
    from: &File,
    to: &File,
    status: &Stat,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let size = status.st_size.unsigned_abs();
    if size == 0 {
        return Ok(());
    }
    if gantry_sys::fd::reflink(from, to)? {
        progress(size);
        return Ok(());
    }
    let mut mover = Mover {
        from,
        to,
        by_kernel: true,
        buffer: Vec::new(),
    };
    if status.st_blocks.unsigned_abs() * 512 >= size {
        mover.run(0, size, progress)?;
        return Ok(());
    }
    let mut end = 0;
    while let Some((start, stop)) = next_data(from, end, size)? {
        progress(start - end);
        mover.run(start, stop, progress)?;
        end = stop;
    }
    progress(size - end);
    to.set_len(size)
}

/// The next run of data at or behind `offset`.
fn next_data(file: &File, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if offset >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) if start < size => start,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        // No holes on this file system.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => offset,
        Err(errno) => return Err(errno.into()),
    };
    let stop = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
        Ok(stop) => stop.min(size),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NXIO) => size,
        Err(errno) => return Err(errno.into()),
    };
    Ok(Some((start, stop)))
}

struct Mover<'a> {
    from: &'a File,
    to: &'a File,
    /// Whether the kernel can do it alone, as far as is known.
    by_kernel: bool,
    buffer: Vec<u8>,
}

impl Mover<'_> {
    /// Copies a range; a file that became shorter ends earlier.
    fn run(&mut self, start: u64, stop: u64, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        let mut offset = start;
        while offset < stop {
            let count = self.step(offset, (stop - offset).min(STEP))?;
            if count == 0 {
                break;
            }
            offset += count;
            progress(count);
        }
        Ok(())
    }

    fn step(&mut self, offset: u64, length: u64) -> io::Result<u64> {
        if self.by_kernel {
            let (mut from, mut to) = (offset, offset);
            let length = usize::try_from(length).unwrap_or(BUFFER);
            match rustix::fs::copy_file_range(
                self.from,
                Some(&mut from),
                self.to,
                Some(&mut to),
                length,
            ) {
                Ok(count) if count > 0 => return Ok(count as u64),
                Err(Errno::INTR) => return self.step(offset, length as u64),
                // Between two file systems, or of one that cannot; or the end, which some
                // file systems see too early: to be read and written once more.
                Ok(_)
                | Err(
                    Errno::XDEV
                    | Errno::INVAL
                    | Errno::OPNOTSUPP
                    | Errno::NOSYS
                    | Errno::PERM
                    | Errno::IO,
                ) => self.by_kernel = false,
                Err(errno) => return Err(errno.into()),
            }
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER];
        }
        let want = usize::try_from(length).map_or(BUFFER, |length| length.min(BUFFER));
        loop {
            match self.from.read_at(&mut self.buffer[..want], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let count = result?;
                    self.to.write_all_at(&self.buffer[..count], offset)?;
                    return Ok(count as u64);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::unix::fs::MetadataExt;

    fn copied(from: &mut File, by_kernel: bool) -> Vec<u8> {
        let mut to = tempfile::tempfile().unwrap();
        let status = rustix::fs::fstat(&*from).unwrap();
        let mut moved = 0;
        if by_kernel {
            copy(from, &to, &status, &mut |count| moved += count).unwrap();
        } else {
            let mut mover = Mover {
                from,
                to: &to,
                by_kernel: false,
                buffer: Vec::new(),
            };
            let size = status.st_size.unsigned_abs();
            mover.run(0, size, &mut |count| moved += count).unwrap();
        }
        assert_eq!(moved, status.st_size.unsigned_abs());
        to.rewind().unwrap();
        let mut bytes = Vec::new();
        to.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn content_is_copied_both_ways() {
        let mut from = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..900_000_u32)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        from.write_all(&bytes).unwrap();
        assert!(copied(&mut from, true) == bytes);
        assert!(copied(&mut from, false) == bytes);
    }

    #[test]
    fn holes_stay_holes() {
        let mut from = tempfile::tempfile().unwrap();
        from.write_all(b"head").unwrap();
        from.write_all_at(b"tail", 64 << 20).unwrap();
        from.set_len(128 << 20).unwrap();
        let to = tempfile::tempfile().unwrap();
        let status = rustix::fs::fstat(&from).unwrap();
        let mut moved = 0;
        copy(&from, &to, &status, &mut |count| moved += count).unwrap();
        assert_eq!(moved, 128 << 20);
        let metadata = to.metadata().unwrap();
        assert_eq!(metadata.len(), 128 << 20);
        assert!(metadata.blocks() * 512 < 2 << 20, "{}", metadata.blocks());
        let mut tail = [0; 4];
        to.read_exact_at(&mut tail, 64 << 20).unwrap();
        assert_eq!(&tail, b"tail");
    }

    #[test]
    fn no_more_than_was_looked_at() {
        let mut from = tempfile::tempfile().unwrap();
        from.write_all(b"12345").unwrap();
        let status = rustix::fs::fstat(&from).unwrap();
        from.write_all(b"678").unwrap();
        let to = tempfile::tempfile().unwrap();
        let mut mover = Mover {
            from: &from,
            to: &to,
            by_kernel: true,
            buffer: Vec::new(),
        };
        mover
            .run(0, status.st_size.unsigned_abs(), &mut |_| {})
            .unwrap();
        assert_eq!(to.metadata().unwrap().len(), 5);
    }
}
