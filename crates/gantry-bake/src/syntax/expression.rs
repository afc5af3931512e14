//! Expressions, from the loosest operator to the tightest.

use super::ast::{BinaryOperator, Call, Expr, ExprKind, Step, UnaryOperator};
use super::cursor::Cursor;
use super::{Parsed, heredoc, object, template};
use crate::number::Number;
use crate::value::Value;

/// Operators by how tightly they bind, the loosest first; longer spellings before shorter ones.
const OPERATORS: [&[(&str, BinaryOperator)]; 6] = [
    &[("||", BinaryOperator::Or)],
    &[("&&", BinaryOperator::And)],
    &[
        ("==", BinaryOperator::Equal),
        ("!=", BinaryOperator::NotEqual),
    ],
    &[
        ("<=", BinaryOperator::LessOrEqual),
        (">=", BinaryOperator::GreaterOrEqual),
        ("<", BinaryOperator::Less),
        (">", BinaryOperator::Greater),
    ],
    &[("+", BinaryOperator::Add), ("-", BinaryOperator::Subtract)],
    &[
        ("*", BinaryOperator::Multiply),
        ("/", BinaryOperator::Divide),
        ("%", BinaryOperator::Modulo),
    ],
];

/// An expression.
pub(super) fn expression(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    cursor.deeper(conditional)
}

fn conditional(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    cursor.skip();
    let start = cursor.at();
    let condition = binary(cursor, 0)?;
    let end = cursor.at();
    cursor.skip();
    if !cursor.eat("?") {
        cursor.back_to(end);
        return Ok(condition);
    }
    let yes = expression(cursor)?;
    cursor.expect(":", "and what holds otherwise")?;
    let no = expression(cursor)?;
    cursor.made(ExprKind::Conditional(condition, yes, no), start)
}

fn binary(cursor: &mut Cursor<'_>, level: usize) -> Parsed<Expr> {
    let Some(operators) = OPERATORS.get(level) else {
        return unary(cursor);
    };
    let start = cursor.at();
    let mut left = binary(cursor, level + 1)?;
    loop {
        let end = cursor.at();
        cursor.skip();
        let Some((_, operator)) = operators.iter().find(|(word, _)| cursor.eat(word)) else {
            cursor.back_to(end);
            return Ok(left);
        };
        cursor.skip();
        let right = binary(cursor, level + 1)?;
        left = cursor.made(ExprKind::Binary(*operator, left, right), start)?;
    }
}

fn unary(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    cursor.skip();
    let start = cursor.at();
    let operator = match cursor.peek() {
        Some('!') => UnaryOperator::Not,
        Some('-') => UnaryOperator::Negate,
        _ => return postfix(cursor),
    };
    cursor.advance(1);
    let inner = cursor.deeper(unary)?;
    cursor.made(ExprKind::Unary(operator, inner), start)
}

/// A term and the steps behind it.
fn postfix(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    let mut base = term(cursor)?;
    let mut steps = Vec::new();
    let mut splat = false;
    loop {
        let end = cursor.at();
        cursor.skip();
        let here = cursor.at();
        if cursor.sees("...") {
            cursor.back_to(end);
            break;
        }
        if cursor.eat(".") {
            cursor.skip();
            if cursor.eat("*") {
                base = stepped(cursor, base, &mut steps, splat, start)?;
                splat = true;
            } else {
                steps.push(member(cursor, here)?);
            }
        } else if cursor.eat("[") {
            let is_splat = cursor.with_lines(true, |cursor| {
                cursor.skip();
                let star = cursor.at();
                let found = cursor.eat("*");
                cursor.skip();
                if found && cursor.eat("]") {
                    return true;
                }
                cursor.back_to(star);
                false
            });
            if is_splat {
                base = stepped(cursor, base, &mut steps, splat, start)?;
                splat = true;
                continue;
            }
            let key = cursor.with_lines(true, |cursor| {
                let key = expression(cursor)?;
                cursor.expect("]", "at the end of the key")?;
                Ok(key)
            })?;
            steps.push(Step::Index(key));
        } else {
            cursor.back_to(end);
            break;
        }
    }
    stepped(cursor, base, &mut steps, splat, start)
}

/// `base` with the steps that were gathered behind it.
fn stepped(
    cursor: &Cursor<'_>,
    base: Expr,
    steps: &mut Vec<Step>,
    splat: bool,
    start: usize,
) -> Parsed<Expr> {
    let steps = std::mem::take(steps);
    match (splat, steps.is_empty()) {
        (true, _) => cursor.made(ExprKind::Splat { base, steps }, start),
        (false, true) => Ok(base),
        (false, false) => cursor.made(ExprKind::Access { base, steps }, start),
    }
}

/// What stands behind a point.
fn member(cursor: &mut Cursor<'_>, start: usize) -> Parsed<Step> {
    if let Some(name) = cursor.identifier() {
        return Ok(Step::Attribute(name, cursor.since(start)));
    }
    let digits = cursor.rest().bytes().take_while(u8::is_ascii_digit).count();
    let text = &cursor.rest()[..digits];
    match Number::parse(text) {
        Some(Ok(number)) => {
            cursor.advance(digits);
            Ok(Step::Index(Expr::literal(number, cursor.since(start))))
        }
        _ => Err(cursor.unexpected("the name of an attribute, a number or `*`")),
    }
}

fn term(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    match cursor.peek() {
        Some('"') => template::quoted(cursor),
        Some('(') => {
            cursor.advance(1);
            let inner = cursor.with_lines(true, |cursor| {
                let inner = expression(cursor)?;
                cursor.expect(")", "at the end of the expression")?;
                Ok(inner)
            })?;
            cursor.made(ExprKind::Parentheses(inner), start)
        }
        Some('[') => object::tuple(cursor),
        Some('{') => object::object(cursor),
        Some('<') if cursor.sees("<<") => heredoc::heredoc(cursor),
        Some(digit) if digit.is_ascii_digit() => number(cursor),
        _ => word(cursor),
    }
}

fn number(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    cursor.advance(digits(cursor.rest()));
    if let Some(fraction) = cursor.rest().strip_prefix('.')
        && digits(fraction) > 0
    {
        cursor.advance(1 + digits(fraction));
    }
    if let Some(power) = cursor.rest().strip_prefix(['e', 'E']) {
        let sign = usize::from(power.starts_with(['+', '-']));
        let count = digits(&power[sign..]);
        if count > 0 {
            cursor.advance(1 + sign + count);
        }
    }
    if cursor
        .peek()
        .is_some_and(|next| next.is_alphabetic() || next == '_')
    {
        return Err(cursor.unexpected("a number or an operator"));
    }
    match Number::parse(cursor.taken(start)) {
        Some(Ok(number)) => Ok(Expr::literal(number, cursor.since(start))),
        _ => Err(cursor.fault_at(cursor.since(start), "this number is too large or too small")),
    }
}

/// A name, a call, or one of the three words that are values.
fn word(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    let Some(name) = cursor.identifier() else {
        let fault = cursor.unexpected("an expression");
        if cursor.sees("'") {
            return Err(fault.with_hint("texts stand between double quotes"));
        }
        return Err(fault);
    };
    let name_span = cursor.since(start);
    let end = cursor.at();
    cursor.skip();
    if cursor.eat("(") {
        let (arguments, expanded) = cursor.with_lines(true, arguments)?;
        let call = Call {
            name,
            name_span,
            arguments,
            expanded,
        };
        return cursor.made(ExprKind::Call(call), start);
    }
    cursor.back_to(end);
    let kind = match name.as_ref() {
        "true" => ExprKind::Literal(Value::Bool(true)),
        "false" => ExprKind::Literal(Value::Bool(false)),
        "null" => ExprKind::Literal(Value::NULL),
        _ => ExprKind::Variable(name),
    };
    Ok(Expr::new(kind, name_span))
}

/// Arguments up to the closing parenthesis.
fn arguments(cursor: &mut Cursor<'_>) -> Parsed<(Vec<Expr>, bool)> {
    let mut all = Vec::new();
    loop {
        cursor.skip();
        if cursor.eat(")") {
            return Ok((all, false));
        }
        all.push(expression(cursor)?);
        cursor.skip();
        if cursor.eat("...") {
            cursor.skip();
            cursor.eat(",");
            cursor.expect(")", "behind the last argument")?;
            return Ok((all, true));
        }
        if !cursor.eat(",") {
            cursor.expect(")", "or `,` behind an argument")?;
            return Ok((all, false));
        }
    }
}
