//! JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::{Function, Parameter, Problem, text};
use crate::number::Number;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "jsondecode",
        parameters: &[Parameter::text("str")],
        rest: None,
        run: |_, a| decode(text(a, 0)).map_err(|error| Problem::at(0, error)),
    },
    Function {
        name: "jsonencode",
        parameters: &[Parameter::or_null("val")],
        rest: None,
        run: |_, a| encode(&a[0]).map(Value::from),
    },
];

/// The value of a JSON document: objects, tuples, texts, numbers.
///
/// # Errors
/// A sentence on what is wrong with it.
pub(crate) fn decode(text: &str) -> Result<Value, String> {
    let document = serde_json::from_str::<serde_json::Value>(text);
    from_json(&document.map_err(|error| format!("the text is no JSON: {error}"))?)
}

/// The parser lets at most 128 levels through.
fn from_json(value: &serde_json::Value) -> Result<Value, String> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => Value::NULL,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match Number::parse(&number.to_string()) {
            Some(Ok(number)) => Value::Number(number),
            _ => return Err(format!("{number} cannot be worked with")),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::tuple(items.iter().map(from_json).collect::<Result<_, _>>()?),
        Json::Object(fields) => {
            let field =
                |(name, value): (&String, &Json)| Ok((Arc::from(name.as_str()), from_json(value)?));
            let fields: Result<BTreeMap<Arc<str>, Value>, String> =
                fields.iter().map(field).collect();
            Value::object(fields?)
        }
    })
}

/// A value as JSON on one line; `<`, `>` and `&` are escaped as Go escapes them.
pub(super) fn encode(value: &Value) -> Result<String, Problem> {
    let mut out = String::new();
    write(&mut out, value)?;
    Ok(out)
}

/// The same, `None` where it would be monstrous.
pub(crate) fn shown(value: &Value) -> Option<String> {
    encode(value).ok()
}

fn write(out: &mut String, value: &Value) -> Result<(), Problem> {
    text::sized(out.len())?;
    match value {
        Value::Null(_) => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => quoted(out, text),
        Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => {
            for (at, item) in items.values().iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                write(out, item)?;
            }
            out.push_str(if items.values().is_empty() { "[]" } else { "]" });
        }
        Value::Map(_, fields) | Value::Object(fields) => {
            for (at, (name, field)) in fields.values().iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                quoted(out, name);
                out.push(':');
                write(out, field)?;
            }
            out.push_str(if fields.values().is_empty() {
                "{}"
            } else {
                "}"
            });
        }
    }
    Ok(())
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped(out, letter),
            control if u32::from(control) < 0x20 => escaped(out, control),
            other => out.push(other),
        }
    }
    out.push('"');
}

fn escaped(out: &mut String, letter: char) {
    let _written = write!(out, "\\u{:04x}", u32::from(letter));
}
