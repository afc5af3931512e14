//! What became of each step: kept for the next build, and explained.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use gantry_model::Digest;
use gantry_model::digest::hex_encode;

use super::Solver;
use crate::borrowed::CachedStep;
use crate::cache::{Key, Layer, STEP};
use crate::explain::inputs::Inputs;
use crate::explain::trace::{self, Project, Step, TRACE, Trace};
use crate::explain::{self, Done, Explanation, Outcome};
use crate::graph::{NodeId, Operation};
use crate::request::{BuildRequest, ContextSource, DockerfileSource};

/// A step that was looked up or ran.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) key: Key,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    /// What it worked on, if it ran.
    pub(super) inputs: Option<Arc<Inputs>>,
}

/// What a build is a build of.
pub(crate) fn project(requests: &[BuildRequest]) -> Project {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    let absolute = |path: &Path| {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        path.to_string_lossy().into_owned()
    };
    for request in requests {
        add(&match &request.context {
            Some(ContextSource::Folder(path) | ContextSource::Fetched(path)) => absolute(path),
            Some(ContextSource::Input(input)) => input.name.clone(),
            Some(ContextSource::Remote(address)) => address.clone(),
            None => String::new(),
        });
        add(&match &request.dockerfile {
            Some(DockerfileSource::File(path)) => absolute(path),
            Some(DockerfileSource::Remote(url)) => url.clone(),
            Some(DockerfileSource::Inline { .. }) | None => String::new(),
        });
        add(request.target.as_deref().unwrap_or_default());
        add(request.name.as_deref().unwrap_or_default());
        for platform in &request.platforms {
            add(&platform.to_string());
        }
    }
    let mut project = [0; 16];
    project.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Project(project)
}

impl Solver<'_> {
    /// The steps that were looked up or ran, for caches elsewhere.
    pub(crate) fn steps(&self) -> Vec<CachedStep> {
        let done = self.accounts.iter().enumerate();
        done.filter_map(|(number, account)| {
            let layers = self.layers(NodeId(number));
            Some(CachedStep {
                name: self.graph.node(NodeId(number)).label.name.clone(),
                key: account.get()?.key.0,
                layers: layers.iter().map(|layer| layer.diff_id).collect(),
                created: layers.last()?.created.clone()?,
            })
        })
        .collect()
    }

    /// Notes what became of a step.
    pub(super) fn account(&self, id: NodeId, account: Account) {
        let set = self.accounts[id.0].set(account);
        debug_assert!(set.is_ok(), "every step is done once");
    }

    /// Notes that what the cache had for a step is damaged, and says so.
    pub(super) fn note_damage(&self, id: NodeId, what: String) {
        let name = &self.graph.node(id).label.name;
        self.reporter.warning(
            &format!("what the cache had of {name} is damaged ({what}): it is made again"),
            None,
        );
        self.damages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, what);
    }

    /// Keys in hexadecimal of the steps that a step stands on or copies from.
    pub(super) fn parents(&self, id: NodeId) -> Vec<String> {
        let inputs = &self.graph.node(id).inputs;
        let accounts = inputs
            .iter()
            .filter_map(|input| self.accounts[input.0].get());
        accounts.map(|account| account.key.hex()).collect()
    }

    /// Keeps what became of the steps, for a later collection and a later explanation.
    pub(crate) fn remember(&self) {
        let project = self.setting.project;
        let done = self.done();
        let steps = kept(&done);
        let used: Vec<Key> = self
            .accounts
            .iter()
            .filter_map(std::sync::OnceLock::get)
            .map(|account| account.key)
            .collect();
        let name = trace::name(project, &steps);
        let mut keys: Vec<(&str, &[u8])> = used.iter().map(|key| (STEP, &key.0[..])).collect();
        keys.push((TRACE, &name));
        let records = self.setting.store.records();
        // When a record was last used, and what a build was like, matters to nothing but a later
        // collection or explanation.
        if records.touch(&keys).is_ok_and(|found| found < keys.len()) {
            let _kept = trace::keep(records, project, &steps);
        }
    }

    /// Why the steps ran or did not, by the nearest earlier build. To be called before
    /// [`Solver::remember`].
    pub(crate) fn explain(&self) -> Explanation {
        let project = self.setting.project;
        let done = self.done();
        let steps = kept(&done);
        let records = self.setting.store.records();
        let nearest = trace::nearest(records, project, &steps);
        // Without the records there is nothing to compare with.
        let earlier: Option<Trace> = nearest.ok().flatten();
        let inputs = |step: &Step| {
            let key = Digest::from_hex(step.key.as_deref()?).ok()?;
            self.cache.inputs(&Key(*key.as_bytes()))
        };
        explain::explain(&done, earlier.as_ref(), &inputs)
    }

    /// The steps that are shown, in the order in which they are.
    fn done(&self) -> Vec<Done> {
        let shown = &self.shown;
        let place = |id: &NodeId| shown.iter().position(|other| other == id);
        let damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        let step = |id: &NodeId| {
            let node = self.graph.node(*id);
            let account = self.accounts[id.0].get();
            let is_base = matches!(node.operation, Operation::Image(_));
            Done {
                step: Step {
                    key: account.map(|account| account.key.hex()),
                    inputs: node.inputs.iter().filter_map(place).collect(),
                    result: self.results[id.0]
                        .get()
                        .map(|layers| chain(layers))
                        .unwrap_or_default(),
                    ..Step::of_name(&node.label.name)
                },
                name: node
                    .label
                    .name
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                outcome: match account {
                    Some(account) => account.outcome,
                    None if is_base => Outcome::Base,
                    None => Outcome::Unfinished,
                },
                took: account.map(|account| account.took),
                inputs: account
                    .and_then(|account| account.inputs.clone())
                    .or_else(|| Inputs::of(&node.operation).map(Arc::new)),
                refused: node.label.fresh,
                damage: damages.get(id).cloned(),
            }
        };
        shown.iter().map(step).collect()
    }
}

/// A name of a root file system.
fn chain(layers: &[Layer]) -> String {
    let mut hasher = blake3::Hasher::new();
    for layer in layers {
        hasher.update(layer.diff_id.as_bytes());
    }
    hex_encode(&hasher.finalize().as_bytes()[..16])
}

/// What is kept of a build: the steps that have a result.
fn kept(done: &[Done]) -> Vec<Step> {
    let finished: Vec<usize> = (0..done.len())
        .filter(|number| !done[*number].step.result.is_empty())
        .collect();
    let place = |input: &usize| finished.iter().position(|number| number == input);
    let step = |number: &usize| {
        let step = &done[*number].step;
        Step {
            inputs: step.inputs.iter().filter_map(place).collect(),
            ..step.clone()
        }
    };
    finished.iter().map(step).collect()
}
