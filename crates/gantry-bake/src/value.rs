//! What expressions evaluate to.
//!
//! Collections are shared and know how large and how deep they are, so that a file of some lines
//! cannot make a value that nothing can walk through.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::number::Number;
use crate::types::Type;

/// Most that a value may weigh: an element counts one, a text one more for every 16 bytes.
pub(crate) const LARGEST_VALUE: usize = 1 << 20;
/// Most collections inside one another.
pub(crate) const DEEPEST_VALUE: usize = 64;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, of this type.
    Null(Type),
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(Arc<str>),
    /// Elements of one type in an order.
    List(Type, Items),
    /// Different elements of one type, in the order of [`Value::order`].
    Set(Type, Items),
    /// Elements of one type by name.
    Map(Type, Fields),
    /// Elements of any types in an order: `[…]`.
    Tuple(Items),
    /// Elements of any types by name: `{…}`.
    Object(Fields),
}

/// How much there is below a value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Size {
    weight: usize,
    depth: usize,
}

impl Size {
    fn of<'a>(values: impl Iterator<Item = &'a Value>) -> Self {
        values.fold(Self::default(), |size, value| {
            let below = value.size();
            Self {
                weight: size.weight.saturating_add(below.weight),
                depth: size.depth.max(below.depth),
            }
        })
    }

    fn wrapped(self) -> Self {
        Self {
            weight: self.weight.saturating_add(1),
            depth: self.depth + 1,
        }
    }
}

/// Elements in an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Items(Arc<(Vec<Value>, Size)>);

impl Items {
    /// These elements.
    pub fn new(values: Vec<Value>) -> Self {
        let size = Size::of(values.iter()).wrapped();
        Self(Arc::new((values, size)))
    }

    /// The elements.
    pub fn values(&self) -> &[Value] {
        &self.0.0
    }
}

/// Elements by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields(Arc<(BTreeMap<Arc<str>, Value>, Size)>);

impl Fields {
    /// These elements.
    pub fn new(values: BTreeMap<Arc<str>, Value>) -> Self {
        let mut size = Size::of(values.values()).wrapped();
        for name in values.keys() {
            size.weight = size.weight.saturating_add(name.len() / 16);
        }
        Self(Arc::new((values, size)))
    }

    /// The elements.
    pub fn values(&self) -> &BTreeMap<Arc<str>, Value> {
        &self.0.0
    }
}

impl Value {
    /// Nothing, of no type.
    pub const NULL: Self = Self::Null(Type::Dynamic);

    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// `[…]`
    pub fn tuple(values: Vec<Self>) -> Self {
        Self::Tuple(Items::new(values))
    }

    /// `{…}`
    pub fn object(values: BTreeMap<Arc<str>, Self>) -> Self {
        Self::Object(Fields::new(values))
    }

    /// `{…}` of names that are known.
    pub fn object_of<const N: usize>(values: [(&str, Self); N]) -> Self {
        Self::object(
            values
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// A list of texts.
    pub fn strings(texts: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        Self::List(
            Type::String,
            Items::new(texts.into_iter().map(Self::text).collect()),
        )
    }

    /// A set of these elements, each once.
    pub fn set(element: Type, mut values: Vec<Self>) -> Self {
        values.sort_by(Self::order);
        values.dedup_by(|left, right| left.is_same(right));
        Self::Set(element, Items::new(values))
    }

    /// Whether it is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null(_))
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Self::Null(kind) => kind.clone(),
            Self::Bool(_) => Type::Bool,
            Self::Number(_) => Type::Number,
            Self::String(_) => Type::String,
            Self::List(element, _) => Type::List(Box::new(element.clone())),
            Self::Set(element, _) => Type::Set(Box::new(element.clone())),
            Self::Map(element, _) => Type::Map(Box::new(element.clone())),
            Self::Tuple(items) => Type::Tuple(items.values().iter().map(Self::kind).collect()),
            Self::Object(fields) => Type::Object(
                fields
                    .values()
                    .iter()
                    .map(|(name, value)| (Arc::clone(name), (value.kind(), false)))
                    .collect(),
            ),
        }
    }

    /// The elements of a list, a set or a tuple.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(_, items) | Self::Set(_, items) | Self::Tuple(items) => Some(items.values()),
            _ => None,
        }
    }

    /// The elements of a map or an object.
    pub fn fields(&self) -> Option<&BTreeMap<Arc<str>, Self>> {
        match self {
            Self::Map(_, fields) | Self::Object(fields) => Some(fields.values()),
            _ => None,
        }
    }

    /// All elements, whatever holds them; names are left out.
    pub fn elements(&self) -> Option<Vec<Self>> {
        match self.fields() {
            Some(fields) => Some(fields.values().cloned().collect()),
            None => self.items().map(<[Self]>::to_vec),
        }
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::String(text) => Size {
                weight: 1 + text.len() / 16,
                depth: 0,
            },
            Self::List(_, items) | Self::Set(_, items) | Self::Tuple(items) => items.0.1,
            Self::Map(_, fields) | Self::Object(fields) => fields.0.1,
            Self::Null(_) | Self::Bool(_) | Self::Number(_) => Size {
                weight: 1,
                depth: 0,
            },
        }
    }

    /// What it weighs; see [`LARGEST_VALUE`].
    pub(crate) fn weight(&self) -> usize {
        self.size().weight
    }

    /// Whether it is too large to go on with.
    pub(crate) fn is_monstrous(&self) -> bool {
        let size = self.size();
        size.weight > LARGEST_VALUE || size.depth > DEEPEST_VALUE
    }

    /// Whether both are the same, as `==` sees it: of one type and with the same content.
    pub fn is_same(&self, other: &Self) -> bool {
        let all = |left: &Items, right: &Items| {
            left.values().len() == right.values().len()
                && left
                    .values()
                    .iter()
                    .zip(right.values())
                    .all(|(l, r)| l.is_same(r))
        };
        match (self, other) {
            (Self::Null(_), Self::Null(_)) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Number(left), Self::Number(right)) => left == right,
            (Self::String(left), Self::String(right)) => left == right,
            (Self::List(left_type, left), Self::List(right_type, right))
            | (Self::Set(left_type, left), Self::Set(right_type, right)) => {
                left_type == right_type && all(left, right)
            }
            (Self::Tuple(left), Self::Tuple(right)) => all(left, right),
            (Self::Map(_, left), Self::Map(_, right))
            | (Self::Object(left), Self::Object(right)) => {
                left.values().len() == right.values().len()
                    && left
                        .values()
                        .iter()
                        .zip(right.values())
                        .all(|(l, r)| l.0 == r.0 && l.1.is_same(r.1))
            }
            _ => false,
        }
    }

    /// The order of elements in a set: texts by their bytes, numbers by size, `false` first.
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.cmp(right),
            (Self::String(left), Self::String(right)) => left.cmp(right),
            _ => match (self.items(), other.items()) {
                (Some(left), Some(right)) => left
                    .iter()
                    .zip(right)
                    .map(|(left, right)| left.order(right))
                    .find(|order| order.is_ne())
                    .unwrap_or_else(|| left.len().cmp(&right.len())),
                _ => match (self.fields(), other.fields()) {
                    (Some(left), Some(right)) => left
                        .iter()
                        .zip(right)
                        .map(|(left, right)| {
                            left.0.cmp(right.0).then_with(|| left.1.order(right.1))
                        })
                        .find(|order| order.is_ne())
                        .unwrap_or_else(|| left.len().cmp(&right.len())),
                    _ => self.rank().cmp(&other.rank()),
                },
            },
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null(_) => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::String(_) => 3,
            Self::List(..) | Self::Set(..) | Self::Tuple(_) => 4,
            Self::Map(..) | Self::Object(_) => 5,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Number(Number::from(value))
    }
}

impl From<Number> for Value {
    fn from(value: Number) -> Self {
        Self::Number(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::text(value)
    }
}
