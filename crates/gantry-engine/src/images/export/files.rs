//! The files of a build rather than its image: in a folder, or as one archive.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufReader, BufWriter, PipeReader, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gantry_model::Digest;
use gantry_store::Limits;
use gantry_store::pack;
use gantry_store::tar::Writer;
use gantry_store::unpack::{self, Owners};
use gantry_sys::path::Directory;
use rustix::fs::FileType;

use super::retime::{self, Times};
use super::stated::FileStatements;
use crate::containers::view;
use crate::images::{ImageError, Images};

const BUFFER: usize = 256 << 10;

/// What becomes of files that a folder has and the build did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FolderMode {
    /// They stay.
    #[default]
    Copy,
    /// They are removed.
    Delete,
}

/// The files of one platform that leave.
#[derive(Debug, Clone, Default)]
pub struct FilesPart<'l> {
    /// The folder that they have where they go; none without a name.
    pub folder: PathBuf,
    /// The layers that have them, base first.
    pub layers: &'l [Digest],
    /// What is said of them, in files beside them.
    pub said: FileStatements,
}

impl Images<'_> {
    /// Writes the files of several platforms as one tar. With `time`, in seconds since 1970, all
    /// of them are of that time.
    ///
    /// # Errors
    /// The store's, when the archive cannot be written, and [`ImageError::Form`] where a statement
    /// has the name of a file.
    pub fn files_to_archive(
        &self,
        parts: &[FilesPart<'_>],
        time: Option<i64>,
        out: &mut (dyn Write + Send),
    ) -> Result<(), ImageError> {
        if let ([part], None) = (parts, time)
            && part.folder.as_os_str().is_empty()
            && part.said.attestations.is_empty()
        {
            return self.pack_files(part.layers, out);
        }
        let stated = parts
            .iter()
            .map(|part| self.stated(part.layers, &part.said, time))
            .collect::<Result<Vec<_>, _>>()?;
        let failed = ImageError::stream("write an archive");
        let times = time.map_or(Times::Kept, Times::All);
        let mut writer = Writer::new(BufWriter::with_capacity(BUFFER, out));
        for (part, stated) in parts.iter().zip(&stated) {
            self.packed(part.layers, |archive| {
                let folder = part.folder.as_os_str().as_bytes();
                retime::copy(archive, &mut writer, times, folder, stated).map(drop)
            })?;
        }
        let finished = writer.finish().map_err(io::Error::other);
        finished.and_then(|mut out| out.flush()).map_err(failed)
    }

    /// Writes the files of a platform into a folder, which is made; `part.folder` is not part of
    /// its path. They are the caller's. Links of the folder are not followed out of it.
    ///
    /// # Errors
    /// The store's, when something cannot be written, and [`ImageError::Form`] where a statement
    /// has the name of a file.
    pub fn files_to_folder(
        &self,
        part: &FilesPart<'_>,
        time: Option<i64>,
        folder: &Path,
        mode: FolderMode,
    ) -> Result<(), ImageError> {
        let failed = |action: &'static str| {
            move |source| ImageError::File {
                action,
                path: folder.to_owned(),
                source,
            }
        };
        let stated = self.stated(part.layers, &part.said, time)?;
        fs::create_dir_all(folder).map_err(failed("make"))?;
        let root = Directory::open(folder).map_err(failed("open"))?;
        let mut kept = None;
        self.packed(part.layers, |archive| {
            let (reader, writer) = io::pipe()?;
            let options = unpack::Options {
                whiteouts: None,
                owners: Owners::Caller,
                limits: Limits::default().of_any_size(),
            };
            let times = time.map_or(Times::Kept, Times::All);
            std::thread::scope(|scope| {
                let noted = scope.spawn(|| retime::rewrite(archive, writer, times, &stated));
                let reader = BufReader::with_capacity(BUFFER, reader);
                let unpacked = unpack::into_directory(root.as_fd(), reader, &options);
                let noted = noted
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("the thread that reads ended")));
                unpacked.map_err(io::Error::other)?;
                kept = Some(noted?);
                Ok(())
            })
        })?;
        match (mode, kept) {
            (FolderMode::Delete, Some(kept)) => sweep(&root, b"", &kept).map_err(failed("clear")),
            _ => Ok(()),
        }
    }

    /// Packs the files while `read` reads the archive.
    fn packed(
        &self,
        layers: &[Digest],
        read: impl FnOnce(PipeReader) -> io::Result<()>,
    ) -> Result<(), ImageError> {
        let failed = ImageError::stream("pass files on");
        let (reader, writer) = io::pipe().map_err(failed)?;
        std::thread::scope(|scope| {
            let packing = scope.spawn(move || self.pack_files(layers, &mut { writer }));
            let done = read(reader).map_err(ImageError::stream("write the files of the build"));
            match packing.join() {
                // Where both failed, the reader's failure is the cause of the other.
                Ok(packed) => done.and(packed),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn pack_files(
        &self,
        layers: &[Digest],
        out: &mut (dyn Write + Send),
    ) -> Result<(), ImageError> {
        let failed = ImageError::stream("look at the files of the build");
        let lowers = self.store()?.layers().lowers(layers)?;
        let root = view::image_root(lowers.into()).map_err(failed)?;
        let mut out = BufWriter::with_capacity(BUFFER, out);
        let Some(root) = root else {
            let finished = Writer::new(out).finish().map_err(io::Error::other);
            return finished
                .map(drop)
                .map_err(ImageError::stream("write an archive"));
        };
        let packed = pack::directory(root.as_fd(), &mut out, pack::Options::default());
        packed.map_err(|source| ImageError::Pack {
            diff_id: layers
                .last()
                .copied()
                .unwrap_or_else(|| crate::images::document::digest(b"")),
            source,
        })?;
        out.flush().map_err(ImageError::stream("write an archive"))
    }
}

/// Removes what is below `directory` and not kept.
fn sweep(directory: &Directory, path: &[u8], kept: &HashSet<Vec<u8>>) -> io::Result<()> {
    for entry in directory.entries()? {
        let name: &OsStr = entry.name.as_ref();
        let mut below = path.to_vec();
        if !below.is_empty() {
            below.push(b'/');
        }
        below.extend_from_slice(name.as_bytes());
        if !kept.contains(&below) {
            directory.remove_all(name)?;
        } else if FileType::from_raw_mode(directory.status_of(name)?.st_mode) == FileType::Directory
        {
            sweep(&directory.directory_beneath(name)?, &below, kept)?;
        }
    }
    Ok(())
}
