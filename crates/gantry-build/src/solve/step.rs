//! One node: looked up in the cache, else run.

use std::sync::{Arc, PoisonError};

use gantry_model::Digest;

use super::Solver;
use crate::cache::{self, Key, Layer};
use crate::error::StepError;
use crate::graph::{FileOperation, MakeDirectory, NodeId, Operation, RunOperation};
use crate::ops::files::{self, Made, Workshop};
use crate::ops::{identity, run, view};
use crate::tree::{Match, Tree};

impl Solver<'_> {
    /// Finds out which files of the context a step copies.
    pub(super) fn select(&self, node: NodeId) -> Result<(), StepError> {
        let Operation::File(operation) = &self.graph.node(node).operation else { return Ok(()) };
        let Some(context) = &self.context else {
            return Err(StepError::NoContext);
        };
        let selected = files::select(operation, context)?;
        let set = self.selections[node.0].set(selected);
        debug_assert!(set.is_ok(), "every selection is made once");
        Ok(())
    }

    /// Brings the result of a node about; the results of its inputs are there.
    pub(super) fn node(&self, id: NodeId) -> Result<(), StepError> {
        let node = self.graph.node(id);
        match &node.operation {
            Operation::Scratch | Operation::Context => self.finish(id, Vec::new()),
            Operation::Image(image) => {
                let layers = image.layers.iter().map(|diff_id| Layer { diff_id: *diff_id, created: None }).collect();
                if let Some(vertex) = self.vertex(id) {
                    self.reporter.started(vertex);
                    self.reporter.done(vertex);
                }
                self.finish(id, layers);
            }
            Operation::File(operation) => {
                let layer = self.file(id, operation)?;
                self.finish_with(id, layer);
            }
            Operation::MakeDirectory(operation) => {
                let layer = self.directory(id, operation)?;
                self.finish_with(id, layer);
            }
            Operation::Run(operation) => {
                let layer = self.run(id, operation)?;
                self.finish_with(id, layer);
            }
        }
        Ok(())
    }

    /// The layers below and the new one.
    fn finish_with(&self, id: NodeId, layer: Layer) {
        let mut layers = self.input(id, 0).to_vec();
        layers.push(layer);
        self.finish(id, layers);
    }

    fn input(&self, id: NodeId, number: usize) -> &[Layer] {
        self.graph.node(id).inputs.get(number).map_or(&[], |input| self.layers(*input))
    }

    /// What the cache has, and a note that it was of use.
    fn cached(&self, id: NodeId, key: &Key) -> Result<Option<Layer>, StepError> {
        if self.setting.no_cache {
            return Ok(None);
        }
        let found = self.cache.find(key)?;
        if found.is_some() {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).push(*key);
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).cached += 1;
            if let Some(vertex) = self.vertex(id) {
                self.reporter.cached(vertex);
            }
        }
        Ok(found)
    }

    /// Runs a step under its key, unless another build does or did in the meantime.
    fn once(
        &self,
        id: NodeId,
        key: &Key,
        execute: impl FnOnce() -> Result<(Layer, Vec<Key>, String), StepError>,
    ) -> Result<Layer, StepError> {
        let lock = if self.setting.no_cache {
            None
        } else {
            let lock = self.cache.lock(key, &self.stop)?.ok_or(StepError::Canceled)?;
            if let Some(layer) = self.cached(id, key)? {
                return Ok(layer);
            }
            Some(lock)
        };
        if let Some(vertex) = self.vertex(id) {
            self.reporter.started(vertex);
        }
        let (layer, keys, inputs) = execute()?;
        self.cache.record(&keys, &layer, &inputs)?;
        drop(lock);
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).executed += 1;
        if let Some(vertex) = self.vertex(id) {
            self.reporter.done(vertex);
        }
        Ok(layer)
    }

    fn layer(&self, diff_id: Digest) -> Layer {
        let now = || jiff::Timestamp::now().to_string();
        Layer { diff_id, created: Some(self.setting.epoch_text.clone().unwrap_or_else(now)) }
    }

    pub(super) fn workshop<'w>(&'w self, empty: &'w std::path::Path) -> Workshop<'w> {
        Workshop {
            store: &self.setting.store,
            stop: &self.stop,
            threads: self.setting.threads,
            empty,
            epoch: self.setting.epoch,
        }
    }

    fn directory(&self, id: NodeId, operation: &MakeDirectory) -> Result<Layer, StepError> {
        let base = self.input(id, 0);
        let key = cache::key_of_definition("directory", &self.graph.node(id).operation, &[base]);
        if let Some(layer) = self.cached(id, &key)? {
            return Ok(layer);
        }
        self.once(id, &key, || {
            let empty = self.setting.empty();
            let lower = view::open(&self.setting.store, &diff_ids(base), &empty)?;
            let made = self.workshop(&empty).make_directory(operation, lower)?;
            Ok((self.layer(made.diff_id), vec![key], String::new()))
        })
    }

    fn file(&self, id: NodeId, operation: &FileOperation) -> Result<Layer, StepError> {
        let base = self.input(id, 0);
        let empty = self.setting.empty();
        // What is copied from a stage is known by the stage, before its files are looked at.
        let from_stage = self.graph.node(id).inputs.len() > 1 && !self.copies_context(id);
        let shortcut = from_stage.then(|| {
            let inputs = [base, self.input(id, 1)];
            cache::key_of_definition("file-from", &self.graph.node(id).operation, &inputs)
        });
        if let Some(key) = &shortcut
            && let Some(layer) = self.cached(id, key)?
        {
            return Ok(layer);
        }
        let tree = self.tree_of(id, &empty)?;
        let mut selected: Vec<Vec<Match>> = match (self.selections[id.0].get(), &tree) {
            (Some(selected), _) => selected.clone(),
            (None, Some(tree)) => files::select(operation, tree)?,
            (None, None) => Vec::new(),
        };
        let by_name = operation.owner.as_deref().is_some_and(|owner| !identity::is_numeric(owner));
        let lower = |link: bool| match link {
            true => Ok(None),
            false => view::open(&self.setting.store, &diff_ids(base), &empty),
        };
        // Names of owners are part of the definition and who they are is in the layers below.
        let keyed = (!operation.link || by_name).then_some(base);
        let names = lower(!by_name)?;
        let (change, unknown) = files::change(operation, from_stage, names.as_ref())?;
        let key = cache::key_of_files(operation, &change, keyed, &selected);
        if let Some(layer) = self.cached(id, &key)? {
            if let Some(shortcut) = &shortcut {
                self.cache.record(&[*shortcut], &layer, "")?;
            }
            return Ok(layer);
        }
        for name in unknown {
            let message = format!("{}: the image knows no user or group \"{name}\", root is used", operation.destination);
            self.reporter.warning(&message, None);
        }
        self.once(id, &key, || {
            let lowers = if operation.link { Vec::new() } else { diff_ids(base) };
            let workshop = self.workshop(&empty);
            let made = workshop.copy(operation, &change, lower(operation.link)?, &lowers, tree.as_deref(), &selected)?;
            let Made { diff_id, changed } = made;
            let mut keys = vec![key];
            if !changed.is_empty() {
                // Files changed after they were hashed: the record goes under what was copied.
                amend(&mut selected, &changed);
                keys = vec![cache::key_of_files(operation, &change, keyed, &selected)];
            }
            keys.extend(shortcut);
            Ok((self.layer(diff_id), keys, cache::describe_files(&selected, &change)))
        })
    }

    /// What a step copies from.
    fn tree_of(&self, id: NodeId, empty: &std::path::Path) -> Result<Option<Arc<Tree>>, StepError> {
        let inputs = &self.graph.node(id).inputs;
        let Some(source) = inputs.get(1) else { return Ok(None) };
        if self.graph.node(*source).operation == Operation::Context {
            return Ok(self.context.clone());
        }
        let layers = diff_ids(self.layers(*source));
        let root = view::open(&self.setting.store, &layers, empty)?;
        let root = match root {
            Some(root) => root,
            None => {
                std::fs::create_dir_all(empty).map_err(|source| StepError::io("create", empty, source))?;
                gantry_sys::path::Directory::open(empty).map_err(|source| StepError::io("open", empty, source))?
            }
        };
        Ok(Some(Arc::new(Tree::rootfs(root, self.setting.threads))))
    }

    fn run(&self, id: NodeId, operation: &RunOperation) -> Result<Layer, StepError> {
        let base = self.input(id, 0);
        let key = cache::key_of_definition("run", &self.graph.node(id).operation, &[base]);
        if let Some(layer) = self.cached(id, &key)? {
            return Ok(layer);
        }
        self.once(id, &key, || {
            let output = |stream, bytes: &[u8]| {
                if let Some(vertex) = self.vertex(id) {
                    self.reporter.log(vertex, stream, bytes);
                }
            };
            let diff_id = run::execute(self.setting, &self.stop, operation, &diff_ids(base), &output)?;
            Ok((self.layer(diff_id), vec![key], operation.arguments.join(" ")))
        })
    }
}

fn diff_ids(layers: &[Layer]) -> Vec<Digest> {
    layers.iter().map(|layer| layer.diff_id).collect()
}

/// Puts the digests of what was copied in place of those of what was looked at.
fn amend(selected: &mut [Vec<Match>], changed: &[(std::ffi::OsString, [u8; 32])]) {
    for found in selected.iter_mut().flatten() {
        for entry in std::iter::once(&mut found.top).chain(&mut found.below) {
            if let Some((_, digest)) = changed.iter().find(|(path, _)| *path == entry.path) {
                entry.digest = Some(*digest);
            }
        }
    }
}
