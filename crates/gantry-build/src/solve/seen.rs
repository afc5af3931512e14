//! What the bind mounts of a `RUN` show of other stages. The step is known by that as well, whatever
//! else these stages have.

use gantry_dockerfile::ignore::IgnoreFile;

use super::Solver;
use super::step::diff_ids;
use crate::cache::{Key, Layer, Seen, key_of_seen};
use crate::error::StepError;
use crate::graph::{Mount, NodeId, Operation, RunOperation};
use crate::ops::view;
use crate::permissions::Change;
use crate::tree::{Match, Tree};

/// Files are shown as they are.
pub(super) const AS_THEY_ARE: Change = Change {
    owner: None,
    mode: None,
    keep_owners: true,
    parents: true,
};

/// What a step sees through its mounts.
pub(super) struct Shown {
    /// The key by it.
    pub(super) key: Key,
    /// The files and folders that are mounted.
    pub(super) files: Vec<Match>,
}

impl Solver<'_> {
    /// Looks at what is mounted out of stages; `None` where nothing is that could be the same in
    /// another stage.
    pub(super) fn shown(
        &self,
        id: NodeId,
        operation: &RunOperation,
        inputs: &[&[Layer]],
    ) -> Result<Option<Shown>, StepError> {
        let mut files = Vec::new();
        let mut inside: Vec<Option<usize>> = vec![None; inputs.len()];
        for mount in &operation.mounts {
            let Mount::Bind(bind) = mount else {
                continue;
            };
            let node = self.graph.node(id).inputs[bind.input];
            let layers = inputs[bind.input];
            if self.is_of_context(node) || !is_cheap(layers, &bind.source) {
                continue;
            }
            // What is not there is complained about when it is mounted.
            let Some((_, found)) = self.found(layers, &bind.source)? else {
                return Ok(None);
            };
            inside[bind.input] = Some(files.len());
            files.push(found);
        }
        if files.is_empty() {
            return Ok(None);
        }
        let seen: Vec<Seen<'_>> = inputs
            .iter()
            .zip(inside)
            .map(|(layers, inside)| match inside {
                Some(number) => Seen::Files(&files[number], &AS_THEY_ARE),
                None => Seen::Layers(layers),
            })
            .collect();
        let key = key_of_seen(&self.graph.node(id).operation, &seen);
        drop(seen);
        Ok(Some(Shown { key, files }))
    }

    /// Files of the context are copied to be shown: their layer is known by its content already.
    pub(super) fn is_of_context(&self, node: NodeId) -> bool {
        let node = self.graph.node(node);
        matches!(node.operation, Operation::File(_))
            && node
                .inputs
                .iter()
                .any(|input| matches!(self.graph.node(*input).operation, Operation::Context(_)))
            && node
                .inputs
                .first()
                .is_some_and(|below| self.graph.node(*below).operation == Operation::Scratch)
    }

    /// What is at a path of the files of layers, and the tree that it is in.
    pub(super) fn found(
        &self,
        layers: &[Layer],
        source: &str,
    ) -> Result<Option<(Tree, Match)>, StepError> {
        let store = &self.setting.store;
        let Some(root) = view::open(store, &diff_ids(layers), &self.setting.empty())? else {
            return Ok(None);
        };
        let tree = Tree::rootfs(root, self.setting.threads).until(&self.stop);
        let nothing = IgnoreFile::from_patterns([]).expect("no pattern is wrong");
        let found = tree.select_exact(source, &nothing).ok();
        let found = found.and_then(|found| found.into_iter().next());
        Ok(found.map(|found| (tree, found)))
    }
}

/// Whether it is worth looking at every file: a part, or what no base image is below.
pub(super) fn is_cheap(layers: &[Layer], source: &str) -> bool {
    source != "/" || layers.iter().all(|layer| layer.created.is_some())
}
