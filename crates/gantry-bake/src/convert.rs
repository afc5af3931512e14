//! From one type to another, as HCL converts where a type is wanted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::number::Number;
use crate::types::{Type, unify};
use crate::value::{Fields, Items, Value};

/// A value has no counterpart in a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsuitable {
    /// The way to the part that does not fit, outermost last.
    path: Vec<String>,
    reason: String,
}

impl Unsuitable {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            reason: reason.into(),
        }
    }

    fn inside(mut self, step: impl fmt::Display) -> Self {
        self.path.push(step.to_string());
        self
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.path.iter().rev() {
            write!(f, "{step}: ")?;
        }
        f.write_str(&self.reason)
    }
}

/// The value as one of type `wanted`.
pub(crate) fn convert(value: &Value, wanted: &Type) -> Result<Value, Unsuitable> {
    if let Value::Null(_) = value {
        return Ok(Value::Null(wanted.clone()));
    }
    match (value, wanted) {
        (_, Type::Dynamic)
        | (Value::String(_), Type::String)
        | (Value::Number(_), Type::Number)
        | (Value::Bool(_), Type::Bool) => Ok(value.clone()),
        (Value::Number(number), Type::String) => Ok(Value::from(number.to_string())),
        (Value::Bool(truth), Type::String) => Ok(Value::from(truth.to_string())),
        (Value::String(text), Type::Number) => match Number::parse(text) {
            Some(Ok(number)) => Ok(Value::Number(number)),
            _ => Err(Unsuitable::new("a number is required")),
        },
        (Value::String(text), Type::Bool) => match text.as_ref() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(Unsuitable::new("a bool is required")),
        },
        (_, Type::List(element)) => {
            let (element, values) = sequence(value, element, wanted)?;
            Ok(Value::List(element, Items::new(values)))
        }
        (_, Type::Set(element)) => {
            let (element, values) = sequence(value, element, wanted)?;
            Ok(Value::set(element, values))
        }
        (_, Type::Tuple(kinds)) => tuple(value, kinds),
        (_, Type::Map(element)) => mapping(value, element, wanted),
        (_, Type::Object(wanted)) => object(value, wanted),
        _ => Err(required(wanted)),
    }
}

fn required(wanted: &Type) -> Unsuitable {
    Unsuitable::new(format!("{wanted} required"))
}

/// Elements converted to one type: to `element`, or to what all have in common.
fn sequence(
    value: &Value,
    element: &Type,
    wanted: &Type,
) -> Result<(Type, Vec<Value>), Unsuitable> {
    let items = value.items().ok_or_else(|| required(wanted))?;
    let element = common(element, items.iter())?;
    let values = items
        .iter()
        .enumerate()
        .map(|(at, item)| {
            convert(item, &element).map_err(|error| error.inside(format!("element {at}")))
        })
        .collect::<Result<_, _>>()?;
    Ok((element, values))
}

fn mapping(value: &Value, element: &Type, wanted: &Type) -> Result<Value, Unsuitable> {
    let fields = value.fields().ok_or_else(|| required(wanted))?;
    let element = common(element, fields.values())?;
    let fields = fields
        .iter()
        .map(|(name, field)| match convert(field, &element) {
            Ok(field) => Ok((Arc::clone(name), field)),
            Err(error) => Err(error.inside(format!("element {name:?}"))),
        })
        .collect::<Result<_, _>>()?;
    Ok(Value::Map(element, Fields::new(fields)))
}

/// `element`, or where that is any type, what all the values have in common.
fn common<'a>(element: &Type, values: impl Iterator<Item = &'a Value>) -> Result<Type, Unsuitable> {
    if *element != Type::Dynamic {
        return Ok(element.clone());
    }
    let kinds: Vec<Type> = values.map(Value::kind).collect();
    unify(&kinds).ok_or_else(|| Unsuitable::new("all elements must have the same type"))
}

fn tuple(value: &Value, kinds: &[Type]) -> Result<Value, Unsuitable> {
    let items = match value {
        Value::List(_, items) | Value::Tuple(items) => items.values(),
        _ => return Err(Unsuitable::new("tuple required")),
    };
    if items.len() != kinds.len() {
        let reason = format!("a tuple of {} elements is required", kinds.len());
        return Err(Unsuitable::new(reason));
    }
    let values = items
        .iter()
        .zip(kinds)
        .enumerate()
        .map(|(at, (item, kind))| {
            convert(item, kind).map_err(|error| error.inside(format!("element {at}")))
        })
        .collect::<Result<_, _>>()?;
    Ok(Value::tuple(values))
}

fn object(value: &Value, wanted: &BTreeMap<Arc<str>, (Type, bool)>) -> Result<Value, Unsuitable> {
    let fields = value
        .fields()
        .ok_or_else(|| Unsuitable::new("object required"))?;
    let mut all = BTreeMap::new();
    for (name, (kind, optional)) in wanted {
        let field = match fields.get(name) {
            Some(field) => {
                convert(field, kind).map_err(|e| e.inside(format!("attribute {name:?}")))?
            }
            None if *optional => Value::Null(kind.clone()),
            None => return Err(Unsuitable::new(format!("attribute {name:?} is required"))),
        };
        all.insert(Arc::clone(name), field);
    }
    Ok(Value::object(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primitives() {
        let text = |value| convert(&value, &Type::String).unwrap();
        assert_eq!(text(Value::Bool(true)), Value::from("true"));
        assert_eq!(text(Value::from(5_usize)), Value::from("5"));
        assert!(convert(&Value::from("x"), &Type::Number).is_err());
        assert_eq!(
            convert(&Value::from("1.50"), &Type::Number).unwrap().kind(),
            Type::Number
        );
        assert!(convert(&Value::from("yes"), &Type::Bool).is_err());
        assert!(convert(&Value::from(1_usize), &Type::Bool).is_err());
    }

    #[test]
    fn the_way_to_what_does_not_fit_is_told() {
        let value = Value::object_of([("a", Value::tuple(vec![Value::from("x")]))]);
        let wanted = Type::Map(Box::new(Type::List(Box::new(Type::Number))));
        let error = convert(&value, &wanted).unwrap_err();
        assert_eq!(
            error.to_string(),
            "element \"a\": element 0: a number is required"
        );
    }

    #[test]
    fn tuples_of_different_types_become_lists_of_strings() {
        let value = Value::tuple(vec![Value::from("x"), Value::from(1_usize)]);
        let list = convert(&value, &Type::List(Box::new(Type::Dynamic))).unwrap();
        assert_eq!(list, Value::strings(["x", "1"]));
    }
}
