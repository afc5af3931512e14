//! The functions of Bake's standard library (Bake reference, "Standard library functions").
//!
//! `try`, `can` and `convert` are not here: they look at expressions rather than at values, see
//! [`crate::eval`].

mod cidr;
mod collection;
mod csv;
mod encoding;
mod format;
mod hash;
mod json;
mod logic;
mod mapping;
mod number;
mod pattern;
mod set;
mod text;
mod time;
mod version;

use crate::number::{Number, OutOfRange};
use crate::surroundings::Surroundings;
use crate::types::Type;
use crate::value::Value;

pub(crate) use csv::fields as csv_fields;
pub(crate) use json::{decode as json_value, shown as json_text};

/// A function of the library.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// What further arguments have to be, where there may be any.
    pub(crate) rest: Option<Parameter>,
    pub(crate) run: fn(&Surroundings, &[Value]) -> Answer,
}

impl Function {
    /// A function of one text.
    const fn of_text(name: &'static str, run: fn(&Surroundings, &[Value]) -> Answer) -> Self {
        Self {
            name,
            parameters: const { &[Parameter::text("str")] },
            rest: None,
            run,
        }
    }
}

/// A parameter of a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) wanted: Wanted,
    pub(crate) takes_null: bool,
}

/// What arguments are converted to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    Any,
    Text,
    Number,
    Bool,
    Texts,
    Set,
}

impl Parameter {
    const fn new(name: &'static str, wanted: Wanted) -> Self {
        Self {
            name,
            wanted,
            takes_null: false,
        }
    }

    const fn any(name: &'static str) -> Self {
        Self::new(name, Wanted::Any)
    }

    const fn text(name: &'static str) -> Self {
        Self::new(name, Wanted::Text)
    }

    const fn number(name: &'static str) -> Self {
        Self::new(name, Wanted::Number)
    }

    const fn or_null(name: &'static str) -> Self {
        Self {
            takes_null: true,
            ..Self::any(name)
        }
    }

    /// The type that an argument is converted to.
    pub(crate) fn kind(self) -> Type {
        match self.wanted {
            Wanted::Any => Type::Dynamic,
            Wanted::Text => Type::String,
            Wanted::Number => Type::Number,
            Wanted::Bool => Type::Bool,
            Wanted::Texts => Type::strings(),
            Wanted::Set => Type::Set(Box::new(Type::Dynamic)),
        }
    }
}

/// Why a function has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    /// Which argument is at fault.
    pub(crate) argument: Option<usize>,
}

/// What a function returns.
pub(crate) type Answer = Result<Value, Problem>;

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            argument: None,
        }
    }

    fn at(argument: usize, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            argument: Some(argument),
        }
    }
}

impl From<OutOfRange> for Problem {
    fn from(_: OutOfRange) -> Self {
        Self::new("the result is too large, too small or no number")
    }
}

/// All functions, by subject.
const LIBRARY: [&[Function]; 14] = [
    cidr::FUNCTIONS,
    collection::FUNCTIONS,
    csv::FUNCTIONS,
    encoding::FUNCTIONS,
    format::FUNCTIONS,
    hash::FUNCTIONS,
    json::FUNCTIONS,
    logic::FUNCTIONS,
    mapping::FUNCTIONS,
    number::FUNCTIONS,
    pattern::FUNCTIONS,
    set::FUNCTIONS,
    text::FUNCTIONS,
    time::FUNCTIONS,
];

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name == name)
}

/// The names of all functions, also of those that are not in the tables.
pub(crate) fn names<'a>() -> impl Iterator<Item = &'a str> {
    all()
        .map(|function| function.name)
        .chain(["try", "can", "convert"])
}

fn all() -> impl Iterator<Item = &'static Function> {
    LIBRARY.into_iter().flatten().chain(version::FUNCTIONS)
}

/// The text of an argument that was converted to one.
fn text(arguments: &[Value], at: usize) -> &str {
    arguments
        .get(at)
        .and_then(Value::as_text)
        .unwrap_or_default()
}

/// The number of an argument that was converted to one.
fn number(arguments: &[Value], at: usize) -> Number {
    match arguments.get(at) {
        Some(Value::Number(number)) => number.clone(),
        _ => Number::zero(),
    }
}

/// The whole number of an argument.
fn whole(arguments: &[Value], at: usize) -> Result<i64, Problem> {
    let wanted = || Problem::at(at, "a whole number is required");
    number(arguments, at).to_i64().ok_or_else(wanted)
}

/// The elements of an argument that must be a list, a set or a tuple.
fn items(arguments: &[Value], at: usize) -> Result<&[Value], Problem> {
    let wanted = || Problem::at(at, "a list, a set or a tuple is required");
    arguments.get(at).and_then(Value::items).ok_or_else(wanted)
}

/// A list where all elements have one type, else a tuple.
fn list_or_tuple(values: Vec<Value>) -> Value {
    let kinds: Vec<Type> = values.iter().map(Value::kind).collect();
    match kinds.first() {
        Some(first) if kinds.iter().all(|kind| kind == first) => {
            Value::List(first.clone(), crate::value::Items::new(values))
        }
        _ => Value::tuple(values),
    }
}

/// A value of the same kind of collection as `like`, with other elements.
fn same_kind(like: &Value, values: Vec<Value>) -> Value {
    match like {
        Value::List(element, _) => Value::List(element.clone(), crate::value::Items::new(values)),
        Value::Set(element, _) => Value::set(element.clone(), values),
        _ => Value::tuple(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_function_has_a_name_of_its_own() {
        let all: Vec<&str> = names().collect();
        let different: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), different.len());
        assert!(all.len() >= 106, "{}", all.len());
    }
}
