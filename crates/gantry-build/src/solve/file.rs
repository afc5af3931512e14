//! `COPY` and `ADD`: keys by content, then the copy.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_dockerfile::wildcard::has_wildcard;
use gantry_model::Digest;
use gantry_sys::path::Directory;
use rustix::fs::FileType;

use super::Solver;
use super::step::{Executed, diff_ids};
use crate::buildkit::{Content, Part, Selection};
use crate::cache::{self, Key, Layer};
use crate::error::StepError;
use crate::explain::inputs::Inputs;
use crate::graph::{FileOperation, FileSource, NodeId, Operation};
use crate::ops::copy::Changed;
use crate::ops::files::{self, Made, Trees, Workshop};
use crate::ops::write::Former;
use crate::ops::{identity, view};
use crate::permissions::Change;
use crate::tree::{Entry, Match, SelectError, Tree, clean};

/// The files that each source of a copy means.
type Selected = Vec<Vec<Match>>;

/// One copy on its way.
struct FileStep<'s, 'b> {
    solver: &'s Solver<'b>,
    id: NodeId,
    operation: &'s FileOperation,
    /// The layers below.
    base: &'s [Layer],
    /// Whether it copies from root file systems, and nothing from the context.
    from_layers: bool,
    /// Whether the owners of what it copies mean something.
    keeps_owners: bool,
    /// Whether its owner is given by a name, which the layers below know.
    owner_by_name: bool,
    empty: PathBuf,
}

impl<'s> Solver<'s> {
    pub(super) fn file(&self, id: NodeId, operation: &FileOperation) -> Result<Layer, StepError> {
        self.file_step(id, operation).run()
    }

    /// What a copy takes, as BuildKit digests it; `None` where that is not what was selected.
    pub(super) fn copied_content(
        &self,
        id: NodeId,
        operation: &FileOperation,
    ) -> Result<Option<Digest>, StepError> {
        let step = self.file_step(id, operation);
        let trees = step.trees()?;
        let mut selected = step.selected(&trees)?;
        step.complete(selected.to_mut(), &trees, true)?;
        let Some(tree) = trees.get(1).and_then(Option::as_deref) else {
            return Ok(None);
        };
        let parts = operation.sources.iter().zip(selected.iter());
        let parts = parts.filter_map(|(source, found)| match source {
            FileSource::Path(path) => Some(Part {
                path: clean(path),
                selection: match (has_wildcard(path), operation.exclude.is_empty()) {
                    (true, _) => Selection::Pattern,
                    (false, true) => Selection::Whole,
                    (false, false) => Selection::Filtered,
                },
                found,
            }),
            _ => None,
        });
        let content = Content {
            tree,
            is_context: !step.from_layers,
        };
        content
            .of(parts.collect())
            .map_err(|source| StepError::io("read", tree.shown("".as_ref()), source))
    }

    fn file_step<'a>(&'a self, id: NodeId, operation: &'a FileOperation) -> FileStep<'a, 's> {
        let owner = operation.owner.as_deref();
        FileStep {
            solver: self,
            id,
            operation,
            base: self.input(id, 0),
            from_layers: self.copied(id).next().is_some() && !self.copied(id).any(is_context),
            keeps_owners: self.copied(id).any(is_rootfs),
            owner_by_name: owner.is_some_and(|owner| !identity::is_numeric(owner)),
            empty: self.setting.empty(),
        }
    }
}

impl FileStep<'_, '_> {
    fn run(&self) -> Result<Layer, StepError> {
        // What is copied from a stage is known by the stage, before its files are looked at.
        let shortcut = self.from_layers.then(|| self.shortcut());
        if let Some(key) = &shortcut
            && let Some(layer) = self.solver.cached_as(self.id, key)?
        {
            return Ok(layer);
        }
        let trees = self.trees()?;
        let mut selected = self.selected(&trees)?;
        if self.operation.unpacks() {
            // Whether a file is an archive is told of the content that the key speaks of.
            self.complete(selected.to_mut(), &trees, false)?;
        }
        let key = self.key(&selected)?;
        if let Some(layer) = self.solver.cached(self.id, &key)? {
            if let Some(shortcut) = &shortcut {
                self.solver.cache.alias(shortcut, &key, &layer)?;
            }
            return Ok(layer);
        }
        let entries = selected.iter().flatten().flat_map(Match::entries);
        let bytes = entries.map(|entry| entry.stat.on_disk()).sum();
        self.solver.once(self.id, &key, bytes, || {
            let change = self.change()?;
            let was_read = selected.iter().flatten().all(is_read);
            let made = self.copy(&trees, &selected, &change)?;
            self.solver
                .cache
                .note_latest(&self.latest_key(), &made.layer.diff_id)?;
            let mut selected = selected;
            let mut key = key;
            if !was_read || !made.changed.is_empty() {
                // Files were first read by the copy, or changed after they were hashed: the record
                // goes under what was copied.
                selected.iter().flatten().for_each(tell_names);
                if !made.changed.is_empty() {
                    self.solver.names.forget(self.id);
                    amend(selected.to_mut(), made.changed);
                }
                self.complete(selected.to_mut(), &trees, true)?;
                key = self.key(&selected)?;
            }
            Ok(Executed {
                layer: self.solver.layer(self.id, &made.layer),
                key,
                alias: shortcut,
                inputs: Inputs::of_files(self.operation, &selected, &change),
                marks: made.marks,
            })
        })
    }

    /// The key by the layers that are copied from.
    fn shortcut(&self) -> Key {
        let count = self.solver.graph.node(self.id).inputs.len();
        let inputs: Vec<&[Layer]> = (0..count)
            .map(|number| self.solver.input(self.id, number))
            .collect();
        cache::key_of_definition(
            "file-from",
            &self.solver.graph.node(self.id).operation,
            &inputs,
        )
    }

    /// The key by the content that is copied.
    fn key(&self, selected: &Selected) -> Result<Key, StepError> {
        // Who a name is stands in the layers below, and these are part of the key.
        let (change, _unknown) = files::change(self.operation, self.keeps_owners, None)?;
        let base = (!self.operation.link || self.owner_by_name).then_some(self.base);
        Ok(cache::key_of_files(self.operation, &change, base, selected))
    }

    fn selected(&self, trees: &Trees) -> Result<Cow<'_, Selected>, StepError> {
        match self.solver.selections[self.id.0].get() {
            Some(selected) => Ok(Cow::Borrowed(selected)),
            None => Ok(Cow::Owned(files::select(self.operation, trees)?)),
        }
    }

    /// What the inputs show; nothing for the first, which is not copied from.
    fn trees(&self) -> Result<Vec<Option<Arc<Tree>>>, StepError> {
        let inputs = self.solver.graph.node(self.id).inputs.iter().enumerate();
        inputs
            .map(|(number, input)| match number {
                0 => Ok(None),
                _ => self.tree(*input),
            })
            .collect()
    }

    fn tree(&self, input: NodeId) -> Result<Option<Arc<Tree>>, StepError> {
        if let Operation::Context(context) = self.solver.graph.node(input).operation {
            return Ok(self.solver.context(context).cloned());
        }
        let layers = diff_ids(self.solver.layers(input));
        let root = match view::open(&self.solver.setting.store, &layers, &self.empty)? {
            Some(root) => root,
            None => self.nothing()?,
        };
        let setting = self.solver.setting;
        let tree = Tree::rootfs(root, setting.threads).until(&self.solver.stop);
        Ok(Some(Arc::new(if setting.knows_nothing {
            tree.unread()
        } else {
            tree
        })))
    }

    /// Finds out the digests that are not known yet: of files that were named, and of those below,
    /// which may be selected and not copied, since later ones replace them.
    fn complete(
        &self,
        selected: &mut Selected,
        trees: &Trees,
        below: bool,
    ) -> Result<(), StepError> {
        let inputs = self.operation.sources.iter().filter_map(FileSource::input);
        for (matches, input) in selected.iter_mut().zip(inputs) {
            let Some(tree) = trees.get(input).and_then(Option::as_deref) else {
                continue;
            };
            for found in matches {
                tree.hash_missing_top(&mut found.top)
                    .and_then(|()| match below {
                        true => tree.hash_missing(&found.below),
                        false => Ok(()),
                    })
                    .map_err(SelectError::from)?;
            }
        }
        Ok(())
    }

    /// An empty directory.
    fn nothing(&self) -> Result<Directory, StepError> {
        fs::create_dir_all(&self.empty)
            .map_err(|source| StepError::io("create", &self.empty, source))?;
        Directory::open(&self.empty).map_err(|source| StepError::io("open", &self.empty, source))
    }

    /// The root file system below, for reading.
    fn lower(&self) -> Result<Option<Directory>, StepError> {
        view::open(
            &self.solver.setting.store,
            &diff_ids(self.base),
            &self.empty,
        )
    }

    /// How what is copied is changed, names of owners looked up.
    fn change(&self) -> Result<Change, StepError> {
        let names = if self.owner_by_name {
            self.lower()?
        } else {
            None
        };
        let (change, unknown) = files::change(self.operation, self.keeps_owners, names.as_ref())?;
        for name in unknown {
            let destination = &self.operation.destination;
            let message = format!("{destination}: the image knows {name}");
            self.solver.reporter.warning(&message, None);
        }
        Ok(change)
    }

    /// What this step made when it ran before: the whole layer that its result can be a patch of.
    fn former(&self) -> Result<Option<Former>, StepError> {
        let latest = self.solver.cache.latest(&self.latest_key())?;
        let store = &self.solver.setting.store;
        let whole = match latest {
            Some(latest) => store.layers().whole(&latest)?,
            None => None,
        };
        Ok(whole.map(|whole| Former {
            store: store.clone(),
            marks: self.solver.cache.marks(&whole.diff_id),
            whole,
        }))
    }

    /// What names this step whatever it copies and whatever is below.
    fn latest_key(&self) -> Key {
        let operation = &self.solver.graph.node(self.id).operation;
        cache::key_of_place(self.solver.setting.project, operation)
    }

    fn copy(&self, trees: &Trees, selected: &Selected, change: &Change) -> Result<Made, StepError> {
        let workshop = Workshop {
            former: self.former()?,
            ..self.solver.workshop(self.id, &self.empty)
        };
        // A linked layer is made as if there were nothing below.
        let (lower, lowers) = if self.operation.link {
            (None, Vec::new())
        } else {
            (self.lower()?, diff_ids(self.base))
        };
        workshop.copy(self.operation, change, lower, &lowers, trees, selected)
    }
}

fn is_context(operation: &Operation) -> bool {
    matches!(operation, Operation::Context(_))
}

/// Whether it is a root file system, whose owners mean something.
fn is_rootfs(operation: &Operation) -> bool {
    !matches!(
        operation,
        Operation::Context(_) | Operation::Http(_) | Operation::Git(_)
    )
}

/// Whether all digests of a match are known.
fn is_read(found: &Match) -> bool {
    let mut files = found.entries();
    files.all(|entry| entry.kind != FileType::RegularFile || entry.digest().is_some())
}

/// The file that an entry is one of several names of.
fn named(entry: &Entry) -> Option<(u64, u64)> {
    let has_names = entry.stat.linked && entry.kind == FileType::RegularFile;
    has_names.then_some((entry.stat.device, entry.stat.inode))
}

/// Tells all names of a file the digest that one of them has: it was copied once.
fn tell_names(found: &Match) {
    let known = |entry: &Entry| Some((named(entry)?, *entry.digest()?));
    let known: HashMap<_, _> = found.entries().filter_map(known).collect();
    if known.is_empty() {
        return;
    }
    for entry in found.entries() {
        if let Some(digest) = named(entry).and_then(|file| known.get(&file)) {
            entry.learn(*digest);
        }
    }
}

/// Puts the digests of what was copied in place of those of what was looked at, for all names of a
/// file.
fn amend(selected: &mut Selected, changed: Changed) {
    let changed: HashMap<(usize, OsString), [u8; 32]> = changed
        .into_iter()
        .map(|(number, path, digest)| ((number, path), digest))
        .collect();
    for (number, found) in selected.iter_mut().flatten().enumerate() {
        // Copies are counted from one.
        let own = |entry: &Entry| changed.get(&(number + 1, entry.path.to_os_string()));
        let of_names = |entry: &Entry| Some((named(entry)?, *own(entry)?));
        let names: HashMap<_, _> = found.entries().filter_map(of_names).collect();
        let digest = |entry: &Entry| {
            let of_file = || named(entry).and_then(|file| names.get(&file));
            own(entry).or_else(of_file).copied()
        };
        found.below = found.below.amended(digest);
        let top = digest(&found.top);
        found.top.amend(top);
    }
}
