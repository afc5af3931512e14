//! Truth values, equality, and what is not there.

use super::{Answer, Function, Parameter, Problem, Wanted};
use crate::convert::convert;
use crate::surroundings::Surroundings;
use crate::types::Type;
use crate::types::unify;
use crate::value::Value;

const A: Parameter = Parameter::new("a", Wanted::Bool);
const B: Parameter = Parameter::new("b", Wanted::Bool);

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "and",
        parameters: &[A, B],
        rest: None,
        run: |_, a| Ok(Value::Bool(truth(a, 0) && truth(a, 1))),
    },
    Function {
        name: "coalesce",
        parameters: &[],
        rest: Some(Parameter::or_null("vals")),
        run: coalesce,
    },
    Function {
        name: "equal",
        parameters: &[Parameter::or_null("a"), Parameter::or_null("b")],
        rest: None,
        run: |_, a| Ok(Value::Bool(same(a))),
    },
    Function {
        name: "not",
        parameters: &[A],
        rest: None,
        run: |_, a| Ok(Value::Bool(!truth(a, 0))),
    },
    Function {
        name: "notequal",
        parameters: &[Parameter::or_null("a"), Parameter::or_null("b")],
        rest: None,
        run: |_, a| Ok(Value::Bool(!same(a))),
    },
    Function {
        name: "or",
        parameters: &[A, B],
        rest: None,
        run: |_, a| Ok(Value::Bool(truth(a, 0) || truth(a, 1))),
    },
];

fn truth(arguments: &[Value], at: usize) -> bool {
    arguments.get(at) == Some(&Value::Bool(true))
}

fn same(arguments: &[Value]) -> bool {
    matches!(arguments, [left, right] if left.is_same(right))
}

/// The first that is not null, as what all of them can be.
fn coalesce(_: &Surroundings, arguments: &[Value]) -> Answer {
    let kinds: Vec<Type> = arguments.iter().map(Value::kind).collect();
    let common = unify(&kinds).ok_or_else(|| Problem::new("the arguments must have one type"))?;
    let found = arguments.iter().find(|value| !value.is_null());
    let found = found.ok_or_else(|| Problem::new("all arguments are null"))?;
    convert(found, &common).map_err(|error| Problem::new(error.to_string()))
}
