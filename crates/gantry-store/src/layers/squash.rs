//! Several layers made one: what is left of them when each lies over the ones before.
//!
//! The archives of the layers are read twice: once for their headers, from which the plan says
//! which entries are seen in the end (see [`plan`]), and once for the contents of these. Owners,
//! times, attributes, sparse files and hard links are as the archives have them.

mod plan;

use std::io::{self, BufReader, BufWriter, Write};

use gantry_model::Digest;

use self::plan::Plan;
use super::{LayerInfo, Layers, UnpackOptions};
use crate::records::Record;
use crate::tar::{Entry, EntryKind, Reader, Writer};
use crate::unpack::UnpackError;

/// Records of squashed layers: the layers and what they lie over → layer.
const KIND: &str = "squashed-layers";
const BUFFER: usize = 256 << 10;

impl Layers<'_> {
    /// The layer that does what these do together, lowest first. `above` says whether it will lie
    /// over other layers: then it keeps what hides their files.
    ///
    /// The same layers always give the same one; it is remembered.
    ///
    /// # Errors
    /// [`UnpackError::Source`] when a layer cannot be read or its archive is of a kind that cannot
    /// be followed by its headers, [`UnpackError::Store`].
    pub fn squash(&self, layers: &[Digest], above: bool) -> Result<LayerInfo, UnpackError> {
        let mut key = vec![u8::from(above)];
        for diff_id in layers {
            key.extend_from_slice(diff_id.as_bytes());
        }
        if let Some(record) = self.store.records().find(KIND, &key)?
            && let [made] = record.layers[..]
        {
            return Ok(self.info(&made)?);
        }
        let source = |source| UnpackError::Source { source };
        let plan = self.plan(layers, above)?;
        let (reader, writer) = io::pipe().map_err(source)?;
        let made = std::thread::scope(|scope| {
            let write = scope.spawn(|| self.write(&plan, layers, writer));
            let reader = BufReader::with_capacity(BUFFER, reader);
            let made = self.unpack(reader, &UnpackOptions::default());
            let written = write.join().unwrap_or_else(|_| {
                Err(source(io::Error::other(
                    "the thread that squashes layers ended",
                )))
            });
            // A writer that failed is the cause of an archive that ends early; one that could
            // not write failed because of the reader.
            match (made, written) {
                (Ok(made), written) => written.map(|()| made),
                (Err(UnpackError::Archive { .. }), Err(cause)) => Err(cause),
                (Err(error), _) => Err(error),
            }
        })?;
        let mut record = Record::new(KIND, &key, made.diff_id.as_bytes());
        record.layers = vec![made.diff_id];
        self.store.records().put(&[record])?;
        Ok(made)
    }

    fn plan(&self, layers: &[Digest], above: bool) -> Result<Plan, UnpackError> {
        let mut plan = Plan::new(above);
        for diff_id in layers {
            let mut entries = Vec::new();
            self.each(diff_id, |entry, _| {
                entries.push(entry);
                Ok(())
            })?;
            plan.layer(entries)
                .map_err(|source| UnpackError::Source { source })?;
        }
        Ok(plan)
    }

    fn write(&self, plan: &Plan, layers: &[Digest], out: impl Write) -> Result<(), UnpackError> {
        let failed = |error| UnpackError::Source {
            source: io::Error::other(error),
        };
        let mut writer = Writer::new(BufWriter::with_capacity(BUFFER, out));
        let (first, mut kept) = plan.seen();
        for entry in &first {
            writer.append(entry, &mut io::empty()).map_err(failed)?;
        }
        for (layer, diff_id) in layers.iter().enumerate() {
            let mut number = 0;
            self.each(diff_id, |mut entry, content| {
                let names = kept.remove(&(layer, number));
                number += 1;
                let Some((path, links)) = names.as_deref().and_then(<[_]>::split_first) else {
                    return Ok(());
                };
                entry.path.clone_from(path);
                writer.append(&entry, content).map_err(io::Error::other)?;
                for link in links {
                    writer
                        .append(&link_to(&entry, link), &mut io::empty())
                        .map_err(io::Error::other)?;
                }
                Ok(())
            })?;
        }
        writer.finish().map_err(failed)?;
        Ok(())
    }

    /// Gives every entry of a layer's archive with its content.
    fn each(
        &self,
        diff_id: &Digest,
        mut take: impl FnMut(Entry, &mut dyn io::Read) -> io::Result<()>,
    ) -> Result<(), UnpackError> {
        let tar = self.tar(diff_id)?;
        let limits = self.store.limits().clone().of_any_size();
        let mut reader = Reader::new(BufReader::with_capacity(BUFFER, tar), &limits);
        while let Some(entry) = reader.next_entry()? {
            take(entry, &mut reader).map_err(|source| UnpackError::Source { source })?;
        }
        Ok(reader.drain()?)
    }
}

/// A hard link beside what was written.
fn link_to(entry: &Entry, path: &[u8]) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: EntryKind::HardLink,
        link: entry.path.clone(),
        size: 0,
        sparse: None,
        xattrs: Vec::new(),
        ..entry.clone()
    }
}
