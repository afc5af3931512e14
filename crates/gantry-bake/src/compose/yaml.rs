//! YAML with the place of every node; aliases and merge keys are resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_dockerfile::{SourceFile, Span};
use granit_parser::{Event, Parser, ScalarStyle};

use crate::error::{BakeError, Result};

/// Most nodes of a document, those of aliases counted wherever they stand.
const MOST_NODES: usize = 200_000;
/// Most collections inside one another.
const DEEPEST: usize = 128;

/// A node and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) source: Arc<SourceFile>,
    pub(super) span: Span,
    pub(super) tag: Tag,
}

/// What a tag says about merging (Compose specification, "Merge").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    None,
    /// `!reset`: what other files say does not count.
    Reset,
    /// `!override`: it replaces what other files say.
    Override,
}

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    /// A text; `plain` where it stands without quotes and may mean something else than a text.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

impl Node {
    /// An error at this node.
    pub(super) fn fault(&self, message: impl Into<String>) -> BakeError {
        BakeError::new(message).at(&self.source, self.span)
    }

    /// Whether it is nothing: `null`, `~` or an empty place.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The members of a mapping; none where it is null.
    pub(super) fn members(&self) -> Result<&[(String, Node)]> {
        match &self.kind {
            NodeKind::Mapping(members) => Ok(members),
            _ if self.is_null() => Ok(&[]),
            _ => Err(self.fault("a mapping is expected here")),
        }
    }

    /// The member of that name.
    pub(super) fn member(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Mapping(members) => members
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// The same place with other content.
    pub(super) fn with(&self, kind: NodeKind) -> Self {
        Self {
            kind,
            ..self.clone()
        }
    }

    /// A text at this place.
    pub(super) fn text_here(&self, text: impl Into<String>) -> Self {
        self.with(NodeKind::Scalar {
            text: text.into(),
            plain: false,
        })
    }

    fn nodes(&self) -> usize {
        1 + match &self.kind {
            NodeKind::Scalar { .. } => 0,
            NodeKind::Sequence(items) => items.iter().map(Self::nodes).sum(),
            NodeKind::Mapping(members) => members.iter().map(|(_, node)| node.nodes()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.kind {
            NodeKind::Scalar { .. } => 0,
            NodeKind::Sequence(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            NodeKind::Mapping(members) => members
                .iter()
                .map(|(_, node)| node.depth())
                .max()
                .unwrap_or(0),
        }
    }
}

/// A collection that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The name of the next member of a mapping.
    key: Option<String>,
    /// Mappings of merge keys, which count less than the members.
    merged: Vec<Node>,
}

/// An anchor: the node, how many nodes it has and how deep they are.
type Anchors = BTreeMap<usize, (Node, usize, usize)>;

/// The first document of a text.
pub(super) fn parse(source: &Arc<SourceFile>) -> Result<Node> {
    let mut anchors = Anchors::new();
    let mut open: Vec<Open> = Vec::new();
    let mut count = 0_usize;
    for event in Parser::new_from_str(source.text()) {
        let (event, place) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0);
            BakeError::new(format!("this is no YAML: {}", error.info()))
                .at(source, Span::new(at, at))
        })?;
        let span = place
            .byte_range()
            .map_or(Span::default(), |range| Span::new(range.start, range.end));
        let tag = match event.tag().map(ToString::to_string).as_deref() {
            Some("!reset") => Tag::Reset,
            Some("!override") => Tag::Override,
            _ => Tag::None,
        };
        let node = |kind| Node {
            kind,
            source: Arc::clone(source),
            span,
            tag,
        };
        let (done, anchor, size, depth) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let kind = NodeKind::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                (node(kind), anchor, 1, 1)
            }
            Event::Alias(anchor) => {
                let Some((known, size, depth)) = anchors.get(&anchor).cloned() else {
                    let message = "this alias stands for something that contains it";
                    return Err(BakeError::new(message).at(source, span));
                };
                (known, 0, size, depth)
            }
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                let is_mapping = matches!(event, Event::MappingStart(..));
                open.push(Open {
                    node: node(if is_mapping {
                        NodeKind::Mapping(Vec::new())
                    } else {
                        NodeKind::Sequence(Vec::new())
                    }),
                    anchor,
                    key: None,
                    merged: Vec::new(),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(closed) = open.pop() else { continue };
                let anchor = closed.anchor;
                let done = closed.finish();
                // Only what an alias can name is measured: everything else is counted as it comes.
                let (size, depth) = if anchor == 0 {
                    (1, 1)
                } else {
                    (done.nodes(), done.depth())
                };
                (done, anchor, size, depth)
            }
            _ => continue,
        };
        count = count.saturating_add(size);
        if count > MOST_NODES || open.len() + depth > DEEPEST {
            let message = "this document has more nodes or levels than can be worked with";
            return Err(done.fault(message));
        }
        if anchor != 0 {
            anchors.insert(anchor, (done.clone(), size, depth));
        }
        match open.last_mut() {
            Some(holder) => holder.take(done)?,
            None => return Ok(done),
        }
    }
    Ok(Node {
        kind: NodeKind::Mapping(Vec::new()),
        source: Arc::clone(source),
        span: Span::default(),
        tag: Tag::None,
    })
}

impl Open {
    fn take(&mut self, done: Node) -> Result<()> {
        match &mut self.node.kind {
            NodeKind::Sequence(items) => items.push(done),
            NodeKind::Mapping(members) => match self.key.take() {
                None => match done.kind {
                    NodeKind::Scalar { text, .. } => self.key = Some(text),
                    _ => return Err(done.fault("the name of a member is a text")),
                },
                Some(key) if key == "<<" => match done.kind {
                    NodeKind::Sequence(items) => self.merged.extend(items),
                    _ => self.merged.push(done),
                },
                Some(key) => {
                    if members.iter().any(|(known, _)| *known == key) {
                        return Err(done.fault(format!("{key:?} is there twice")));
                    }
                    members.push((key, done));
                }
            },
            NodeKind::Scalar { .. } => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Node {
        if let NodeKind::Mapping(members) = &mut self.node.kind {
            for merged in self.merged {
                let NodeKind::Mapping(more) = merged.kind else {
                    continue;
                };
                for (key, node) in more {
                    if !members.iter().any(|(known, _)| *known == key) {
                        members.push((key, node));
                    }
                }
            }
        }
        self.node
    }
}
