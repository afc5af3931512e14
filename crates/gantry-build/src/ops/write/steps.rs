//! Everything that a plan has, in the order of the tar.
//!
//! There are as many steps as files, so none of them has a path of its own: it has the number of its
//! directory's, and a name.

use std::borrow::Cow;
use std::collections::{HashMap, btree_map};
use std::ffi::{OsStr, OsString};
use std::ops::{Deref, DerefMut, Range};

use super::marks::FILE;
use crate::ops::plan::{Folder, Group, LayerPlan, Node, Planned};
use crate::tree::join;

/// What is made by one thread at once: so many things, and so many bytes.
const BATCH: usize = 64;
const BATCH_BYTES: u64 = 256 << 10;

/// In place of the number of a directory.
const TOP: u32 = u32::MAX;

/// One thing that is made.
pub(super) struct Step<'p, 't> {
    /// The number of the directory it is in, or [`TOP`].
    pub(super) parent: u32,
    pub(super) name: &'p OsStr,
    pub(super) what: What<'p, 't>,
    /// Whether the layer that is patched seems to have just this.
    pub(super) kept: bool,
}

/// What is made.
#[derive(Clone, Copy)]
pub(super) enum What<'p, 't> {
    Folder(&'p Folder<'t>),
    File(Planned<'t>),
    /// Another name of the file that is so many steps from the beginning.
    Link(usize),
}

/// The steps of a plan, without the root.
pub(super) struct Steps<'p, 't>(Vec<Step<'p, 't>>);

impl<'p, 't> Deref for Steps<'p, 't> {
    type Target = [Step<'p, 't>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Steps<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

type Children<'p, 't> = btree_map::Iter<'p, Cow<'t, OsStr>, Node<'t>>;

impl<'p, 't> Steps<'p, 't> {
    pub(super) fn of(plan: &'p LayerPlan<'t>) -> Self {
        let mut steps = Vec::with_capacity(count(&plan.root));
        let mut first: HashMap<Group, usize> = HashMap::new();
        let mut open: Vec<(u32, Children<'p, 't>)> = vec![(TOP, plan.root.children.iter())];
        while let Some((parent, children)) = open.last_mut() {
            let Some((name, node)) = children.next() else {
                open.pop();
                continue;
            };
            let (parent, number) = (*parent, steps.len());
            let what = match node {
                Node::Folder(folder) => {
                    let here = u32::try_from(number).expect("memory has no room for so many steps");
                    open.push((here, folder.children.iter()));
                    What::Folder(folder)
                }
                Node::File(planned) => {
                    let original = plan.group(*planned).and_then(|group| {
                        let known = *first.entry(group).or_insert(number);
                        (known != number).then_some(known)
                    });
                    original.map_or(What::File(*planned), What::Link)
                }
            };
            steps.push(Step {
                parent,
                name,
                what,
                kept: false,
            });
        }
        Self(steps)
    }

    /// The path of a step, by its number.
    pub(super) fn path(&self, number: usize) -> OsString {
        let step = &self.0[number];
        match step.parent {
            TOP => step.name.to_owned(),
            parent => join(&self.path(parent as usize), step.name),
        }
    }

    /// The directories and their numbers.
    pub(super) fn folders(&self) -> impl DoubleEndedIterator<Item = (usize, &'p Folder<'t>)> {
        let steps = self.0.iter().enumerate();
        steps.filter_map(|(number, step)| match step.what {
            What::Folder(folder) => Some((number, folder)),
            What::File(_) | What::Link(_) => None,
        })
    }

    /// How much content a step is planned to have.
    pub(super) fn size(&self, plan: &LayerPlan<'_>, number: usize) -> u64 {
        match self.0[number].what {
            What::File(planned) => plan.size(planned),
            What::Folder(_) | What::Link(_) => 0,
        }
    }

    /// What a step costs, in bytes that are written.
    pub(super) fn cost(&self, plan: &LayerPlan<'_>, number: usize) -> u64 {
        FILE + self.size(plan, number)
    }

    /// The steps from `first` on, as many at a time as one thread does.
    pub(super) fn batches(&self, plan: &LayerPlan<'_>, first: usize) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let (mut start, mut bytes) = (first, 0);
        for number in first..self.0.len() {
            bytes += self.size(plan, number);
            let is_last = number + 1 == self.0.len();
            if number + 1 - start >= BATCH || bytes >= BATCH_BYTES || is_last {
                batches.push(start..number + 1);
                (start, bytes) = (number + 1, 0);
            }
        }
        batches
    }
}

/// How many things are below a directory.
fn count(folder: &Folder<'_>) -> usize {
    let below = folder.children.values().map(|node| match node {
        Node::Folder(folder) => count(folder),
        Node::File(_) => 0,
    });
    folder.children.len() + below.sum::<usize>()
}
