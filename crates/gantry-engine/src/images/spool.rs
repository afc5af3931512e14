//! An archive as something that can be read at any place.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use gantry_model::media_type::Compression;
use gantry_store::Limits;
use gantry_store::compression::{Bounded, exceeded};
use rustix::fs::{Mode, OFlags};

use super::archive::ArchiveError;

/// What is read ahead to recognise the kind of a stream.
const HEAD: usize = 6;

/// A plain file with the archive: the one that was given, or a nameless copy below `folder`
/// where that is compressed or comes through a pipe.
pub(crate) fn seekable(input: File, folder: &Path, limits: &Limits) -> Result<File, ArchiveError> {
    let read = |source| ArchiveError::Read { source };
    let kind = input.metadata().map_err(read)?.file_type();
    let regular = kind.is_file() || kind.is_block_device();
    let mut head = [0; HEAD];
    let length = if regular {
        input.read_at(&mut head, 0).map_err(read)?
    } else {
        fill(&mut &input, &mut head).map_err(read)?
    };
    let head = &head[..length];
    if head.is_empty() {
        return Err(ArchiveError::Empty);
    }
    if let Some(name) = unsupported(head) {
        return Err(ArchiveError::Compression { name });
    }
    let compression = Compression::sniff(head);
    if regular && compression == Compression::None {
        return Ok(input);
    }
    let source: Box<dyn Read> = if regular {
        Box::new(FromStart {
            file: input,
            offset: 0,
        })
    } else {
        Box::new(io::Cursor::new(head.to_vec()).chain(input))
    };
    let copy = nameless(folder)?;
    spool(source, limits, &copy)?;
    Ok(copy)
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn unsupported(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        _ => None,
    }
}

/// A file without a name on the store's file system: it goes with its descriptor.
pub(crate) fn nameless(folder: &Path) -> Result<File, ArchiveError> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(descriptor) => Ok(File::from(descriptor)),
        Err(errno) => Err(ArchiveError::Spool {
            source: errno.into(),
        }),
    }
}

fn spool(source: Box<dyn Read>, limits: &Limits, copy: &File) -> Result<(), ArchiveError> {
    let read = |source| match exceeded(&source) {
        Some((what, limit)) => ArchiveError::Limit { what, limit },
        None => ArchiveError::Read { source },
    };
    // It may hold many layers, each of which is bounded when it is unpacked.
    let limits = Limits {
        tar_bytes: u64::MAX,
        ..limits.clone()
    };
    let mut plain = Bounded::new(source, &limits).map_err(read)?;
    let mut out = BufWriter::with_capacity(256 << 10, copy);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read(error)),
        };
        out.write_all(&buffer[..length])
            .map_err(|source| ArchiveError::Spool { source })?;
    }
    out.flush().map_err(|source| ArchiveError::Spool { source })
}

/// A file from its beginning, wherever its own position is.
struct FromStart {
    file: File,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn whole(file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        FromStart {
            file: file.try_clone().unwrap(),
            offset: 0,
        }
        .read_to_end(&mut bytes)
        .unwrap();
        bytes
    }

    #[test]
    fn whatever_comes_can_be_read_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let plain = b"some archive, some archive, some archive".repeat(1000);
        let mut gzip = Vec::new();
        flate2::bufread::GzEncoder::new(&plain[..], flate2::Compression::fast())
            .read_to_end(&mut gzip)
            .unwrap();
        let zstd = zstd::stream::encode_all(&plain[..], 1).unwrap();
        for bytes in [&plain, &gzip, &zstd] {
            assert!(
                whole(&seekable(file(bytes), folder.path(), &Limits::default()).unwrap()) == plain
            );
            let (reader, mut writer) = io::pipe().unwrap();
            let sent = bytes.clone();
            let thread = std::thread::spawn(move || writer.write_all(&sent));
            let input = File::from(std::os::fd::OwnedFd::from(reader));
            assert!(whole(&seekable(input, folder.path(), &Limits::default()).unwrap()) == plain);
            thread.join().unwrap().unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_grows_beyond_belief_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let plain = vec![0; 4 << 20];
        let mut gzip = Vec::new();
        flate2::bufread::GzEncoder::new(&plain[..], flate2::Compression::best())
            .read_to_end(&mut gzip)
            .unwrap();
        let limits = Limits {
            ratio_floor: 1 << 20,
            ..Limits::default()
        };
        let error = seekable(file(&gzip), folder.path(), &limits).unwrap_err();
        assert!(
            matches!(error, ArchiveError::Limit { limit: 250, .. }),
            "{error:?}"
        );
        let hints = gantry_model::Fault::hints(&error);
        assert!(hints[0].contains("compression-ratio"), "{hints:?}");
        seekable(file(&gzip), folder.path(), &Limits::default()).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let said = |bytes: &[u8]| {
            seekable(file(bytes), folder.path(), &Limits::default())
                .unwrap_err()
                .to_string()
        };
        assert!(said(b"\xfd7zXZ\0xxxx").contains("xz"));
        assert!(said(b"BZh91AY").contains("bzip2"));
        assert!(said(b"").contains("empty"));
        assert!(said(b"\x1f\x8b\x08\x00junk").contains("cannot read"));
    }
}
