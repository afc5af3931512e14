//! Bodies: attributes and blocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use gantry_dockerfile::Span;

use super::Parsed;
use super::ast::{Attribute, Block, Body};
use super::cursor::Cursor;
use super::expression::expression;
use super::template::plain_string;

/// A whole file.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Body> {
    let body = items(cursor)?;
    match cursor.peek() {
        None => Ok(body),
        Some('}') => Err(cursor.fault("this brace closes nothing")),
        Some(_) => Err(cursor.unexpected("the name of an attribute or a block")),
    }
}

fn items(cursor: &mut Cursor<'_>) -> Parsed<Body> {
    let mut body = Body::default();
    let mut names = BTreeSet::new();
    loop {
        cursor.skip_all();
        let start = cursor.at();
        let Some(name) = cursor.identifier() else {
            return Ok(body);
        };
        let name_span = cursor.since(start);
        cursor.skip();
        if cursor.sees("=") && !cursor.sees("==") {
            cursor.advance(1);
            cursor.skip();
            let value = expression(cursor)?;
            if !names.insert(Arc::clone(&name)) {
                let message = format!("attribute {name} is set twice");
                return Err(cursor.fault_at(name_span, message));
            }
            body.attributes.push(Attribute {
                name,
                name_span,
                value,
            });
        } else {
            body.blocks.push(block(cursor, name, name_span)?);
        }
        cursor.skip();
        if !matches!(cursor.peek(), None | Some('\n' | '}')) {
            return Err(cursor.unexpected("the end of the line"));
        }
    }
}

fn block(cursor: &mut Cursor<'_>, kind: Arc<str>, kind_span: Span) -> Parsed<Block> {
    let mut labels = Vec::new();
    loop {
        cursor.skip();
        let start = cursor.at();
        if cursor.eat("{") {
            break;
        }
        let label = if cursor.sees("\"") {
            plain_string(cursor)?
        } else {
            cursor.identifier().ok_or_else(|| {
                let fault = cursor.unexpected("`=`, or a label and `{`");
                if cursor.sees(":") {
                    return fault.with_hint("attributes are set with =");
                }
                fault
            })?
        };
        labels.push((label, cursor.since(start)));
    }
    let span = Span::new(kind_span.start, cursor.at());
    let body = cursor.deeper(items)?;
    if !cursor.eat("}") {
        let message = format!("the block {kind} that begins here is not closed");
        return Err(match cursor.peek() {
            None => cursor.fault_at(span, message),
            Some(_) => cursor.unexpected("the name of an attribute or a block, or `}`"),
        });
    }
    Ok(Block {
        kind,
        span,
        labels,
        body,
    })
}
