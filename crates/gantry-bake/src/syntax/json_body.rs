//! From JSON to the tree: which members are blocks, and what expressions the others are.

use std::sync::Arc;

use gantry_dockerfile::Span;

use super::ast::{Attribute, Block, Body, Expr, ExprKind};
use super::cursor::Cursor;
use super::json::{Json, JsonKind, Member};
use super::{Fault, Parsed, template};
use crate::number::Number;
use crate::value::Value;

/// Members of the document that are blocks with one label.
const LABELLED: [&str; 4] = ["variable", "function", "target", "group"];

/// The body of a document: a member `target` holds the targets by name, and so on.
pub(super) fn body(document: Json) -> Parsed<Body> {
    let mut body = Body::default();
    for member in members(document, "the document")? {
        if LABELLED.contains(&member.name.as_ref()) {
            for holder in each(member.value) {
                for labelled in members(holder, &member.name)? {
                    blocks(&mut body, &member.name, labelled)?;
                }
            }
        } else {
            body.attributes.push(attribute(member)?);
        }
    }
    Ok(body)
}

/// The blocks of one label: an object, or several in an array.
fn blocks(body: &mut Body, kind: &Arc<str>, labelled: Member) -> Parsed<()> {
    for value in each(labelled.value) {
        body.blocks.push(Block {
            kind: Arc::clone(kind),
            span: labelled.name_span,
            labels: vec![(Arc::clone(&labelled.name), labelled.name_span)],
            body: inner(kind, value)?,
        });
    }
    Ok(())
}

/// What is inside a block; a variable may have `validation` blocks.
fn inner(kind: &str, value: Json) -> Parsed<Body> {
    let mut body = Body::default();
    for member in members(value, kind)? {
        if kind == "variable" && member.name.as_ref() == "validation" {
            for value in each(member.value) {
                body.blocks.push(Block {
                    kind: Arc::clone(&member.name),
                    span: member.name_span,
                    labels: Vec::new(),
                    body: inner("validation", value)?,
                });
            }
        } else {
            if body.attribute(&member.name).is_some() {
                let message = format!("attribute {} is set twice", member.name);
                return Err(fault(member.name_span, message));
            }
            body.attributes.push(attribute(member)?);
        }
    }
    Ok(body)
}

fn each(value: Json) -> Vec<Json> {
    match value.kind {
        JsonKind::Array(items) => items,
        _ => vec![value],
    }
}

fn members(value: Json, what: &str) -> Parsed<Vec<Member>> {
    match value.kind {
        JsonKind::Object(members) => Ok(members),
        _ => Err(fault(value.span, format!("{what} must be an object"))),
    }
}

fn fault(span: Span, message: String) -> Fault {
    Fault {
        message,
        span,
        hint: None,
    }
}

fn attribute(member: Member) -> Parsed<Attribute> {
    Ok(Attribute {
        name: member.name,
        name_span: member.name_span,
        value: expression(member.value)?,
    })
}

/// Texts are templates; the names of members too.
fn expression(value: Json) -> Parsed<Expr> {
    let span = value.span;
    let kind = match value.kind {
        JsonKind::Null => ExprKind::Literal(Value::NULL),
        JsonKind::Bool(truth) => ExprKind::Literal(Value::Bool(truth)),
        JsonKind::Number(text) => match Number::parse(&text) {
            Some(Ok(number)) => ExprKind::Literal(Value::Number(number)),
            _ => return Err(fault(span, format!("{text} is no number that can be used"))),
        },
        JsonKind::String(text) => return template::bare(&mut Cursor::inside(&text, span)),
        JsonKind::Array(items) => {
            ExprKind::Tuple(items.into_iter().map(expression).collect::<Parsed<_>>()?)
        }
        JsonKind::Object(members) => ExprKind::Object(
            members
                .into_iter()
                .map(|member| {
                    let mut cursor = Cursor::inside(&member.name, member.name_span);
                    Ok((template::bare(&mut cursor)?, expression(member.value)?))
                })
                .collect::<Parsed<_>>()?,
        ),
    };
    Ok(Expr::new(kind, span))
}
