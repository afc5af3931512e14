//! Sets.

use super::{Answer, Function, Parameter, Problem, Wanted, items};
use crate::convert::convert;
use crate::surroundings::Surroundings;
use crate::types::{Type, unify};
use crate::value::{LARGEST_VALUE, Value};

const SET: Parameter = Parameter::new("set", Wanted::Set);

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "sethaselement",
        parameters: &[SET, Parameter::any("elem")],
        rest: None,
        run: |_, a| {
            let wanted = |item: &Value| a.get(1).is_some_and(|value| item.is_same(value));
            Ok(Value::Bool(items(a, 0)?.iter().any(wanted)))
        },
    },
    Function {
        name: "setintersection",
        parameters: &[SET],
        rest: Some(SET),
        run: |_, a| among(a, |counts, sets| counts == sets),
    },
    Function {
        name: "setproduct",
        parameters: &[],
        rest: Some(Parameter::any("sets")),
        run: product,
    },
    Function {
        name: "setsubtract",
        parameters: &[SET, SET],
        rest: None,
        run: |_, a| {
            let (element, sets) = sets(a)?;
            let [left, right] = sets.as_slice() else {
                return Err(Problem::new("two sets are required"));
            };
            let kept = left.iter().filter(|item| !holds(right, item)).cloned();
            Ok(Value::set(element, kept.collect()))
        },
    },
    Function {
        name: "setsymmetricdifference",
        parameters: &[SET],
        rest: Some(SET),
        run: |_, a| among(a, |counts, _| counts % 2 == 1),
    },
    Function {
        name: "setunion",
        parameters: &[SET],
        rest: Some(SET),
        run: |_, a| among(a, |_, _| true),
    },
];

/// The elements of all sets, converted to the type that they have in common.
fn sets(arguments: &[Value]) -> Result<(Type, Vec<Vec<Value>>), Problem> {
    let mut kinds = Vec::new();
    for set in arguments {
        if let Type::Set(element) = set.kind() {
            kinds.push(*element);
        }
    }
    let element = unify(&kinds).ok_or_else(|| Problem::new("the sets must have one type"))?;
    let wanted = Type::Set(Box::new(element.clone()));
    let mut all = Vec::new();
    for set in arguments {
        let set = convert(set, &wanted).map_err(|error| Problem::new(error.to_string()))?;
        all.push(set.items().unwrap_or_default().to_vec());
    }
    Ok((element, all))
}

/// Whether a sorted set holds an element.
fn holds(set: &[Value], wanted: &Value) -> bool {
    set.binary_search_by(|item| item.order(wanted)).is_ok()
}

/// The elements that are in a number of sets which `wanted` takes, given how many sets there are.
fn among(arguments: &[Value], wanted: fn(usize, usize) -> bool) -> Answer {
    let (element, sets) = sets(arguments)?;
    let all = Value::set(element.clone(), sets.concat());
    let kept = all.items().unwrap_or_default().iter().filter(|item| {
        let count = sets.iter().filter(|set| holds(set, item)).count();
        wanted(count, sets.len())
    });
    Ok(Value::set(element, kept.cloned().collect()))
}

/// All tuples with one element of each.
fn product(_: &Surroundings, arguments: &[Value]) -> Answer {
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for at in 0..arguments.len() {
        let items = items(arguments, at)?;
        let cells = rows
            .len()
            .saturating_mul(items.len())
            .saturating_mul(at + 2);
        if cells > LARGEST_VALUE {
            return Err(Problem::new("there are too many combinations"));
        }
        rows = rows
            .iter()
            .flat_map(|row| {
                items
                    .iter()
                    .map(move |item| [row.as_slice(), std::slice::from_ref(item)].concat())
            })
            .collect();
    }
    if arguments.len() < 2 {
        return Err(Problem::new("at least two collections are required"));
    }
    let rows: Vec<Value> = rows.into_iter().map(Value::tuple).collect();
    let kinds: Vec<Type> = rows.iter().map(Value::kind).collect();
    let is_set = arguments
        .iter()
        .all(|argument| matches!(argument, Value::Set(..)));
    match unify(&kinds) {
        Some(element) if is_set => Ok(Value::set(element, rows)),
        _ => Ok(super::list_or_tuple(rows)),
    }
}
