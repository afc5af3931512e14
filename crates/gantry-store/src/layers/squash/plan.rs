//! Which entries of several archives are seen when each lies over the ones before; pure.

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::tar::{Entry, EntryKind};
use crate::tree;
use crate::unpack::{Meaning, meaning_of, relative};

/// Where the content of a file is: number of the layer and of the entry in its archive.
type Place = (usize, usize);

/// What is at a path.
#[derive(Debug, Clone)]
enum Node {
    /// A directory, as the last archive that lists it says; `hides` what is below all layers.
    Directory { entry: Option<Entry>, hides: bool },
    /// Anything else that has a content or is one; hard links to each other share the place.
    Content { place: Place, symlink: bool },
    /// A hard link to a file below all layers.
    Foreign(Entry),
    /// Hides what is below all layers.
    Whiteout,
}

/// The files of the layers so far.
#[derive(Debug)]
pub(super) struct Plan {
    above: bool,
    layers: usize,
    /// By path; a directory stands before what is in it.
    nodes: BTreeMap<Vec<u8>, Node>,
}

impl Plan {
    /// No layers yet; `above` as with [`Layers::squash`](crate::Layers::squash).
    pub(super) fn new(above: bool) -> Self {
        Self {
            above,
            layers: 0,
            nodes: BTreeMap::new(),
        }
    }

    /// Lays the next layer over the others: the entries of its archive, in order.
    ///
    /// # Errors
    /// Where a path leads through a symbolic link, or a hard link to nothing.
    pub(super) fn layer(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        // Whiteouts speak of the layers below, wherever in the archive they stand.
        for entry in &entries {
            let path = relative(&entry.path);
            let (parent, _) = tree::split_last(&path);
            match meaning_of(&path) {
                Meaning::Whiteout(hidden) => {
                    self.parents(&path)?;
                    let hidden = tree::join(parent, hidden);
                    self.clear(&hidden);
                    if self.above {
                        self.nodes.insert(hidden, Node::Whiteout);
                    } else {
                        self.nodes.remove(&hidden);
                    }
                }
                Meaning::Opaque => {
                    self.parents(&path)?;
                    self.clear(parent);
                    if let Some(Node::Directory { hides, .. }) = self.nodes.get_mut(parent) {
                        *hides = self.above;
                    }
                }
                Meaning::Plain | Meaning::Ignored | Meaning::Malformed => {}
            }
        }
        let mut late = Vec::new();
        for (number, entry) in entries.into_iter().enumerate() {
            let path = relative(&entry.path);
            if meaning_of(&path) != Meaning::Plain {
                continue;
            }
            if let Err(entry) = self.entry(&path, entry, number)? {
                late.push((path, entry));
            }
        }
        for (path, entry) in late {
            self.link(path, entry)?;
        }
        self.layers += 1;
        Ok(())
    }

    /// Puts an entry in its place; gives a hard link back whose target is not there yet.
    fn entry(&mut self, path: &[u8], entry: Entry, number: usize) -> io::Result<Result<(), Entry>> {
        self.parents(path)?;
        let node = match entry.kind {
            EntryKind::Directory => {
                let hides = match self.nodes.get(path) {
                    Some(Node::Directory { hides, .. }) => *hides,
                    Some(_) => self.above,
                    None => false,
                };
                let entry = Some(entry);
                self.nodes
                    .insert(path.to_vec(), Node::Directory { entry, hides });
                return Ok(Ok(()));
            }
            EntryKind::HardLink => match self.nodes.get(&relative(&entry.link)) {
                Some(node @ Node::Content { .. }) => node.clone(),
                _ => return Ok(Err(entry)),
            },
            kind => Node::Content {
                place: (self.layers, number),
                symlink: kind == EntryKind::Symlink,
            },
        };
        self.clear(path);
        self.nodes.insert(path.to_vec(), node);
        Ok(Ok(()))
    }

    /// A hard link to what stands behind it in the archive, or below all layers.
    fn link(&mut self, path: Vec<u8>, entry: Entry) -> io::Result<()> {
        let node = match self.nodes.get(&relative(&entry.link)) {
            Some(node @ Node::Content { .. }) => node.clone(),
            _ if self.above => Node::Foreign(entry),
            _ => return Err(refused(&path, "is a hard link to nothing")),
        };
        self.clear(&path);
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Makes the directories above a path where they are only implied. What else is there is
    /// replaced: the layer has a directory of its own.
    fn parents(&mut self, path: &[u8]) -> io::Result<()> {
        let mut ends: Vec<usize> = (0..path.len()).filter(|&at| path[at] == b'/').collect();
        if !path.is_empty() {
            ends.insert(0, 0);
        }
        for end in ends {
            let hides = match self.nodes.get(&path[..end]) {
                Some(Node::Directory { .. }) => continue,
                Some(Node::Content {
                    place: (layer, _),
                    symlink: true,
                }) if *layer == self.layers => {
                    return Err(refused(
                        path,
                        "leads through a symbolic link of its own layer",
                    ));
                }
                Some(_) => self.above,
                None => false,
            };
            let entry = None;
            self.nodes
                .insert(path[..end].to_vec(), Node::Directory { entry, hides });
        }
        Ok(())
    }

    /// Forgets what is in a directory.
    fn clear(&mut self, directory: &[u8]) {
        let mut first = directory.to_vec();
        if !first.is_empty() {
            first.push(b'/');
        }
        let inside: Vec<Vec<u8>> = self
            .nodes
            .range(first.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&first))
            .filter(|path| !path.is_empty())
            .cloned()
            .collect();
        for path in inside {
            self.nodes.remove(&path);
        }
    }

    /// The entries without content, directories before what is in them, and by its place the
    /// names of every content that is seen.
    pub(super) fn seen(&self) -> (Vec<Entry>, HashMap<Place, Vec<Vec<u8>>>) {
        let mut first = Vec::new();
        let mut contents: HashMap<Place, Vec<Vec<u8>>> = HashMap::new();
        for (path, node) in &self.nodes {
            match node {
                Node::Directory { entry, hides } => {
                    if let Some(entry) = entry {
                        first.push(Entry {
                            path: if path.is_empty() { b"." } else { &path[..] }.to_vec(),
                            ..entry.clone()
                        });
                    }
                    if *hides {
                        first.push(mark(tree::join(path, b".wh..wh..opq")));
                    }
                }
                Node::Content { place, .. } => {
                    contents.entry(*place).or_default().push(path.clone());
                }
                Node::Foreign(entry) => first.push(Entry {
                    path: path.clone(),
                    ..entry.clone()
                }),
                Node::Whiteout => {
                    let (parent, name) = tree::split_last(path);
                    first.push(mark(tree::join(parent, &[b".wh.", name].concat())));
                }
            }
        }
        (first, contents)
    }
}

/// A whiteout's entry.
fn mark(path: Vec<u8>) -> Entry {
    Entry {
        mode: 0,
        ..Entry::new(EntryKind::Regular, path)
    }
}

fn refused(path: &[u8], what: &str) -> io::Error {
    let text = format!("{:?} {what}", String::from_utf8_lossy(path));
    io::Error::new(io::ErrorKind::InvalidData, text)
}
