//! `COPY`, `ADD` and `WORKDIR`: from an operation to a layer.

use std::fs::File;
use std::io::Write;

use gantry_dockerfile::ignore::IgnoreFile;
use gantry_dockerfile::mode;
use gantry_model::Digest;
use gantry_store::{LayerDraft, Store};
use gantry_sys::path::Directory;

use super::archive;
use super::copy::{Change, Changed, Copier};
use super::identity;
use super::layer::{LayerWriter, MakeRoomError, absolute};
use crate::error::StepError;
use crate::graph::{FileOperation, FileSource, MakeDirectory};
use crate::solve::Stop;
use crate::tree::{Match, Tree, join, split};

/// What a file operation works with.
pub(crate) struct Workshop<'w> {
    pub(crate) store: &'w Store,
    pub(crate) stop: &'w Stop,
    pub(crate) threads: usize,
    /// Where an empty directory is kept.
    pub(crate) empty: &'w std::path::Path,
    /// The time that new directories and files get, if it is not the present.
    pub(crate) epoch: Option<(i64, u32)>,
}

/// A finished layer.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) diff_id: Digest,
    /// Files that were not what they had been when the key was made.
    pub(crate) changed: Changed,
}

/// The files that the sources of an operation mean.
pub(crate) fn select(operation: &FileOperation, tree: &Tree) -> Result<Vec<Vec<Match>>, StepError> {
    let exclude = IgnoreFile::from_patterns(operation.exclude.iter().map(String::as_str)).map_err(
        |error| StepError::Pattern {
            pattern: error.to_string(),
        },
    )?;
    let mut selected = Vec::new();
    for source in &operation.sources {
        if let FileSource::Path(pattern) = source {
            selected.push(tree.select(pattern, &exclude)?);
        }
    }
    Ok(selected)
}

/// How an operation changes what it copies; names of owners are looked up in `root`.
pub(crate) fn change(
    operation: &FileOperation,
    keep_owners: bool,
    root: Option<&Directory>,
) -> Result<(Change, Vec<String>), StepError> {
    let mut unknown = Vec::new();
    let owner = match &operation.owner {
        None => None,
        Some(text) => {
            let owner = identity::resolve(text, root)?;
            unknown = owner.unknown;
            Some((owner.uid, owner.gid))
        }
    };
    // It was checked when the Dockerfile was lowered.
    let mode = operation
        .mode
        .as_deref()
        .and_then(|text| mode::parse(text).ok());
    Ok((
        Change {
            owner,
            mode,
            keep_owners,
            parents: operation.parents,
        },
        unknown,
    ))
}

impl Workshop<'_> {
    fn draft(&self) -> Result<(LayerDraft, Directory), StepError> {
        let draft = self.store.layers().draft()?;
        let upper = Directory::open(draft.upper())
            .map_err(|source| StepError::io("open", draft.upper(), source))?;
        Ok((draft, upper))
    }

    /// Makes the layer of a `COPY` or `ADD`. `lower` is the root file system below, `tree` what the
    /// selected files are in.
    pub(crate) fn copy(
        &self,
        operation: &FileOperation,
        change: &Change,
        lower: Option<Directory>,
        lowers: &[Digest],
        tree: Option<&Tree>,
        selected: &[Vec<Match>],
    ) -> Result<Made, StepError> {
        let (draft, upper) = self.draft()?;
        let failed = |source| StepError::io("prepare", draft.upper(), source);
        let mut layer = LayerWriter::new(upper, lower, self.epoch).map_err(failed)?;
        let mut changed = Vec::new();
        let mut selected = selected.iter();
        for source in &operation.sources {
            match (source, tree) {
                (FileSource::Inline { name, content }, _) => {
                    self.inline(&mut layer, name, content, &operation.destination, change)?;
                }
                (FileSource::Path(_), Some(tree)) => {
                    let copier = Copier {
                        tree,
                        change: change.clone(),
                        threads: self.threads,
                        stop: self.stop,
                    };
                    for found in selected.next().into_iter().flatten() {
                        if operation.unpack
                            && let Some(archive) = archive::recognise(tree, found)?
                        {
                            changed.extend(
                                archive
                                    .unpack(self, &mut layer, &draft, lowers, operation, change)?,
                            );
                        } else {
                            changed.extend(copier.copy(
                                &mut layer,
                                found,
                                &operation.destination,
                            )?);
                        }
                    }
                }
                (FileSource::Path(_), None) => {}
            }
        }
        layer.finish()?;
        let info = draft.commit()?;
        Ok(Made {
            diff_id: info.diff_id,
            changed,
        })
    }

    /// A file whose content stands in the Dockerfile.
    fn inline(
        &self,
        layer: &mut LayerWriter,
        name: &str,
        content: &str,
        destination: &str,
        change: &Change,
    ) -> Result<(), StepError> {
        use rustix::fs::{FileType, Gid, Mode, Timestamps, Uid};
        let made = change.made();
        let place = layer.destination(destination, &made)?;
        let into = place.kind == Some(FileType::Directory);
        let path = if into {
            join(&place.path, name.as_ref())
        } else {
            place.path
        };
        let (parent, name) = split(&path);
        layer.make_all(parent, &made)?;
        let failed = |source| StepError::io("write", absolute(&path), source);
        let here = layer.here(parent).map_err(failed)?;
        here.make_room(name).map_err(|error| match error {
            MakeRoomError::Directory => StepError::OverDirectory {
                path: absolute(&path),
            },
            MakeRoomError::Io(source) => failed(source),
        })?;
        let mut file = File::from(here.upper.create_file(name, 0o600).map_err(failed)?);
        file.write_all(content.as_bytes()).map_err(failed)?;
        let mode = change
            .mode
            .as_ref()
            .map_or(0o644, |mode| mode.apply(0o644, false));
        let finish = || -> std::io::Result<()> {
            rustix::fs::fchown(
                &file,
                Some(Uid::from_raw(made.uid)),
                Some(Gid::from_raw(made.gid)),
            )?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            if let Some(epoch) = self.epoch {
                let time = super::layer::timespec(epoch);
                rustix::fs::futimens(
                    &file,
                    &Timestamps {
                        last_access: time,
                        last_modification: time,
                    },
                )?;
            }
            Ok(())
        };
        finish().map_err(failed)
    }

    /// Makes the layer of a `WORKDIR`.
    pub(crate) fn make_directory(
        &self,
        operation: &MakeDirectory,
        lower: Option<Directory>,
    ) -> Result<Made, StepError> {
        let (draft, upper) = self.draft()?;
        let owner = identity::resolve(&operation.user, lower.as_ref())?;
        let failed = |source| StepError::io("prepare", draft.upper(), source);
        let mut layer = LayerWriter::new(upper, lower, self.epoch).map_err(failed)?;
        let place = layer.resolve(&operation.path)?;
        let permissions = super::layer::Permissions {
            mode: 0o755,
            uid: owner.uid,
            gid: owner.gid,
        };
        if place.kind != Some(rustix::fs::FileType::Directory) {
            layer.make_all(&place.path, &permissions)?;
        }
        layer.finish()?;
        let info = draft.commit()?;
        Ok(Made {
            diff_id: info.diff_id,
            changed: Vec::new(),
        })
    }
}
