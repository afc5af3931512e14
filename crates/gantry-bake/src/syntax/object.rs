//! `[…]` and `{…}`: collections and `for`.

use std::sync::Arc;

use super::Parsed;
use super::ast::{Expr, ExprKind, ForExpr};
use super::cursor::Cursor;
use super::expression::expression;

/// `[a, b]` or `[for …]`
pub(super) fn tuple(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    cursor.advance(1);
    cursor.with_lines(true, |cursor| {
        cursor.skip();
        if cursor.eat_word("for") {
            return each(cursor, start, "]");
        }
        let mut items = Vec::new();
        loop {
            cursor.skip();
            if cursor.eat("]") {
                break;
            }
            items.push(expression(cursor)?);
            cursor.skip();
            if !cursor.eat(",") {
                cursor.expect("]", "or `,` behind an element")?;
                break;
            }
        }
        cursor.made(ExprKind::Tuple(items), start)
    })
}

/// `{a = b}` or `{for …}`
pub(super) fn object(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    cursor.advance(1);
    cursor.skip_all();
    if cursor.eat_word("for") {
        return cursor.with_lines(true, |cursor| each(cursor, start, "}"));
    }
    let mut items = Vec::new();
    loop {
        cursor.skip_all();
        if cursor.eat("}") {
            break;
        }
        let key = key(cursor)?;
        cursor.skip();
        if !cursor.eat("=") && !cursor.eat(":") {
            return Err(cursor.unexpected("`=` or `:` behind the name of an element"));
        }
        let value = cursor.with_lines(false, expression)?;
        items.push((key, value));
        cursor.with_lines(false, |cursor| cursor.skip());
        if cursor.eat(",") || cursor.sees("\n") {
            continue;
        }
        if !cursor.eat("}") {
            return Err(cursor.unexpected("`,`, the end of the line or `}` behind an element"));
        }
        break;
    }
    cursor.made(ExprKind::Object(items), start)
}

/// The name of an element: a word stands for itself.
fn key(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    if let Some(word) = cursor.identifier() {
        let span = cursor.since(start);
        cursor.skip();
        if cursor.sees(":") || cursor.sees("=") && !cursor.sees("==") {
            return Ok(Expr::new(
                ExprKind::Literal(crate::value::Value::String(word)),
                span,
            ));
        }
        cursor.back_to(start);
    }
    cursor.with_lines(false, expression)
}

/// `for a, b in c : d`, behind the word `for`.
fn each(cursor: &mut Cursor<'_>, start: usize, close: &str) -> Parsed<Expr> {
    let (key, value) = names(cursor)?;
    let collection = expression(cursor)?;
    cursor.expect(":", "behind what is gone through")?;
    let first = expression(cursor)?;
    let (result_key, result) = if close == "}" {
        cursor.expect("=>", "between name and value of a result")?;
        (Some(first), expression(cursor)?)
    } else {
        (None, first)
    };
    cursor.skip();
    let grouped = close == "}" && cursor.eat("...");
    cursor.skip();
    let condition = if cursor.eat_word("if") {
        Some(expression(cursor)?)
    } else {
        None
    };
    cursor.expect(close, "at the end of `for`")?;
    let each = ForExpr {
        key,
        value,
        collection,
        result_key,
        result,
        grouped,
        condition,
    };
    cursor.made(ExprKind::For(each), start)
}

/// `key, value in`, or `value in`.
pub(super) fn names(cursor: &mut Cursor<'_>) -> Parsed<(Option<Arc<str>>, Arc<str>)> {
    let name = |cursor: &mut Cursor<'_>| {
        cursor.skip();
        cursor
            .identifier()
            .ok_or_else(|| cursor.unexpected("a name behind `for`"))
    };
    let first = name(cursor)?;
    cursor.skip();
    let names = if cursor.eat(",") {
        (Some(first), name(cursor)?)
    } else {
        (None, first)
    };
    cursor.skip();
    if cursor.eat_word("in") {
        return Ok(names);
    }
    Err(cursor.unexpected("`in`"))
}
