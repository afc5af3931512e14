//! What of a plan an earlier layer has already: the new one is then a patch of it.
//!
//! Found by looking at names and status only. What looks the same is compared by content when its
//! turn comes (it is read in any case, for the tar), and written after all if it is another.

use std::borrow::Cow;
use std::collections::btree_map;
use std::ffi::OsStr;
use std::io;

use gantry_store::{DraftTar, Store, TarPoint, Whole};
use gantry_sys::path::Directory;
use rustix::fs::FileType;

use super::marks::reached;
use super::steps::{Steps, What};
use crate::marks::Marks;
use crate::ops::plan::{Folder, LayerPlan, Node, Planned};
use crate::permissions::Permissions;
use crate::tree::Facts;

/// What has to be saved at least.
const WORTH: u64 = 4 << 20;

/// An earlier layer, whole, that a new one may be a patch of.
pub(crate) struct Former {
    pub(crate) store: Store,
    pub(crate) whole: Whole,
    /// Points of its tar, and its seal when these were noted.
    pub(crate) marks: Option<(Marks, String)>,
}

impl Former {
    /// Where the digest of a tar that begins like that of this layer can go on: behind so many steps,
    /// which need not be read.
    pub(super) fn known(
        &self,
        plan: &LayerPlan<'_>,
        steps: &Steps<'_, '_>,
        tar: &DraftTar,
    ) -> Option<(usize, TarPoint)> {
        let (marks, sealed) = self.marks.as_ref()?;
        let (count, point) = reached(marks, plan, steps, tar)?;
        // What is not read must be untouched. To look at all files is only worth it where something
        // comes of it.
        let seal = self.store.layers().seal(&self.whole.diff_id).ok()?;
        (seal.to_string() == *sealed).then(|| (count, point.clone()))
    }
}

/// The layer that a new one is a patch of.
pub(super) struct Patch {
    pub(super) whole: Whole,
    /// Its tree.
    pub(super) root: Directory,
}

impl Patch {
    /// Marks the steps of a plan that a layer has already; `None` where a patch of this layer cannot
    /// give what is planned, or would save little.
    pub(super) fn find(
        plan: &LayerPlan<'_>,
        steps: &mut Steps<'_, '_>,
        whole: &Whole,
    ) -> Option<Self> {
        // The names of one file have to be in one tree.
        if steps.iter().any(|step| matches!(step.what, What::Link(_))) {
            return None;
        }
        // What cannot be looked at is no help.
        let root = Directory::open(&whole.tree).ok()?;
        let same = same(plan, &root).ok()??;
        let (mut kept, mut made) = (0, 0);
        for (number, same) in same.iter().enumerate() {
            *(if *same { &mut kept } else { &mut made }) += steps.cost(plan, number);
        }
        if kept < WORTH || kept < made {
            return None;
        }
        for (step, same) in steps.iter_mut().zip(same) {
            step.kept = same;
        }
        let whole = whole.clone();
        Some(Self { whole, root })
    }
}

/// A directory of the plan on the way through it.
struct Open<'p, 't> {
    children: btree_map::Iter<'p, Cow<'t, OsStr>, Node<'t>>,
    /// The same in the layer, and how many of its entries the plan has not been seen to have yet.
    there: Option<(Directory, usize)>,
}

/// Of everything planned, in the order of the steps, whether the layer has just this. `None` where
/// it has something that is not planned, or a directory in place of a file or the other way round.
fn same(plan: &LayerPlan<'_>, root: &Directory) -> io::Result<Option<Vec<bool>>> {
    let mut same = Vec::new();
    let mut open = vec![Open::new(&plan.root, Some(root.try_clone()?))?];
    while let Some(here) = open.last_mut() {
        let Some((name, node)) = here.children.next() else {
            if here.there.as_ref().is_some_and(|(_, unseen)| *unseen > 0) {
                return Ok(None);
            }
            open.pop();
            continue;
        };
        let found = here.look(name)?;
        let is_folder = found.is_some_and(|facts| facts.kind == FileType::Directory);
        match node {
            Node::Folder(_) | Node::File(_) if found.is_none() => same.push(false),
            Node::File(planned) if !is_folder => same.push(here.has(plan, name, *planned, found)?),
            Node::Folder(_) if is_folder => {}
            Node::Folder(_) | Node::File(_) => return Ok(None),
        }
        if let Node::Folder(folder) = node {
            let there = match (&here.there, is_folder) {
                (Some((above, _)), true) => Some(above.directory_beneath(name)?),
                _ => None,
            };
            if let (Some(there), Some(found)) = (&there, found) {
                same.push(
                    found.is(&folder.permissions, folder.modified) && is_bare(folder, there)?,
                );
            }
            open.push(Open::new(folder, there)?);
        }
    }
    Ok(Some(same))
}

/// What is at a name of the layer.
#[derive(Clone, Copy)]
struct Found {
    kind: FileType,
    facts: Facts,
}

impl Found {
    fn is(&self, permissions: &Permissions, modified: (i64, u32)) -> bool {
        Permissions::from(&self.facts) == *permissions && self.facts.modified == modified
    }
}

/// Whether neither has extended attributes.
fn is_bare(folder: &Folder<'_>, there: &Directory) -> io::Result<bool> {
    Ok(folder.attributes.is_empty() && gantry_sys::xattr::names(there)?.is_empty())
}

impl<'p, 't> Open<'p, 't> {
    fn new(folder: &'p Folder<'t>, there: Option<Directory>) -> io::Result<Self> {
        let there = match there {
            Some(there) => {
                let count = there.entries()?.len();
                Some((there, count))
            }
            None => None,
        };
        Ok(Self {
            children: folder.children.iter(),
            there,
        })
    }

    fn look(&mut self, name: &OsStr) -> io::Result<Option<Found>> {
        let Some((there, unseen)) = &mut self.there else {
            return Ok(None);
        };
        match there.status_of(name) {
            Ok(stat) => {
                *unseen = unseen.saturating_sub(1);
                Ok(Some(Found {
                    kind: FileType::from_raw_mode(stat.st_mode),
                    facts: Facts::new(&stat),
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the layer seems to have just this file or link.
    fn has(
        &self,
        plan: &LayerPlan<'_>,
        name: &OsStr,
        planned: Planned<'_>,
        found: Option<Found>,
    ) -> io::Result<bool> {
        let (Some(found), Planned::Copied(_, entry)) = (found, planned) else {
            return Ok(false);
        };
        let (permissions, modified) = (plan.permissions(planned), plan.time(planned));
        if found.kind != entry.kind {
            return Ok(false);
        }
        Ok(match entry.kind {
            FileType::RegularFile => {
                // One of several names stays one of them, and programs count them.
                entry.digest().is_some()
                    && !found.facts.linked
                    && found.facts.size == entry.stat.size
                    && found.is(&permissions, modified)
            }
            FileType::Symlink => {
                let owners = (permissions.uid, permissions.gid);
                let target = match &self.there {
                    Some((there, _)) => Some(there.read_link(name)?),
                    None => None,
                };
                (found.facts.uid, found.facts.gid) == owners
                    && found.facts.modified == modified
                    && target.as_deref() == entry.link.as_deref()
            }
            _ => false,
        })
    }
}
