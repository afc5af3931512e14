//! Several files and `extends`: one tree (Compose specification, "Merge").

use super::yaml::{Node, NodeKind, Tag};
use crate::error::Result;

/// Members of `build` that may be written as a list of `NAME=VALUE`.
const MAPS: [&str; 5] = [
    "args",
    "labels",
    "additional_contexts",
    "extra_hosts",
    "environment",
];

/// `later` on top of `earlier`: mappings member by member, lists one behind the other.
pub(super) fn merge(earlier: Node, later: Node) -> Node {
    if later.tag != Tag::None {
        return later;
    }
    match (earlier.kind, later.kind) {
        (NodeKind::Mapping(mut members), NodeKind::Mapping(more)) => {
            for (name, node) in more {
                match members.iter().position(|(known, _)| *known == name) {
                    Some(at) => {
                        let (_, known) = members.swap_remove(at);
                        members.push((name, merge(known, node)));
                    }
                    None => members.push((name, node)),
                }
            }
            Node {
                kind: NodeKind::Mapping(members),
                ..later
            }
        }
        (NodeKind::Sequence(mut items), NodeKind::Sequence(more)) => {
            items.extend(more);
            Node {
                kind: NodeKind::Sequence(items),
                ..later
            }
        }
        (_, kind) => Node { kind, ..later },
    }
}

/// A service in its long form, so that it can be merged.
pub(super) fn long_form(service: Node) -> Result<Node> {
    let NodeKind::Mapping(members) = service.kind else {
        return Ok(service);
    };
    let members = members
        .into_iter()
        .map(|(name, node)| {
            let node = match (name.as_str(), &node.kind) {
                ("build", NodeKind::Scalar { .. }) if !node.is_null() => {
                    let context = (
                        "context".to_owned(),
                        Node {
                            tag: Tag::None,
                            ..node.clone()
                        },
                    );
                    node.with(NodeKind::Mapping(vec![context]))
                }
                ("build", NodeKind::Mapping(_)) => long_form(node)?,
                (name, NodeKind::Sequence(_)) if MAPS.contains(&name) => pairs(node)?,
                _ => node,
            };
            Ok((name, node))
        })
        .collect::<Result<_>>()?;
    Ok(Node {
        kind: NodeKind::Mapping(members),
        ..service
    })
}

/// A list of `NAME=VALUE` as a mapping; without `=` the value is null. Hosts may have a colon.
fn pairs(node: Node) -> Result<Node> {
    let NodeKind::Sequence(items) = &node.kind else {
        return Ok(node);
    };
    let mut members: Vec<(String, Node)> = Vec::new();
    for item in items {
        let NodeKind::Scalar { text, .. } = &item.kind else {
            return Err(item.fault("NAME=VALUE is expected here"));
        };
        let pair = text.split_once('=').or_else(|| text.split_once(':'));
        let (name, value) = match pair {
            Some((name, value)) => (name, item.text_here(value)),
            None => (
                text.as_str(),
                item.with(NodeKind::Scalar {
                    text: String::new(),
                    plain: true,
                }),
            ),
        };
        members.retain(|(known, _)| known != name);
        members.push((name.to_owned(), value));
    }
    Ok(node.with(NodeKind::Mapping(members)))
}

/// Takes away what is tagged `!reset`.
pub(super) fn without_reset(node: Node) -> Node {
    let kind = match node.kind {
        NodeKind::Mapping(members) => NodeKind::Mapping(
            members
                .into_iter()
                .filter(|(_, member)| member.tag != Tag::Reset)
                .map(|(name, member)| (name, without_reset(member)))
                .collect(),
        ),
        kind => kind,
    };
    Node { kind, ..node }
}
