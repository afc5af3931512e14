//! One node: looked up in the cache, else run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_model::Digest;
use gantry_store::{LayerInfo, StoreError};

use super::Solver;
use super::account::Account;
use super::seen::AS_THEY_ARE;
use crate::cache::{self, Entry, Found, Key, Layer, Made};
use crate::error::StepError;
use crate::explain::Outcome;
use crate::explain::inputs::Inputs;
use crate::graph::{CacheMount, MakeDirectory, NodeId, Operation, RunOperation};
use crate::marks::Marks;
use crate::ops::files::{self, Workshop};
use crate::ops::run::{self, Company};
use crate::ops::view;
use crate::remote::Behalf;

/// A step that has just run.
pub(super) struct Executed {
    pub(super) layer: Layer,
    pub(super) key: Key,
    /// Another key that is to lead to it.
    pub(super) alias: Option<Key>,
    pub(super) inputs: Inputs,
    /// Points of its tar.
    pub(super) marks: Marks,
}

impl Solver<'_> {
    /// Finds out which files of the context a step copies.
    pub(super) fn select(&self, node: NodeId) -> Result<(), StepError> {
        let Operation::File(operation) = &self.graph.node(node).operation else {
            return Ok(());
        };
        let context = self.copied_context(node);
        let context = context
            .and_then(|context| self.context(context))
            .ok_or(StepError::NoContext)?;
        let trees = [None, Some(Arc::clone(context))];
        let selected = files::select(operation, &trees)?;
        let set = self.selections[node.0].set(selected);
        debug_assert!(set.is_ok(), "every selection is made once");
        Ok(())
    }

    /// Brings the result of a node about; the results of its inputs are there.
    pub(super) fn node(&self, id: NodeId) -> Result<(), StepError> {
        let node = self.graph.node(id);
        match &node.operation {
            Operation::Scratch | Operation::Context(_) => self.finish(id, Vec::new()),
            Operation::Image(image) => {
                for diff_id in &image.layers {
                    if !self.setting.lease.layer(diff_id)? {
                        return Err(StoreError::NoLayer { diff_id: *diff_id }.into());
                    }
                }
                let layers = image
                    .layers
                    .iter()
                    .map(|diff_id| Layer {
                        diff_id: *diff_id,
                        created: None,
                    })
                    .collect();
                if let Some(vertex) = self.vertex(id) {
                    self.reporter.started(vertex);
                    self.reporter.done(vertex);
                }
                self.finish(id, layers);
            }
            Operation::Http(source) => {
                let fetched = self.fetched(id, |on| self.setting.remote.file(source, on))?;
                self.finish(id, fetched);
            }
            Operation::Git(source) => {
                let fetched = self.fetched(id, |on| self.setting.remote.repository(source, on))?;
                self.finish(id, fetched);
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

    /// The layer of something that comes from outside.
    fn fetched(
        &self,
        id: NodeId,
        fetch: impl FnOnce(&Behalf<'_>) -> Result<Digest, StepError>,
    ) -> Result<Vec<Layer>, StepError> {
        let vertex = self.vertex(id);
        if let Some(vertex) = vertex {
            self.reporter.started(vertex);
        }
        let origin = self.origin(id);
        let diff_id = fetch(&Behalf {
            secrets: &origin.secrets,
            agent: origin.ssh.get("default").map(PathBuf::as_path),
            anew: self.graph.node(id).label.fresh,
            reporter: self.reporter,
            vertex,
        })?;
        if let Some(vertex) = vertex {
            self.reporter.done(vertex);
        }
        Ok(vec![Layer {
            diff_id,
            created: None,
        }])
    }

    /// The layers below and the new one.
    fn finish_with(&self, id: NodeId, layer: Layer) {
        let mut layers = self.input(id, 0).to_vec();
        layers.push(layer);
        self.finish(id, layers);
    }

    pub(super) fn input(&self, id: NodeId, number: usize) -> &[Layer] {
        self.graph
            .node(id)
            .inputs
            .get(number)
            .map_or(&[], |input| self.layers(*input))
    }

    /// What the cache has under the key of a step, and a note that it was of use.
    pub(super) fn cached(&self, id: NodeId, key: &Key) -> Result<Option<Layer>, StepError> {
        if self.graph.node(id).label.fresh {
            return Ok(None);
        }
        match self.taken(id, self.cache.find(key)?) {
            Some(layer) => Ok(Some(layer)),
            None => self.brought(id, key),
        }
    }

    /// What a cache from elsewhere has under the key of a step. It is not recorded here.
    fn brought(&self, id: NodeId, key: &Key) -> Result<Option<Layer>, StepError> {
        let Some(borrowed) = self.borrowed else {
            return Ok(None);
        };
        let found = match borrowed.bring(&key.0) {
            Ok(None) => self.brought_by_name(id, borrowed),
            other => other,
        };
        let found = match found {
            Ok(Some(found)) if self.setting.lease.layer(&found.diff_id)? => found,
            Ok(_) => return Ok(None),
            Err(error) => {
                let name = &self.graph.node(id).label.name;
                let text = format!("{name} is run, since its imported cache is of no use: {error}");
                self.reporter.warning(&text, None);
                return Ok(None);
            }
        };
        self.account(
            id,
            Account {
                key: *key,
                outcome: Outcome::Hit,
                took: Duration::ZERO,
                inputs: None,
            },
        );
        if let Some(vertex) = self.vertex(id) {
            self.reporter.cached(vertex);
        }
        Ok(Some(Layer {
            diff_id: found.diff_id,
            created: Some(found.created),
        }))
    }

    /// The same for another key of the step.
    pub(super) fn cached_as(&self, id: NodeId, alias: &Key) -> Result<Option<Layer>, StepError> {
        if self.graph.node(id).label.fresh {
            return Ok(None);
        }
        Ok(self.taken(id, self.cache.find_alias(alias)?))
    }

    fn taken(&self, id: NodeId, found: Found) -> Option<Layer> {
        match found {
            Found::Hit(key, entry) => {
                self.account(
                    id,
                    Account {
                        key,
                        outcome: Outcome::Hit,
                        took: entry.took(),
                        inputs: None,
                    },
                );
                if let Some(vertex) = self.vertex(id) {
                    self.reporter.cached(vertex);
                }
                Some(entry.layer)
            }
            Found::Nothing => None,
            Found::Damaged(what) => {
                self.note_damage(id, what);
                None
            }
        }
    }

    /// Runs a step under its key, unless another build does or did in the meantime. It is known
    /// to write at least so many bytes.
    pub(super) fn once(
        &self,
        id: NodeId,
        key: &Key,
        bytes: u64,
        execute: impl FnOnce() -> Result<Executed, StepError>,
    ) -> Result<Layer, StepError> {
        let lock = if self.graph.node(id).label.fresh {
            None
        } else {
            let lock = self
                .cache
                .lock(key, &self.stop)?
                .ok_or(StepError::Canceled)?;
            if let Some(layer) = self.cached(id, key)? {
                return Ok(layer);
            }
            Some(lock)
        };
        if let Some(vertex) = self.vertex(id) {
            self.reporter.started(vertex);
        }
        self.room.reserve(bytes);
        let began = Instant::now();
        let executed = execute()?;
        let took = began.elapsed();
        self.cache.record(Made {
            key: executed.key,
            aliases: executed.alias.as_slice(),
            entry: Entry {
                layer: executed.layer.clone(),
                name: self.graph.node(id).label.name.clone(),
                took: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                parents: self.parents(id),
                seal: None,
            },
            inputs: &executed.inputs,
            marks: &executed.marks,
        })?;
        drop(lock);
        self.account(
            id,
            Account {
                key: executed.key,
                outcome: Outcome::Ran,
                took,
                inputs: Some(Arc::new(executed.inputs)),
            },
        );
        if let Some(vertex) = self.vertex(id) {
            self.reporter.done(vertex);
        }
        Ok(executed.layer)
    }

    /// A layer that was just made.
    pub(super) fn layer(&self, id: NodeId, made: &LayerInfo) -> Layer {
        self.setting.syncing.begin(made);
        self.room.add(made.disk_usage);
        let now = || jiff::Timestamp::now().to_string();
        Layer {
            diff_id: made.diff_id,
            created: Some(self.origin(id).epoch_text.clone().unwrap_or_else(now)),
        }
    }

    pub(super) fn workshop<'w>(&'w self, id: NodeId, empty: &'w Path) -> Workshop<'w> {
        Workshop {
            store: &self.setting.store,
            stop: &self.stop,
            threads: self.setting.threads,
            empty,
            epoch: self.origin(id).epoch,
            former: None,
        }
    }

    fn directory(&self, id: NodeId, operation: &MakeDirectory) -> Result<Layer, StepError> {
        let base = self.input(id, 0);
        let key = cache::key_of_definition("directory", &self.graph.node(id).operation, &[base]);
        if let Some(layer) = self.cached(id, &key)? {
            return Ok(layer);
        }
        self.once(id, &key, 0, || {
            let empty = self.setting.empty();
            let lower = view::open(&self.setting.store, &diff_ids(base), &empty)?;
            let made = self.workshop(id, &empty).make_directory(operation, lower)?;
            Ok(Executed {
                layer: self.layer(id, &made.layer),
                key,
                alias: None,
                inputs: Inputs::of_directory(operation),
                marks: Marks::default(),
            })
        })
    }

    fn run(&self, id: NodeId, operation: &RunOperation) -> Result<Layer, StepError> {
        let count = self.graph.node(id).inputs.len();
        let inputs: Vec<&[Layer]> = (0..count).map(|number| self.input(id, number)).collect();
        let key = cache::key_of_definition("run", &self.graph.node(id).operation, &inputs);
        if let Some(layer) = self.cached(id, &key)? {
            return Ok(layer);
        }
        let shown = self.shown(id, operation, &inputs)?;
        if let Some(shown) = &shown
            && let Some(layer) = self.cached_as(id, &shown.key)?
        {
            return Ok(layer);
        }
        self.once(id, &key, 0, || {
            let output = |stream, bytes: &[u8]| {
                if let Some(vertex) = self.vertex(id) {
                    self.reporter.log(vertex, stream, bytes);
                }
            };
            let mount =
                |cache: &CacheMount, name: &str, folder: &Path| self.mount(id, cache, name, folder);
            let company = Company {
                stop: &self.stop,
                output: &output,
                mount: &mount,
                shell: self.failure_shell,
            };
            let inputs: Vec<_> = inputs.iter().map(|layers| diff_ids(layers)).collect();
            let (setting, origin) = (self.setting, self.origin(id));
            let made = run::execute(setting, origin, operation, &inputs, &company)?;
            let layer = self.layer(id, &made);
            self.search_step(operation, &layer)?;
            let files = shown.iter().flat_map(|shown| &shown.files);
            Ok(Executed {
                layer,
                key,
                alias: shown.as_ref().map(|shown| shown.key),
                inputs: Inputs::of_run(operation).with_files(files, &AS_THEY_ARE),
                marks: Marks::default(),
            })
        })
    }
}

pub(super) fn diff_ids(layers: &[Layer]) -> Vec<Digest> {
    layers.iter().map(|layer| layer.diff_id).collect()
}
