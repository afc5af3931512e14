//! Running the graph: what is in the cache is not run, what is independent runs at once.

mod account;
mod buildkit;
mod file;
mod leaks;
mod mounts;
mod room;
mod schedule;
mod seen;
mod step;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use gantry_dockerfile::diagnostic::{Code, Diagnostic};
use gantry_model::Fault;

use crate::borrowed::BorrowedCache;
use crate::cache::{Cache, Layer};
use crate::contexts::{Contexts, OpenContexts};
use crate::error::{BuildError, StepError};
use crate::explain::Outcome;
use crate::failure_shell::FailureShell;
use crate::graph::{ContextId, Graph, NodeId, Operation};
use crate::progress::VertexId;
use crate::report::Reporter;
use crate::secrets::leaks::Search;
use crate::setting::{Origin, Setting};
use crate::stop::Stop;
use crate::tree::{Match, Tree};
use account::Account;
pub(crate) use account::project;
use buildkit::Names;
pub(crate) use room::Room;

/// One run of a graph.
pub(crate) struct Solver<'s> {
    pub(crate) setting: &'s Setting,
    pub(crate) graph: &'s Graph,
    pub(crate) reporter: &'s Reporter<'s>,
    pub(crate) stop: Stop,
    /// What the contexts are called, and those that are open.
    contexts: &'s Contexts,
    open: OpenContexts,
    cache: Cache,
    /// Caches from elsewhere.
    borrowed: Option<&'s dyn BorrowedCache>,
    /// The nodes by BuildKit's names.
    names: Names<'s>,
    /// The folders of cache mounts by name, as they were used.
    cache_folders: Mutex<BTreeMap<String, PathBuf>>,
    /// Held while a cache mount is filled.
    filling: Mutex<()>,
    /// Who looks around where a step failed.
    failure_shell: Option<&'s dyn FailureShell>,
    /// For the secrets that the steps borrow.
    search: Option<Search>,
    vertices: HashMap<NodeId, VertexId>,
    /// The steps in the order in which they are shown.
    shown: Vec<NodeId>,
    results: Vec<OnceLock<Vec<Layer>>>,
    /// What sources of `COPY` in the context mean.
    selections: Vec<OnceLock<Vec<Vec<Match>>>>,
    room: Room<'s>,
    /// What became of each step that was looked up or ran.
    accounts: Vec<OnceLock<Account>>,
    /// What is wrong with what the cache had.
    damages: Mutex<HashMap<NodeId, String>>,
}

/// How many steps were run and how many were not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) executed: usize,
    pub(crate) cached: usize,
}

impl<'s> Solver<'s> {
    pub(crate) fn new(
        setting: &'s Setting,
        graph: &'s Graph,
        reporter: &'s Reporter<'s>,
        stop: Stop,
        contexts: &'s Contexts,
        open: OpenContexts,
        room: Room<'s>,
    ) -> Self {
        let slots = graph.len();
        Self {
            setting,
            graph,
            reporter,
            stop,
            contexts,
            open,
            cache: Cache::new(setting.store.clone(), &setting.run_root)
                .unrecorded(setting.unrecorded),
            borrowed: None,
            cache_folders: Mutex::default(),
            names: Names::new(&[], slots),
            filling: Mutex::default(),
            failure_shell: None,
            search: None,
            vertices: HashMap::new(),
            shown: Vec::new(),
            results: std::iter::repeat_with(OnceLock::new).take(slots).collect(),
            selections: std::iter::repeat_with(OnceLock::new).take(slots).collect(),
            room,
            accounts: std::iter::repeat_with(OnceLock::new).take(slots).collect(),
            damages: Mutex::new(HashMap::new()),
        }
    }

    /// Looks for steps in caches from elsewhere, too.
    pub(crate) fn borrow_from(&mut self, borrowed: Option<&'s dyn BorrowedCache>) {
        self.borrowed = borrowed;
        let records = borrowed.map_or(&[][..], |borrowed| borrowed.records());
        self.names = Names::new(records, self.graph.len());
    }

    /// Lets a person look around where a step failed.
    pub(crate) fn show_failures_to(&mut self, shell: Option<&'s dyn FailureShell>) {
        self.failure_shell = shell;
    }

    /// Brings the root file systems of `targets` about.
    pub(crate) fn solve(&mut self, targets: &[NodeId]) -> Result<(), BuildError> {
        let needed = self.graph.needed(targets);
        self.announce(&needed);
        self.search = self.search_for(&needed)?;
        schedule::run(self, &needed)?;
        for context in self.open.iter().flatten() {
            context.save();
        }
        Ok(())
    }

    /// How many steps were run and how many were not.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for account in self.accounts.iter().filter_map(OnceLock::get) {
            match account.outcome {
                Outcome::Hit => tally.cached += 1,
                _ => tally.executed += 1,
            }
        }
        tally
    }

    /// Tells about the steps in the order of the requests and their Dockerfiles.
    fn announce(&mut self, needed: &[NodeId]) {
        let mut shown: Vec<NodeId> = needed
            .iter()
            .copied()
            .filter(|id| !self.graph.node(*id).label.name.is_empty())
            .collect();
        shown.sort_by_key(|id| self.graph.node(*id).label.position);
        for id in shown {
            let vertex = self.reporter.vertex(&self.graph.node(id).label.name);
            self.vertices.insert(id, vertex);
            self.shown.push(id);
        }
    }

    fn vertex(&self, node: NodeId) -> Option<VertexId> {
        self.vertices.get(&node).copied()
    }

    /// The layers of a node that is done.
    pub(crate) fn layers(&self, node: NodeId) -> &[Layer] {
        self.results[node.0].get().map_or(&[], Vec::as_slice)
    }

    fn finish(&self, node: NodeId, layers: Vec<Layer>) {
        let set = self.results[node.0].set(layers);
        debug_assert!(set.is_ok(), "every node is run once");
    }

    /// A failed step as the error of the build.
    fn error(&self, node: NodeId, error: StepError) -> BuildError {
        if matches!(error, StepError::Canceled) || Stop::is_cause(&error) {
            return BuildError::Canceled;
        }
        let label = &self.graph.node(node).label;
        let rendered = label
            .place
            .as_ref()
            .map_or_else(String::new, |(source, span)| {
                let mut diagnostic =
                    Diagnostic::error(Code::Arguments, full_message(&error), *span);
                for hint in error.hints() {
                    diagnostic = diagnostic.with_hint(hint);
                }
                diagnostic.render(source)
            });
        self.origin(node).spelling.told(BuildError::Step {
            step: label.name.clone(),
            source: Box::new(error),
            rendered,
        })
    }

    /// What holds for a node's request.
    fn origin(&self, node: NodeId) -> &Origin {
        &self.setting.origins[self.graph.node(node).label.request]
    }

    /// What the sources of a copy are.
    fn copied(&self, node: NodeId) -> impl Iterator<Item = &Operation> {
        let node = self.graph.node(node);
        let sources = match node.operation {
            Operation::File(_) => node.inputs.get(1..),
            _ => None,
        };
        let sources = sources.unwrap_or_default().iter();
        sources.map(|input| &self.graph.node(*input).operation)
    }

    /// The context that a node copies from, if it copies from nothing else: then it can be looked at
    /// early.
    fn copied_context(&self, node: NodeId) -> Option<ContextId> {
        let mut copied = self.copied(node);
        match (copied.next(), copied.next()) {
            (Some(Operation::Context(context)), None) => Some(*context),
            _ => None,
        }
    }

    /// The files of a context.
    fn context(&self, context: ContextId) -> Option<&Arc<Tree>> {
        self.open.get(context.0)?.as_ref()
    }
}

/// An error with its causes, in one line.
fn full_message(error: &StepError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
