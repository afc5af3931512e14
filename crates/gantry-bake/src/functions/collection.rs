//! Lists, sets and tuples.

use super::{
    Answer, Function, Parameter, Problem, Wanted, items, list_or_tuple, number, same_kind, text,
    whole,
};
use crate::number::Number;
use crate::surroundings::Surroundings;
use crate::types::Type;
use crate::value::{LARGEST_VALUE, Value};

const LIST: Parameter = Parameter::any("list");
const TEXTS: Parameter = Parameter::new("list", Wanted::Texts);

const fn on_list(name: &'static str, run: fn(&Surroundings, &[Value]) -> Answer) -> Function {
    Function {
        name,
        parameters: &[LIST],
        rest: None,
        run,
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "chunklist",
        parameters: &[LIST, Parameter::number("size")],
        rest: None,
        run: chunks,
    },
    Function {
        name: "coalescelist",
        parameters: &[],
        rest: Some(Parameter::or_null("vals")),
        run: |_, a| {
            let filled = |value: &&Value| value.items().is_some_and(|items| !items.is_empty());
            let found = a.iter().find(filled).cloned();
            found.ok_or_else(|| Problem::new("all lists are empty or null"))
        },
    },
    Function {
        name: "compact",
        parameters: &[TEXTS],
        rest: None,
        run: |_, a| {
            let kept = items(a, 0)?
                .iter()
                .filter(|item| item.as_text().is_some_and(|t| !t.is_empty()));
            Ok(same_kind(&a[0], kept.cloned().collect()))
        },
    },
    Function {
        name: "concat",
        parameters: &[],
        rest: Some(Parameter::any("seqs")),
        run: concat,
    },
    Function {
        name: "contains",
        parameters: &[LIST, Parameter::any("value")],
        rest: None,
        run: |_, a| {
            Ok(Value::Bool(
                items(a, 0)?.iter().any(|item| item.is_same(&a[1])),
            ))
        },
    },
    on_list("distinct", |_, a| {
        let mut kept: Vec<Value> = Vec::new();
        let mut sorted: Vec<Value> = Vec::new();
        for item in items(a, 0)? {
            if let Err(at) = sorted.binary_search_by(|known| known.order(item)) {
                sorted.insert(at, item.clone());
                kept.push(item.clone());
            }
        }
        Ok(same_kind(&a[0], kept))
    }),
    Function {
        name: "element",
        parameters: &[LIST, Parameter::number("index")],
        rest: None,
        run: element,
    },
    on_list("flatten", |_, a| {
        let mut flat = Vec::new();
        flatten(items(a, 0)?, &mut flat)?;
        Ok(Value::tuple(flat))
    }),
    Function {
        name: "indexof",
        parameters: &[LIST, Parameter::any("value")],
        rest: None,
        run: |_, a| {
            let found = items(a, 0)?.iter().position(|item| item.is_same(&a[1]));
            found
                .map(Value::from)
                .ok_or_else(|| Problem::new("item not found"))
        },
    },
    Function {
        name: "join",
        parameters: &[Parameter::text("separator")],
        rest: Some(Parameter::new("lists", Wanted::Texts)),
        run: join,
    },
    Function {
        name: "length",
        parameters: &[Parameter::any("collection")],
        rest: None,
        run: |_, a| match a[0].elements() {
            Some(all) => Ok(Value::from(all.len())),
            None => Err(Problem::at(0, "a collection is required")),
        },
    },
    Function {
        name: "range",
        parameters: &[],
        rest: Some(Parameter::number("params")),
        run: range,
    },
    on_list("reverselist", |_, a| {
        Ok(same_kind(
            &a[0],
            items(a, 0)?.iter().rev().cloned().collect(),
        ))
    }),
    Function {
        name: "slice",
        parameters: &[
            LIST,
            Parameter::number("start_index"),
            Parameter::number("end_index"),
        ],
        rest: None,
        run: slice,
    },
    Function {
        name: "sort",
        parameters: &[TEXTS],
        rest: None,
        run: |_, a| {
            let mut sorted = items(a, 0)?.to_vec();
            if sorted.iter().any(Value::is_null) {
                return Err(Problem::at(0, "an element is null"));
            }
            sorted.sort_by(Value::order);
            Ok(same_kind(&a[0], sorted))
        },
    },
];

fn chunks(_: &Surroundings, arguments: &[Value]) -> Answer {
    let list = items(arguments, 0)?;
    let Ok(size) = usize::try_from(whole(arguments, 1)?) else {
        return Err(Problem::at(1, "the size of a part cannot be negative"));
    };
    let part = |values: &[Value]| same_kind(&arguments[0], values.to_vec());
    // A size of nought means one part.
    let parts: Vec<Value> = if size == 0 {
        vec![part(list)]
    } else {
        list.chunks(size).map(part).collect()
    };
    Ok(list_or_tuple(parts))
}

/// A list where all are lists of one type, else a tuple.
fn concat(_: &Surroundings, arguments: &[Value]) -> Answer {
    let mut all = Vec::new();
    for at in 0..arguments.len() {
        all.extend_from_slice(items(arguments, at)?);
    }
    let Some(first) = arguments.first() else {
        return Err(Problem::new("at least one list is required"));
    };
    let is_list = matches!(first, Value::List(..));
    if is_list
        && arguments
            .iter()
            .all(|argument| argument.kind() == first.kind())
    {
        return Ok(same_kind(first, all));
    }
    Ok(Value::tuple(all))
}

/// Beyond the end it begins again.
fn element(_: &Surroundings, arguments: &[Value]) -> Answer {
    let list = items(arguments, 0)?;
    if list.is_empty() {
        return Err(Problem::at(0, "an empty list has no elements"));
    }
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let at = whole(arguments, 1)?;
    if at < 0 {
        return Err(Problem::at(
            1,
            "the number of an element cannot be negative",
        ));
    }
    let at = usize::try_from(at % length).unwrap_or(0);
    Ok(list[at].clone())
}

/// Values are at most [`crate::value::DEEPEST_VALUE`] deep.
fn flatten(values: &[Value], flat: &mut Vec<Value>) -> Result<(), Problem> {
    for value in values {
        match value.items() {
            Some(inner) => flatten(inner, flat)?,
            None => flat.push(value.clone()),
        }
        if flat.len() > LARGEST_VALUE {
            return Err(Problem::new("there are too many elements"));
        }
    }
    Ok(())
}

fn join(_: &Surroundings, arguments: &[Value]) -> Answer {
    if arguments.len() < 2 {
        return Err(Problem::new("at least one list is required"));
    }
    let mut texts = Vec::new();
    for at in 1..arguments.len() {
        for item in items(arguments, at)? {
            let null = || Problem::at(at, "an element is null");
            texts.push(item.as_text().ok_or_else(null)?);
        }
    }
    let separators = text(arguments, 0).len().saturating_mul(texts.len());
    text::sized(separators)?;
    Ok(Value::from(texts.join(text(arguments, 0))))
}

/// `range(end)`, `range(start, end)`, `range(start, end, step)`
fn range(_: &Surroundings, arguments: &[Value]) -> Answer {
    /// As in the reference implementation.
    const MOST: usize = 1024;
    let (start, end) = match arguments.len() {
        1 => (Number::zero(), number(arguments, 0)),
        2 | 3 => (number(arguments, 0), number(arguments, 1)),
        _ => return Err(Problem::new("one, two or three numbers are required")),
    };
    let down = end < start;
    let step = match arguments.len() {
        3 => number(arguments, 2),
        _ => Number::from(if down { -1_i64 } else { 1 }),
    };
    if step.is_zero() || step.is_negative() != down && start != end {
        return Err(Problem::at(2, "the step does not lead to the end"));
    }
    let mut numbers = Vec::new();
    let mut next = start;
    while if down { next > end } else { next < end } {
        if numbers.len() >= MOST {
            return Err(Problem::new(format!("there are more than {MOST} numbers")));
        }
        numbers.push(Value::Number(next.clone()));
        next = next.add(&step)?;
    }
    Ok(Value::List(Type::Number, crate::value::Items::new(numbers)))
}

fn slice(_: &Surroundings, arguments: &[Value]) -> Answer {
    let list = items(arguments, 0)?;
    let (start, end) = (whole(arguments, 1)?, whole(arguments, 2)?);
    let place = |at: i64| usize::try_from(at).ok().filter(|at| *at <= list.len());
    match (place(start), place(end)) {
        (Some(start), Some(end)) if start <= end => {
            Ok(same_kind(&arguments[0], list[start..end].to_vec()))
        }
        _ => Err(Problem::new(format!(
            "there are no elements from {start} to {end} in a list of {}",
            list.len()
        ))),
    }
}
