//! The attributes of targets and groups, and their types (Bake reference).

use crate::types::Type;

/// What an attribute is converted to.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Bool,
    Texts,
    TextMap,
    /// Texts and objects, see [`super::entry`].
    Entries,
    Any,
}

const TARGET: [(&str, Kind); 29] = [
    ("annotations", Kind::Texts),
    ("args", Kind::TextMap),
    ("attest", Kind::Entries),
    ("cache-from", Kind::Entries),
    ("cache-to", Kind::Entries),
    ("call", Kind::Text),
    ("context", Kind::Text),
    ("contexts", Kind::TextMap),
    ("description", Kind::Text),
    ("dockerfile", Kind::Text),
    ("dockerfile-inline", Kind::Text),
    ("entitlements", Kind::Texts),
    ("extra-hosts", Kind::TextMap),
    ("inherits", Kind::Texts),
    ("labels", Kind::TextMap),
    ("matrix", Kind::Any),
    ("network", Kind::Text),
    ("no-cache", Kind::Bool),
    ("no-cache-filter", Kind::Texts),
    ("output", Kind::Entries),
    ("platforms", Kind::Texts),
    ("pull", Kind::Bool),
    ("secret", Kind::Entries),
    ("shm-size", Kind::Text),
    ("ssh", Kind::Entries),
    ("tags", Kind::Texts),
    ("target", Kind::Text),
    ("ulimits", Kind::Texts),
    ("name", Kind::Text),
];

const GROUP: [(&str, Kind); 2] = [("description", Kind::Text), ("targets", Kind::Texts)];

/// Attributes of later releases of Bake, which are refused by name.
pub(crate) const UNSUPPORTED: [&str; 2] = ["policy", "resources"];

fn table(kind: &str) -> &'static [(&'static str, Kind)] {
    match kind {
        "target" => &TARGET,
        "group" => &GROUP,
        _ => &[],
    }
}

/// The names of the attributes of a kind of block, without `matrix` and `name`.
pub(crate) fn attributes(kind: &str) -> impl Iterator<Item = &'static str> {
    let names = table(kind).iter().map(|(name, _)| *name);
    names.filter(|name| !matches!(*name, "matrix" | "name"))
}

/// Whether a kind of block has an attribute of that name.
pub(crate) fn has_attribute(kind: &str, name: &str) -> bool {
    table(kind).iter().any(|(known, _)| *known == name)
}

/// The type of an attribute; `None` where there is none of that name.
pub(crate) fn attribute_type(kind: &str, name: &str) -> Option<Type> {
    let (_, kind) = table(kind).iter().find(|(known, _)| *known == name)?;
    Some(match kind {
        Kind::Text => Type::String,
        Kind::Bool => Type::Bool,
        Kind::Texts => Type::strings(),
        Kind::TextMap => Type::string_map(),
        Kind::Entries | Kind::Any => Type::Dynamic,
    })
}
