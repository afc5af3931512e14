//! Types of values, as `type = list(string)` spells them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Types by name; the flag says whether one may be missing.
pub type Members = BTreeMap<Arc<str>, (Type, bool)>;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Any type.
    Dynamic,
    /// A text.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Elements of one type in an order.
    List(Box<Self>),
    /// Different elements of one type.
    Set(Box<Self>),
    /// Elements of one type by name.
    Map(Box<Self>),
    /// A fixed number of elements.
    Tuple(Vec<Self>),
    /// Elements with fixed names.
    Object(Members),
}

impl Type {
    /// A list of texts.
    pub fn strings() -> Self {
        Self::List(Box::new(Self::String))
    }

    /// Texts by name.
    pub fn string_map() -> Self {
        Self::Map(Box::new(Self::String))
    }

    /// Whether it is a text, a number or a truth value.
    pub fn is_primitive(&self) -> bool {
        matches!(self, Self::String | Self::Number | Self::Bool)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dynamic => f.write_str("any type"),
            Self::String => f.write_str("string"),
            Self::Number => f.write_str("number"),
            Self::Bool => f.write_str("bool"),
            Self::List(element) => write!(f, "list of {element}"),
            Self::Set(element) => write!(f, "set of {element}"),
            Self::Map(element) => write!(f, "map of {element}"),
            Self::Tuple(_) => f.write_str("tuple"),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

/// The type that all of `types` can be converted to; `None` where there is none.
pub(crate) fn unify<'a>(types: impl IntoIterator<Item = &'a Type>) -> Option<Type> {
    let types: Vec<&Type> = types
        .into_iter()
        .filter(|kind| **kind != Type::Dynamic)
        .collect();
    let Some(first) = types.first() else {
        return Some(Type::Dynamic);
    };
    if types.iter().all(|kind| kind == first) {
        return Some((*first).clone());
    }
    if types.iter().all(|kind| kind.is_primitive()) {
        return types.contains(&&Type::String).then_some(Type::String);
    }
    sequences(&types).or_else(|| mappings(&types))
}

/// The common type of lists, sets and tuples.
fn sequences(types: &[&Type]) -> Option<Type> {
    let tuples: Option<Vec<&Vec<Type>>> = types
        .iter()
        .map(|kind| match kind {
            Type::Tuple(elements) => Some(elements),
            _ => None,
        })
        .collect();
    if let Some(tuples) = &tuples {
        let length = tuples.first()?.len();
        if tuples.iter().all(|tuple| tuple.len() == length) {
            let columns: Option<Vec<Type>> = (0..length)
                .map(|at| unify(tuples.iter().map(|tuple| &tuple[at])))
                .collect();
            if let Some(columns) = columns {
                return Some(Type::Tuple(columns));
            }
        }
    }
    let mut elements = Vec::new();
    for kind in types {
        match kind {
            Type::List(element) | Type::Set(element) => elements.push(element.as_ref()),
            Type::Tuple(all) => elements.extend(all),
            _ => return None,
        }
    }
    let element = Box::new(unify(elements)?);
    if types.iter().all(|kind| matches!(kind, Type::Set(_))) {
        return Some(Type::Set(element));
    }
    Some(Type::List(element))
}

/// The common type of maps and objects.
fn mappings(types: &[&Type]) -> Option<Type> {
    let objects: Option<Vec<&Members>> = types
        .iter()
        .map(|kind| match kind {
            Type::Object(fields) => Some(fields),
            _ => None,
        })
        .collect();
    if let Some(objects) = &objects {
        let first = objects.first()?;
        if objects.iter().all(|object| object.keys().eq(first.keys())) {
            let fields: Option<Members> = first
                .keys()
                .map(|name| {
                    let kind = unify(objects.iter().map(|object| &object[name].0))?;
                    Some((Arc::clone(name), (kind, false)))
                })
                .collect();
            if let Some(fields) = fields {
                return Some(Type::Object(fields));
            }
        }
    }
    let mut elements = Vec::new();
    for kind in types {
        match kind {
            Type::Map(element) => elements.push(element.as_ref()),
            Type::Object(fields) => elements.extend(fields.values().map(|(kind, _)| kind)),
            _ => return None,
        }
    }
    Some(Type::Map(Box::new(unify(elements)?)))
}
