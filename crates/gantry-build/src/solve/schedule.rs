//! Which task is next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, PoisonError};

use super::Solver;
use crate::error::{BuildError, StepError, chain};
use crate::graph::{ContextId, NodeId};
use crate::progress::VertexId;

/// Something that can be done by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    /// Finding out which files of the context a step copies, and what is in them. Needs nothing, so
    /// that it runs beside the first steps.
    Select(NodeId),
    /// A node of the graph.
    Node(NodeId),
}

struct State {
    ready: Vec<Task>,
    /// For each task that is not ready: how many it waits for.
    waiting: HashMap<Task, usize>,
    /// Tasks that are under way.
    running: usize,
    /// For each context: selections that are not done.
    selecting: BTreeMap<ContextId, usize>,
    failed: Option<BuildError>,
}

struct Schedule<'s, 'b> {
    solver: &'s Solver<'b>,
    state: Mutex<State>,
    changed: Condvar,
    followers: HashMap<Task, Vec<Task>>,
    /// `[internal] load build context`, for each.
    contexts: BTreeMap<ContextId, VertexId>,
}

/// Runs the tasks of all needed nodes.
pub(super) fn run(solver: &Solver<'_>, needed: &[NodeId]) -> Result<(), BuildError> {
    let mut followers: HashMap<Task, Vec<Task>> = HashMap::new();
    let mut state = State {
        ready: Vec::new(),
        waiting: HashMap::new(),
        running: 0,
        selecting: BTreeMap::new(),
        failed: None,
    };
    for &node in needed {
        let mut before: Vec<Task> = solver
            .graph
            .node(node)
            .inputs
            .iter()
            .map(|input| Task::Node(*input))
            .collect();
        before.sort_by_key(|task| match task {
            Task::Node(id) | Task::Select(id) => *id,
        });
        before.dedup();
        if let Some(context) = solver.copied_context(node) {
            before.push(Task::Select(node));
            state.ready.push(Task::Select(node));
            *state.selecting.entry(context).or_default() += 1;
        }
        for task in &before {
            followers.entry(*task).or_default().push(Task::Node(node));
        }
        if before.is_empty() {
            state.ready.push(Task::Node(node));
        } else {
            state.waiting.insert(Task::Node(node), before.len());
        }
    }
    // Taken from the end: earlier nodes first, so that steps begin in the order of the file.
    state.ready.reverse();
    let contexts = state.selecting.iter().map(|(context, selections)| {
        if let Some(tree) = solver.context(*context) {
            tree.share(*selections > 1);
        }
        let name = solver.contexts.vertex(*context);
        (*context, solver.reporter.begin(&name))
    });
    let contexts = contexts.collect();
    let threads = solver.setting.parallelism.min(needed.len());
    let schedule = Schedule {
        solver,
        state: Mutex::new(state),
        changed: Condvar::new(),
        followers,
        contexts,
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| schedule.work());
        }
        schedule.work();
    });
    let state = schedule
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some(_) if solver.stop.is_canceled() => Err(BuildError::Canceled),
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Stops the others if its thread panics: what it was doing never ends.
struct Watch<'w, 's, 'b>(&'w Schedule<'s, 'b>);

impl Drop for Watch<'_, '_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.solver.stop.fail();
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.failed.get_or_insert(BuildError::Canceled);
            drop(state);
            self.0.changed.notify_all();
        }
    }
}

impl Schedule<'_, '_> {
    fn work(&self) {
        loop {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let task = loop {
                if state.failed.is_some() {
                    return;
                }
                if let Some(task) = state.ready.pop() {
                    break task;
                }
                if state.running == 0 {
                    return;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            state.running += 1;
            drop(state);
            let watch = Watch(self);
            let result = self.perform(task);
            drop(watch);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running -= 1;
            match result {
                Ok(()) => self.advance(&mut state, task),
                Err(error) => {
                    self.solver.stop.fail();
                    // The first failure is the reason; the others are its consequences, some of
                    // which come before it while somebody looks at it.
                    if matches!(state.failed, None | Some(BuildError::Canceled)) {
                        state.failed = Some(error);
                    }
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn perform(&self, task: Task) -> Result<(), BuildError> {
        let (Task::Node(node) | Task::Select(node)) = task;
        let vertex = self.solver.vertex(node);
        let result = if self.solver.stop.is_stopped() {
            Err(StepError::Canceled)
        } else {
            match task {
                Task::Select(node) => self.solver.select(node),
                Task::Node(node) => self.solver.node(node),
            }
        };
        result.map_err(|error| {
            let error = self.solver.error(node, error);
            if let Some(vertex) = vertex {
                match &error {
                    BuildError::Canceled => self.solver.reporter.canceled(vertex),
                    BuildError::Step { source, .. } => {
                        self.solver
                            .reporter
                            .failed(vertex, &super::full_message(source));
                    }
                    other => self.solver.reporter.failed(vertex, &chain(other)),
                }
            }
            error
        })
    }

    /// Tells of a context when the last of its selections is done.
    fn selected(&self, state: &mut State, node: NodeId) {
        let Some(context) = self.solver.copied_context(node) else {
            return;
        };
        let left = state.selecting.entry(context).or_default();
        *left = left.saturating_sub(1);
        if let (0, Some(vertex)) = (*left, self.contexts.get(&context)) {
            let tree = self.solver.context(context);
            let read = tree.map_or(0, |tree| {
                tree.share(false);
                tree.bytes_read()
            });
            let reporter = self.solver.reporter;
            reporter.bytes(*vertex, "reading context:", read, None, true);
            reporter.done(*vertex);
        }
    }

    fn advance(&self, state: &mut State, task: Task) {
        if let Task::Select(node) = task {
            self.selected(state, node);
        }
        for follower in self.followers.get(&task).into_iter().flatten() {
            if let Some(count) = state.waiting.get_mut(follower) {
                *count -= 1;
                if *count == 0 {
                    state.waiting.remove(follower);
                    state.ready.push(*follower);
                }
            }
        }
    }
}
