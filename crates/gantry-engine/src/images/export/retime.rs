//! Layers whose files are not newer than the time that a build was given.

use std::collections::HashSet;
use std::io::{self, BufReader, BufWriter, Read, Write};

use gantry_model::Digest;
use gantry_store::tar::{EntryKind, Reader, Timestamp, Writer};
use gantry_store::{Limits, Record, UnpackOptions};

use super::stated::Beside;
use crate::images::{ImageError, Images};

/// Records of layers that were brought to a time: layer and time → layer.
const KIND: &str = "layer-of-time";
const BUFFER: usize = 256 << 10;

impl Images<'_> {
    /// The same layers, base first, with no file newer than `epoch`, in seconds since 1970. The
    /// first `base` of them, which are those of a base image, stay as they are. With `remembered`
    /// it is noted what each became, so that it is not made again.
    ///
    /// # Errors
    /// The store's.
    pub fn retimed(
        &self,
        layers: &[Digest],
        base: usize,
        epoch: i64,
        remembered: bool,
    ) -> Result<Vec<Digest>, ImageError> {
        let mut retimed = layers.to_vec();
        for diff_id in retimed.iter_mut().skip(base) {
            *diff_id = self.layer_of_time(diff_id, epoch, remembered)?;
        }
        Ok(retimed)
    }

    fn layer_of_time(
        &self,
        diff_id: &Digest,
        epoch: i64,
        remembered: bool,
    ) -> Result<Digest, ImageError> {
        let store = self.store()?;
        let mut key = diff_id.as_bytes().to_vec();
        key.extend_from_slice(&epoch.to_le_bytes());
        if let Some(record) = store.records().find(KIND, &key)?
            && let [made] = record.layers[..]
        {
            return Ok(made);
        }
        let tar = store.layers().tar(diff_id)?;
        let failed = ImageError::stream("pass a layer on");
        let (reader, writer) = io::pipe().map_err(failed)?;
        let made = std::thread::scope(|scope| {
            let rewrite = scope.spawn(move || rewrite(tar, writer, Times::AtMost(epoch), &[]));
            let made = store.layers().unpack(
                BufReader::with_capacity(BUFFER, reader),
                &UnpackOptions::default(),
            );
            let rewritten = rewrite.join().unwrap_or_else(|_| {
                Err(io::Error::other("the thread that rewrites a layer ended"))
            });
            // Where both failed, the reader's failure is the cause of the other.
            let made = made.map_err(|source| ImageError::Unpack {
                layer: diff_id.to_string(),
                source,
            })?;
            rewritten.map_err(ImageError::stream("rewrite a layer"))?;
            Ok::<_, ImageError>(made.diff_id)
        })?;
        if !remembered {
            return Ok(made);
        }
        let mut record = Record::new(KIND, &key, made.as_bytes());
        record.layers = vec![made];
        store.records().put(&[record])?;
        Ok(made)
    }
}

/// What becomes of the times of files.
#[derive(Debug, Clone, Copy)]
pub(super) enum Times {
    /// They stay.
    Kept,
    /// Later ones become this one.
    AtMost(i64),
    /// All become this one.
    All(i64),
}

/// Writes an archive anew with other times and further files; gives the paths that are in it.
pub(super) fn rewrite(
    tar: impl Read,
    out: impl Write,
    times: Times,
    more: &[Beside],
) -> io::Result<HashSet<Vec<u8>>> {
    let mut writer = Writer::new(BufWriter::with_capacity(BUFFER, out));
    let paths = copy(tar, &mut writer, times, b"", more)?;
    writer.finish().map_err(io::Error::other)?.flush()?;
    Ok(paths)
}

/// Copies the entries of an archive with other times, and then further files, into a folder of the
/// other archive.
pub(super) fn copy<W: Write>(
    tar: impl Read,
    writer: &mut Writer<W>,
    times: Times,
    folder: &[u8],
    more: &[Beside],
) -> io::Result<HashSet<Vec<u8>>> {
    let at = |seconds| Timestamp {
        seconds,
        nanoseconds: 0,
    };
    let inside = |path: &mut Vec<u8>| {
        if !folder.is_empty() {
            *path = [folder, b"/", path].concat();
        }
    };
    let mut paths = HashSet::new();
    let limits = Limits::default().of_any_size();
    let mut reader = Reader::new(BufReader::with_capacity(BUFFER, tar), &limits);
    while let Some(mut entry) = reader.next_entry().map_err(io::Error::other)? {
        entry.mtime = match times {
            Times::Kept => entry.mtime,
            Times::AtMost(newest) => entry.mtime.min(at(newest)),
            Times::All(time) => at(time),
        };
        inside(&mut entry.path);
        if entry.kind == EntryKind::HardLink {
            inside(&mut entry.link);
        }
        writer
            .append(&entry, &mut reader)
            .map_err(io::Error::other)?;
        paths.insert(entry.path);
    }
    reader.drain().map_err(io::Error::other)?;
    for Beside { entry, content } in more {
        let mut entry = entry.clone();
        inside(&mut entry.path);
        writer
            .append(&entry, &mut content.as_slice())
            .map_err(io::Error::other)?;
        paths.insert(entry.path);
    }
    Ok(paths)
}
