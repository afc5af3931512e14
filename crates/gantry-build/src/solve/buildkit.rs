//! Steps by BuildKit's names: looked up in caches that have such, and told to caches that leave.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};

use gantry_model::{Digest, StepLink, StepRecord, StepResult};

use super::Solver;
use super::seen::is_cheap;
use super::step::diff_ids;
use crate::base::BaseImageError;
use crate::borrowed::{BorrowedCache, BorrowedLayer};
use crate::buildkit::{
    Bound, Content, Contents, Known, KnownInput, Origin, Part, Records, Selection, Vertex,
    of_content, of_directory, of_file, of_image, of_run,
};
use crate::error::StepError;
use crate::graph::{NodeId, Operation};
use crate::tree::{Match, Tree};

/// What is known of the nodes of a graph by BuildKit's names.
#[derive(Debug, Default)]
pub(super) struct Names<'s> {
    /// The records of imported caches; nothing is looked up without.
    records: Option<Records<'s>>,
    known: Vec<OnceLock<Known>>,
    /// The names of files that steps work on; nothing where they have none.
    contents: Mutex<HashMap<(NodeId, Contents), Option<Digest>>>,
    /// Steps that would have been looked for, had they a name.
    unnamed: Mutex<BTreeSet<NodeId>>,
}

impl<'s> Names<'s> {
    pub(super) fn new(records: &'s [StepRecord], nodes: usize) -> Self {
        Self {
            records: (!records.is_empty()).then(|| Records::new(records)),
            known: std::iter::repeat_with(OnceLock::new).take(nodes).collect(),
            ..Self::default()
        }
    }

    /// The files that a copy took are not those that were selected.
    pub(super) fn forget(&self, copy: NodeId) {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.insert((copy, Contents::Copied), None);
    }
}

impl Solver<'_> {
    /// What a cache has that knows the step by BuildKit's name. The layers below must be those that
    /// the step stands on here, so that its own is the only one that is new.
    pub(super) fn brought_by_name(
        &self,
        id: NodeId,
        borrowed: &dyn BorrowedCache,
    ) -> Result<Option<BorrowedLayer>, BaseImageError> {
        let Some(records) = &self.names.records else {
            return Ok(None);
        };
        if self.vertices_of(id).is_empty() {
            // What a mount shows of a context is no step there.
            if !self.is_of_context(id) {
                let unnamed = self.names.unnamed.lock();
                unnamed.unwrap_or_else(PoisonError::into_inner).insert(id);
            }
            return Ok(None);
        }
        let below = diff_ids(self.input(id, 0));
        let mut failed = None;
        for number in self.known(id) {
            let made = records.get(*number).made.as_ref();
            let layers = made.and_then(|made| made.layers.split_last());
            if layers.is_none_or(|(_, others)| others != below) {
                continue;
            }
            match borrowed.bring_record(*number) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// The steps that ran, or were looked up, without a name by which imported caches of BuildKit
    /// could have them, as they are shown.
    pub(crate) fn unnamed(&self) -> Vec<&str> {
        let unnamed = self.names.unnamed.lock();
        let unnamed = unnamed.unwrap_or_else(PoisonError::into_inner);
        let name = |id: &NodeId| self.graph.node(*id).label.name.as_str();
        unnamed
            .iter()
            .map(name)
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// The steps that were done by BuildKit's names, for caches that leave; those that have none
    /// are left out.
    pub(crate) fn step_records(&self) -> Vec<StepRecord> {
        let mut told = Told::default();
        for number in 0..self.graph.len() {
            let id = NodeId(number);
            if self.results[number].get().is_none() {
                continue;
            }
            let layers = self.layers(id);
            let created = layers.last().and_then(|layer| layer.created.clone());
            let is_step = self.accounts[number].get().is_some();
            let made = created.filter(|_| is_step).map(|created| StepResult {
                layers: diff_ids(layers),
                created,
            });
            for vertex in self.vertices_of(id) {
                let record = self.tell(id, &vertex, made.clone(), &mut told);
                told.nodes.entry(id).or_default().extend(record);
            }
        }
        told.records
    }

    /// Adds the record of a vertex, where all of its inputs are known by something; its number.
    fn tell(
        &self,
        id: NodeId,
        vertex: &Vertex,
        made: Option<StepResult>,
        told: &mut Told,
    ) -> Option<usize> {
        let mut inputs = Vec::new();
        for input in &vertex.inputs {
            let made_by = match &input.origin {
                Origin::Node(number) => {
                    let node = self.graph.node(id).inputs[*number];
                    told.nodes.get(&node).cloned().unwrap_or_default()
                }
                Origin::Context => Vec::new(),
                Origin::Vertex(vertex) => self.tell(id, vertex, None, told).into_iter().collect(),
            };
            let made_by = made_by.into_iter().map(|record| StepLink {
                record,
                selector: input.selector,
            });
            let content = self.content(id, &input.contents).map(|name| StepLink {
                record: told.content(name),
                selector: None,
            });
            let links: Vec<StepLink> = made_by.chain(content).collect();
            if links.is_empty() {
                return None;
            }
            inputs.push(links);
        }
        told.records.push(StepRecord {
            digest: vertex.digest,
            inputs,
            made,
        });
        Some(told.records.len() - 1)
    }

    /// The records that a node is. One that is run whatever caches have is none of them, so that
    /// what it makes counts for those on top.
    fn known(&self, id: NodeId) -> &Known {
        self.names.known[id.0].get_or_init(|| {
            if self.graph.node(id).label.fresh {
                return Known::new();
            }
            let vertices = self.vertices_of(id);
            let known = vertices.iter().map(|vertex| self.known_vertex(id, vertex));
            known.flatten().collect()
        })
    }

    fn known_vertex(&self, id: NodeId, vertex: &Vertex) -> Known {
        let Some(records) = &self.names.records else {
            return Known::new();
        };
        let made_by: Vec<Known> = vertex
            .inputs
            .iter()
            .map(|input| match &input.origin {
                Origin::Node(number) => self.known(self.graph.node(id).inputs[*number]).clone(),
                Origin::Context => Known::new(),
                Origin::Vertex(vertex) => self.known_vertex(id, vertex),
            })
            .collect();
        let contents: Vec<Box<dyn Fn() -> Option<Digest> + '_>> = vertex
            .inputs
            .iter()
            .map(|input| {
                let content = move || self.content(id, &input.contents);
                Box::new(content) as Box<dyn Fn() -> Option<Digest> + '_>
            })
            .collect();
        let inputs: Vec<KnownInput<'_>> = (vertex.inputs.iter().zip(&made_by).zip(&contents))
            .map(|((input, made_by), content)| KnownInput {
                made_by,
                selector: input.selector,
                content: &**content,
            })
            .collect();
        records.find(&vertex.digest, &inputs)
    }

    /// BuildKit's names of what a node does.
    fn vertices_of(&self, id: NodeId) -> Vec<Vertex> {
        match &self.graph.node(id).operation {
            Operation::Image(image) => of_image(image),
            _ => self.vertex_of(id).into_iter().collect(),
        }
    }

    fn vertex_of(&self, id: NodeId) -> Option<Vertex> {
        let node = self.graph.node(id);
        let operation = |number: usize| {
            let input = node.inputs.get(number)?;
            Some(&self.graph.node(*input).operation)
        };
        let on_scratch = operation(0) == Some(&Operation::Scratch);
        match &node.operation {
            Operation::MakeDirectory(directory) => of_directory(directory, on_scratch),
            Operation::File(file) => {
                let [below, from] = node.inputs[..] else {
                    return None;
                };
                let from_context = match &self.graph.node(from).operation {
                    Operation::Context(_) => true,
                    Operation::Scratch | Operation::Http(_) | Operation::Git(_) => return None,
                    _ => false,
                };
                if below == from {
                    return None;
                }
                of_file(file, on_scratch, from_context)
            }
            Operation::Run(run) => of_run(run, on_scratch, &|number| self.bound(id, number)),
            Operation::Scratch
            | Operation::Image(_)
            | Operation::Context(_)
            | Operation::Http(_)
            | Operation::Git(_) => None,
        }
    }

    /// What a mount shows of an input.
    fn bound(&self, id: NodeId, number: usize) -> Option<Bound> {
        let inputs = &self.graph.node(id).inputs;
        let shown = *inputs.get(number)?;
        if self.is_of_context(shown) {
            let context = self.graph.node(shown).inputs.get(1)?;
            return Some(Bound::Context(context.0));
        }
        let is_rootfs = match self.graph.node(shown).operation {
            Operation::Image(_)
            | Operation::File(_)
            | Operation::MakeDirectory(_)
            | Operation::Run(_) => shown != inputs[0],
            _ => false,
        };
        is_rootfs.then_some(Bound::RootFs(shown.0))
    }

    /// The name of the files that a step works on.
    fn content(&self, id: NodeId, contents: &Contents) -> Option<Digest> {
        if *contents == Contents::No {
            return None;
        }
        let key = (id, contents.clone());
        let all = || {
            let contents = self.names.contents.lock();
            contents.unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(found) = all().get(&key) {
            return *found;
        }
        let found = match (contents, &self.graph.node(id).operation) {
            (Contents::Copied, Operation::File(file)) => self.copied_content(id, file),
            (Contents::Mounted(parts), _) => self.mounted_content(id, parts),
            _ => Ok(None),
        };
        // What cannot be read is run, and complains then.
        let name = found.unwrap_or_default().as_ref().map(of_content);
        all().insert(key, name);
        name
    }

    fn mounted_content(
        &self,
        id: NodeId,
        parts: &[(usize, String)],
    ) -> Result<Option<Digest>, StepError> {
        let mut tree: Option<std::sync::Arc<Tree>> = None;
        let mut is_context = false;
        let mut found: Vec<(String, Vec<Match>)> = Vec::new();
        for (number, path) in parts {
            let node = self.graph.node(id).inputs[*number];
            if self.is_of_context(node) {
                is_context = true;
                let context = self.copied_context(node);
                tree = context.and_then(|context| self.context(context)).cloned();
                let selected = self.selections[node.0].get();
                let matches = selected.and_then(|selected| selected.first()).cloned();
                found.push((path.clone(), matches.unwrap_or_default()));
                continue;
            }
            let layers = self.layers(node);
            if !is_cheap(layers, path) {
                return Ok(None);
            }
            let Some((shown, matched)) = self.found(layers, path)? else {
                return Ok(None);
            };
            tree = Some(std::sync::Arc::new(shown));
            found.push((path.clone(), vec![matched]));
        }
        let Some(tree) = tree else { return Ok(None) };
        let content = Content {
            tree: &tree,
            is_context,
        };
        let parts = found.iter().map(|(path, found)| Part {
            path: path.clone(),
            selection: Selection::Whole,
            found,
        });
        let digest = content.of(parts.collect());
        digest.map_err(|source| StepError::io("read", tree.shown("".as_ref()), source))
    }
}

/// Records on their way to a cache.
#[derive(Default)]
struct Told {
    records: Vec<StepRecord>,
    nodes: HashMap<NodeId, Vec<usize>>,
    contents: HashMap<Digest, usize>,
}

impl Told {
    /// The number of the record of content.
    fn content(&mut self, name: Digest) -> usize {
        *self.contents.entry(name).or_insert_with(|| {
            self.records.push(StepRecord {
                digest: name,
                inputs: Vec::new(),
                made: None,
            });
            self.records.len() - 1
        })
    }
}
