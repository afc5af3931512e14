//! Maps and objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_model::quantity::counted;

use super::{Answer, Function, Parameter, Problem, Wanted, items, list_or_tuple, text};
use crate::convert::convert;
use crate::eval::traversal::index;
use crate::surroundings::Surroundings;
use crate::types::{Type, unify};
use crate::value::{Fields, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "hasindex",
        parameters: &[Parameter::any("collection"), Parameter::any("key")],
        rest: None,
        run: |_, a| match a {
            [collection, key] => Ok(Value::Bool(index(collection, key).is_ok())),
            _ => Ok(Value::Bool(false)),
        },
    },
    Function {
        name: "index",
        parameters: &[Parameter::any("collection"), Parameter::any("key")],
        rest: None,
        run: |_, a| match a {
            [collection, key] => {
                index(collection, key).map_err(|error| Problem::at(1, error.message()))
            }
            _ => Ok(Value::NULL),
        },
    },
    Function {
        name: "keys",
        parameters: &[Parameter::any("inputMap")],
        rest: None,
        run: |_, a| Ok(Value::strings(fields(a, 0)?.keys().cloned())),
    },
    Function {
        name: "lookup",
        parameters: &[
            Parameter::any("inputMap"),
            Parameter::text("key"),
            Parameter::or_null("default"),
        ],
        rest: None,
        run: |_, a| {
            let found = fields(a, 0)?.get(text(a, 1));
            Ok(found.or(a.get(2)).cloned().unwrap_or(Value::NULL))
        },
    },
    Function {
        name: "merge",
        parameters: &[],
        rest: Some(Parameter::or_null("maps")),
        run: merge,
    },
    Function {
        name: "values",
        parameters: &[Parameter::any("mapping")],
        rest: None,
        run: |_, a| {
            let values: Vec<Value> = fields(a, 0)?.values().cloned().collect();
            match a {
                [Value::Map(..)] => Ok(list_or_tuple(values)),
                _ => Ok(Value::tuple(values)),
            }
        },
    },
    Function {
        name: "zipmap",
        parameters: &[
            Parameter::new("keys", Wanted::Texts),
            Parameter::any("values"),
        ],
        rest: None,
        run: zip,
    },
];

/// The elements of an argument that must be a map or an object.
fn fields(arguments: &[Value], at: usize) -> Result<&BTreeMap<Arc<str>, Value>, Problem> {
    let wanted = || Problem::at(at, "a map or an object is required");
    arguments.get(at).and_then(Value::fields).ok_or_else(wanted)
}

/// All elements, later ones before earlier ones of the same name.
fn merge(_: &Surroundings, arguments: &[Value]) -> Answer {
    let mut all = BTreeMap::new();
    for at in 0..arguments.len() {
        if !arguments[at].is_null() {
            all.extend(fields(arguments, at)?.clone());
        }
    }
    let maps: Option<Vec<Type>> = arguments
        .iter()
        .map(|argument| match argument {
            Value::Map(element, _) => Some(element.clone()),
            _ => None,
        })
        .collect();
    let merged = Value::object(all);
    match maps
        .filter(|maps| !maps.is_empty())
        .and_then(|maps| unify(&maps))
    {
        Some(element) => convert(&merged, &Type::Map(Box::new(element)))
            .map_err(|error| Problem::new(error.to_string())),
        None => Ok(merged),
    }
}

fn zip(_: &Surroundings, arguments: &[Value]) -> Answer {
    let (keys, values) = (items(arguments, 0)?, items(arguments, 1)?);
    if keys.len() != values.len() {
        let message = format!(
            "{} cannot be given to {}",
            counted(values.len(), "value"),
            counted(keys.len(), "name")
        );
        return Err(Problem::new(message));
    }
    let mut all = BTreeMap::new();
    for (key, value) in keys.iter().zip(values) {
        let Some(name) = key.as_text() else {
            return Err(Problem::at(0, "a name is null"));
        };
        all.insert(Arc::from(name), value.clone());
    }
    match &arguments[1] {
        Value::List(element, _) => Ok(Value::Map(element.clone(), Fields::new(all))),
        _ => Ok(Value::object(all)),
    }
}
