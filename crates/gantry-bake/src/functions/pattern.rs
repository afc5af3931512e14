//! Regular expressions.

use regex::{Captures, Regex, RegexBuilder};

use super::{Function, Parameter, Problem, text};
use crate::types::Type;
use crate::value::{Items, Value};

const PATTERN: Parameter = Parameter::text("pattern");
const STRING: Parameter = Parameter::text("string");

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "regex",
        parameters: &[PATTERN, STRING],
        rest: None,
        run: |_, a| {
            let pattern = compile(a, 0)?;
            match pattern.captures(text(a, 1)) {
                Some(found) => Ok(shown(&pattern, &found)),
                None => Err(Problem::new("the pattern does not match the text")),
            }
        },
    },
    Function {
        name: "regex_replace",
        parameters: &[STRING, PATTERN, Parameter::text("replace")],
        rest: None,
        run: |_, a| {
            let pattern = compile(a, 1)?;
            let (whole, instead) = (text(a, 0), text(a, 2));
            let times = pattern.find_iter(whole).count();
            text::sized(times.saturating_mul(instead.len() + whole.len() / 16))?;
            Ok(Value::from(
                pattern.replace_all(whole, instead).into_owned(),
            ))
        },
    },
    Function {
        name: "regexall",
        parameters: &[PATTERN, STRING],
        rest: None,
        run: |_, a| {
            let pattern = compile(a, 0)?;
            let found: Vec<Value> = pattern
                .captures_iter(text(a, 1))
                .map(|found| shown(&pattern, &found))
                .collect();
            let element = found.first().map_or(Type::Dynamic, Value::kind);
            Ok(Value::List(element, Items::new(found)))
        },
    },
];

fn compile(arguments: &[Value], at: usize) -> Result<Regex, Problem> {
    RegexBuilder::new(text(arguments, at))
        .size_limit(1 << 20)
        .build()
        .map_err(|error| Problem::at(at, format!("the pattern is wrong: {error}")))
}

/// The whole match, or its groups: by name where they have names.
fn shown(pattern: &Regex, found: &Captures<'_>) -> Value {
    let group = |at: usize| match found.get(at) {
        Some(group) => Value::from(group.as_str()),
        None => Value::Null(Type::String),
    };
    let names: Vec<Option<&str>> = pattern.capture_names().skip(1).collect();
    if names.is_empty() {
        return group(0);
    }
    if names.iter().all(Option::is_some) {
        let named = names
            .iter()
            .enumerate()
            .filter_map(|(at, name)| Some(((*name)?, group(at + 1))));
        return Value::object(named.map(|(name, value)| (name.into(), value)).collect());
    }
    Value::tuple((1..=names.len()).map(group).collect())
}
