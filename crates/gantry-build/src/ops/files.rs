//! `COPY`, `ADD` and `WORKDIR`: from an operation to a layer.

use std::sync::Arc;

use gantry_dockerfile::ignore::IgnoreFile;
use gantry_dockerfile::mode;
use gantry_model::Digest;
use gantry_store::{LayerDraft, LayerInfo, Store};
use gantry_sys::path::Directory;

use super::archive;
use super::copy::{Changed, Copier};
use super::identity;
use super::plan::{LayerPlan, Text};
use super::write::{Former, LayerWriter, root_entry};
use crate::error::StepError;
use crate::graph::{FileOperation, FileSource, MakeDirectory};
use crate::marks::Marks;
use crate::permissions::{Change, Permissions};
use crate::stop::Stop;
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
    /// A layer that the new one may be a patch of.
    pub(crate) former: Option<Former>,
}

/// A finished layer.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) layer: LayerInfo,
    /// Points of its tar, if it is whole.
    pub(crate) marks: Marks,
    /// Files that were not what they had been when the key was made.
    pub(crate) changed: Changed,
}

/// What the inputs of an operation show, by their numbers.
pub(crate) type Trees = [Option<Arc<Tree>>];

/// What a source is in; `None` for what stands in the Dockerfile.
fn tree_of<'t>(source: &FileSource, trees: &'t Trees) -> Result<Option<&'t Tree>, StepError> {
    let Some(input) = source.input() else {
        return Ok(None);
    };
    let tree = trees.get(input).and_then(Option::as_deref);
    tree.map(Some).ok_or(StepError::NoContext)
}

/// The files that the sources of an operation mean.
pub(crate) fn select(
    operation: &FileOperation,
    trees: &Trees,
) -> Result<Vec<Vec<Match>>, StepError> {
    let exclude = IgnoreFile::from_patterns(operation.exclude.iter().map(String::as_str)).map_err(
        |error| StepError::Pattern {
            pattern: error.to_string(),
        },
    )?;
    let mut selected = Vec::new();
    for source in &operation.sources {
        let Some(tree) = tree_of(source, trees)? else {
            continue;
        };
        selected.push(match source {
            FileSource::Path(pattern) if operation.parents => {
                tree.select_with_parents(pattern, &exclude)?
            }
            FileSource::Path(pattern) => tree.select(pattern, &exclude)?,
            FileSource::Exact(path) | FileSource::Fetched { path, .. } => {
                tree.select_exact(path, &exclude)?
            }
            FileSource::Inline { .. } => continue,
        });
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

    /// Makes the layer of a `COPY` or `ADD`. `lower` is the root file system below, `trees` what the
    /// selected files are in.
    pub(crate) fn copy(
        &self,
        operation: &FileOperation,
        change: &Change,
        lower: Option<Directory>,
        lowers: &[Digest],
        trees: &Trees,
        selected: &[Vec<Match>],
    ) -> Result<Made, StepError> {
        let (draft, upper) = self.draft()?;
        let failed = |source| StepError::io("prepare", draft.upper(), source);
        let mut plan = LayerPlan::new(lower, self.epoch).map_err(failed)?;
        let mut writer = LayerWriter::new(&upper, self.threads, self.stop).map_err(failed)?;
        let mut changed = Vec::new();
        let mut no_archives = Vec::new();
        let mut selected = selected.iter();
        let mut number = 0;
        for source in &operation.sources {
            if let FileSource::Inline { name, content } = source {
                inline(&mut plan, name, content, &operation.destination, change)?;
                continue;
            }
            let Some(tree) = tree_of(source, trees)? else {
                continue;
            };
            let unpack = match source {
                FileSource::Fetched { unpack, .. } => *unpack,
                _ => operation.unpack,
            };
            for found in selected.next().into_iter().flatten() {
                number += 1;
                if unpack
                    && let Some(archive) = archive::recognise(tree, found, self.store.limits())?
                {
                    let place = archive.plan(&mut plan, &operation.destination, change)?;
                    // It is unpacked over what came before it.
                    changed.extend(writer.write(&plan)?);
                    plan.continue_over(upper.try_clone().map_err(failed)?);
                    writer.distrust();
                    archive.unpack(self, &draft, lowers, &place, change)?;
                } else {
                    if unpack {
                        no_archives.push((number, tree, found));
                    }
                    let copier = Copier {
                        tree,
                        change,
                        number,
                    };
                    copier.copy(&mut plan, found, &operation.destination)?;
                }
            }
        }
        let made = finish(&plan, &writer, draft, self.former.as_ref())?;
        changed.extend(made.changed);
        // What such a file has become may well be an archive.
        for (number, tree, found) in no_archives {
            if changed
                .iter()
                .any(|(copy, path, _)| *copy == number && **path == *found.top.path)
            {
                return Err(archive::changed(tree, found));
            }
        }
        Ok(Made { changed, ..made })
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
        let mut plan = LayerPlan::new(lower, self.epoch).map_err(failed)?;
        let writer = LayerWriter::new(&upper, 1, self.stop).map_err(failed)?;
        let place = plan.resolve(&operation.path)?;
        let permissions = Permissions {
            mode: 0o755,
            uid: owner.uid,
            gid: owner.gid,
        };
        if place.kind != Some(rustix::fs::FileType::Directory) {
            plan.make_all(&place.path, &permissions)?;
        }
        finish(&plan, &writer, draft, None)
    }
}

/// Writes what is planned and makes it a layer; without reading it again, if nothing else is in it.
fn finish(
    plan: &LayerPlan<'_>,
    writer: &LayerWriter<'_>,
    draft: LayerDraft,
    former: Option<&Former>,
) -> Result<Made, StepError> {
    if writer.can_tell(plan) {
        let mut tar = draft.tar(&root_entry(plan))?;
        let (changed, marks) = writer.write_told(plan, &mut tar, former)?;
        Ok(Made {
            layer: draft.commit_told(tar)?,
            marks,
            changed,
        })
    } else {
        let changed = writer.write(plan)?;
        Ok(Made {
            layer: draft.commit_while(&|| writer.goes_on())?,
            marks: Marks::default(),
            changed,
        })
    }
}

/// Plans a file whose content stands in the Dockerfile.
fn inline<'t>(
    plan: &mut LayerPlan<'t>,
    name: &str,
    content: &'t str,
    destination: &str,
    change: &Change,
) -> Result<(), StepError> {
    let made = change.made();
    let place = plan.destination(destination, &made)?;
    let path = if place.kind == Some(rustix::fs::FileType::Directory) {
        join(&place.path, name.as_ref())
    } else {
        place.path
    };
    let (parent, name) = split(&path);
    plan.make_all(parent, &made)?;
    let mode = change
        .mode
        .as_ref()
        .map_or(0o644, |mode| mode.apply(0o644, false));
    let planned = plan.text(Text {
        content,
        permissions: Permissions { mode, ..made },
    });
    plan.put(parent, name.to_owned().into(), planned)
}
