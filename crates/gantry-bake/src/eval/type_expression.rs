//! Types as they are written: `string`, `list(number)`, `object({a = string, b = optional(bool)})`.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_dockerfile::SourceFile;

use crate::error::{BakeError, Result};
use crate::syntax::ast::{Expr, ExprKind};
use crate::types::Type;
use crate::value::Value;

/// The type that an expression spells; `is_json` where it stands in a text of a JSON file.
pub(crate) fn constraint(expr: &Expr, source: &Arc<SourceFile>, is_json: bool) -> Result<Type> {
    if let (ExprKind::Literal(Value::String(text)), true) = (expr.kind.as_ref(), is_json) {
        let inner = crate::syntax::parse_expression(text, source, expr.span)?;
        return constraint(&inner, source, false);
    }
    let wrong = |message: &str| Err(BakeError::new(message).at(source, expr.span));
    match expr.kind.as_ref() {
        ExprKind::Variable(name) => match name.as_ref() {
            "string" => Ok(Type::String),
            "number" => Ok(Type::Number),
            "bool" => Ok(Type::Bool),
            "any" => Ok(Type::Dynamic),
            "list" | "set" | "map" => wrong("the type of the elements is missing: list(string)"),
            "object" | "tuple" => {
                wrong("the types of the elements are missing: object({a = string})")
            }
            _ => wrong("a type is one of string, number, bool, any, list, set, map, object, tuple"),
        },
        ExprKind::Parentheses(inner) => constraint(inner, source, false),
        ExprKind::Call(call) => {
            let [argument] = call.arguments.as_slice() else {
                return wrong("a type of a collection has one argument");
            };
            let element = || Ok(Box::new(constraint(argument, source, false)?));
            match call.name.as_ref() {
                "list" => Ok(Type::List(element()?)),
                "set" => Ok(Type::Set(element()?)),
                "map" => Ok(Type::Map(element()?)),
                "tuple" => tuple(argument, source),
                "object" => object(argument, source),
                _ => wrong("a collection is one of list, set, map, object, tuple"),
            }
        }
        _ => wrong("a type is expected here, as string or list(string)"),
    }
}

fn tuple(argument: &Expr, source: &Arc<SourceFile>) -> Result<Type> {
    let ExprKind::Tuple(items) = argument.kind.as_ref() else {
        let message = "the types of a tuple stand between brackets";
        return Err(BakeError::new(message).at(source, argument.span));
    };
    let kinds = items.iter().map(|item| constraint(item, source, false));
    Ok(Type::Tuple(kinds.collect::<Result<_>>()?))
}

fn object(argument: &Expr, source: &Arc<SourceFile>) -> Result<Type> {
    let ExprKind::Object(items) = argument.kind.as_ref() else {
        let message = "the types of an object stand between braces";
        return Err(BakeError::new(message).at(source, argument.span));
    };
    let mut fields = BTreeMap::new();
    for (key, value) in items {
        let Some(name) = key.keyword() else {
            let message = "the name of an attribute is a word";
            return Err(BakeError::new(message).at(source, key.span));
        };
        let field = match value.kind.as_ref() {
            ExprKind::Call(call) if call.name.as_ref() == "optional" => {
                let [inner] = call.arguments.as_slice() else {
                    let message = "optional has one argument, the type of the attribute";
                    return Err(BakeError::new(message).at(source, value.span));
                };
                (constraint(inner, source, false)?, true)
            }
            _ => (constraint(value, source, false)?, false),
        };
        fields.insert(Arc::clone(name), field);
    }
    Ok(Type::Object(fields))
}
