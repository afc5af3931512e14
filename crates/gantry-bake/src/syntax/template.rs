//! Texts with `${…}` and `%{…}` inside.

use std::sync::Arc;

use super::ast::{Expr, ExprKind, Part};
use super::cursor::Cursor;
use super::expression::expression;
use super::{Parsed, object};

/// How a template is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Between quotes, with escapes.
    Quoted,
    /// Between lines; so many bytes are taken away at the beginning of each.
    Heredoc { indent: usize },
    /// The whole text, without escapes.
    Bare,
}

/// A piece before directives are brought together.
enum Piece {
    Text(String),
    Interpolation(Expr),
    If(Expr),
    Else,
    EndIf,
    For(Option<Arc<str>>, Arc<str>, Expr),
    EndFor,
}

/// Pieces, each with whether white space before and behind it is taken away.
type Pieces = Vec<(Piece, bool, bool)>;

/// `"…"`
pub(super) fn quoted(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    cursor.advance(1);
    let parts = parts(cursor, Form::Quoted)?;
    if !cursor.eat("\"") {
        return Err(cursor.fault_at(cursor.since(start), "this text is not closed by a quote"));
    }
    finish(cursor, parts, start)
}

/// A text that is a template as a whole, as those of JSON are.
pub(super) fn bare(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let parts = parts(cursor, Form::Bare)?;
    finish(cursor, parts, 0)
}

fn finish(cursor: &Cursor<'_>, mut parts: Vec<Part>, start: usize) -> Parsed<Expr> {
    if let Some(text) = text_only(&parts) {
        return Ok(Expr::literal(text.as_str(), cursor.since(start)));
    }
    // `"${x}"` alone is x, whatever its type.
    if let [Part::Interpolation(_)] = parts.as_slice()
        && let Some(Part::Interpolation(inner)) = parts.pop()
    {
        return cursor.made(ExprKind::Parentheses(inner), start);
    }
    cursor.made(ExprKind::Template(parts), start)
}

/// The text of a template that has nothing but text.
pub(super) fn text_only(parts: &[Part]) -> Option<String> {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Some(text.as_ref()),
            _ => None,
        })
        .collect()
}

/// A text between quotes in which nothing is interpolated, as labels are.
pub(super) fn plain_string(cursor: &mut Cursor<'_>) -> Parsed<Arc<str>> {
    let start = cursor.at();
    let found = quoted(cursor)?;
    match *found.kind {
        ExprKind::Literal(crate::value::Value::String(text)) => Ok(text),
        _ => Err(cursor.fault_at(cursor.since(start), "nothing is interpolated here")),
    }
}

/// The parts of a template up to its end, which stays.
pub(super) fn parts(cursor: &mut Cursor<'_>, form: Form) -> Parsed<Vec<Part>> {
    let mut pieces = pieces(cursor, form)?;
    trim(&mut pieces);
    let mut rest = pieces.into_iter().map(|(piece, ..)| piece);
    let (parts, end) = gather(cursor, &mut rest)?;
    match end {
        None => Ok(parts),
        Some(_) => Err(cursor.fault("a directive before this place ends nothing that was begun")),
    }
}

fn pieces(cursor: &mut Cursor<'_>, form: Form) -> Parsed<Pieces> {
    let mut all = Pieces::new();
    let mut text = String::new();
    let mut line_begins = true;
    loop {
        if line_begins {
            line_begins = false;
            if let Form::Heredoc { indent } = form {
                let line = cursor.rest().lines().next().unwrap_or_default();
                cursor.advance(indent.min(line.len()));
            }
        }
        let rest = cursor.rest();
        let Some(letter) = rest.chars().next() else {
            break;
        };
        if rest.starts_with("$${") || rest.starts_with("%%{") {
            text.push_str(&rest[1..3]);
            cursor.advance(3);
        } else if rest.starts_with("${") || rest.starts_with("%{") {
            if !text.is_empty() {
                all.push((Piece::Text(std::mem::take(&mut text)), false, false));
            }
            all.push(cursor.deeper(sequence)?);
        } else if form == Form::Quoted && letter == '"' {
            break;
        } else if form == Form::Quoted && letter == '\\' {
            text.push(escape(cursor)?);
        } else if form == Form::Quoted && letter == '\n' {
            let fault = cursor.fault("the line ends inside a text between quotes");
            return Err(fault.with_hint("texts of several lines stand between <<END and END"));
        } else {
            cursor.advance(letter.len_utf8());
            text.push(letter);
            line_begins = letter == '\n';
        }
    }
    if !text.is_empty() {
        all.push((Piece::Text(text), false, false));
    }
    Ok(all)
}

/// `${…}` or `%{…}`
fn sequence(cursor: &mut Cursor<'_>) -> Parsed<(Piece, bool, bool)> {
    let directive = cursor.sees("%");
    cursor.advance(2);
    let before = cursor.eat("~");
    cursor.with_lines(true, |cursor| {
        let piece = if directive {
            self::directive(cursor)?
        } else {
            Piece::Interpolation(expression(cursor)?)
        };
        cursor.skip();
        let behind = cursor.eat("~");
        cursor.expect("}", "at the end of what is interpolated")?;
        Ok((piece, before, behind))
    })
}

fn directive(cursor: &mut Cursor<'_>) -> Parsed<Piece> {
    cursor.skip();
    let start = cursor.at();
    let word = cursor.identifier();
    match word.as_deref() {
        Some("if") => Ok(Piece::If(expression(cursor)?)),
        Some("else") => Ok(Piece::Else),
        Some("endif") => Ok(Piece::EndIf),
        Some("for") => {
            let (key, value) = object::names(cursor)?;
            Ok(Piece::For(key, value, expression(cursor)?))
        }
        Some("endfor") => Ok(Piece::EndFor),
        _ => {
            cursor.back_to(start);
            Err(cursor.unexpected("one of if, else, endif, for and endfor"))
        }
    }
}

fn escape(cursor: &mut Cursor<'_>) -> Parsed<char> {
    let start = cursor.at();
    cursor.advance(1);
    let length = match cursor.next() {
        Some('n') => return Ok('\n'),
        Some('r') => return Ok('\r'),
        Some('t') => return Ok('\t'),
        Some('"') => return Ok('"'),
        Some('\\') => return Ok('\\'),
        Some('u') => 4,
        Some('U') => 8,
        _ => 0,
    };
    let letter = cursor
        .rest()
        .get(..length)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .filter(|_| length > 0)
        .and_then(char::from_u32);
    cursor.advance(if letter.is_some() { length } else { 0 });
    letter.ok_or_else(|| {
        cursor
            .fault_at(cursor.since(start), "this is no escape")
            .with_hint(r#"there are \n, \r, \t, \", \\, \uNNNN and \UNNNNNNNN"#)
    })
}

/// Takes away the white space beside the pieces that ask for it.
fn trim(pieces: &mut Pieces) {
    for at in 0..pieces.len() {
        let (_, before, behind) = pieces[at];
        if before
            && let Some((Piece::Text(text), ..)) =
                at.checked_sub(1).and_then(|at| pieces.get_mut(at))
        {
            text.truncate(text.trim_end().len());
        }
        if behind && let Some((Piece::Text(text), ..)) = pieces.get_mut(at + 1) {
            *text = text.trim_start().to_owned();
        }
    }
}

/// Brings directives together, up to the end or to a directive that ends something, which is
/// returned.
fn gather(
    cursor: &mut Cursor<'_>,
    pieces: &mut impl Iterator<Item = Piece>,
) -> Parsed<(Vec<Part>, Option<Piece>)> {
    let mut parts = Vec::new();
    while let Some(piece) = pieces.next() {
        let part = match piece {
            Piece::Text(text) => Part::Text(text.into()),
            Piece::Interpolation(inner) => Part::Interpolation(inner),
            Piece::If(condition) => {
                let (yes, end) = inner(cursor, pieces)?;
                let (no, end) = match end {
                    Some(Piece::Else) => inner(cursor, pieces)?,
                    end => (Vec::new(), end),
                };
                let Some(Piece::EndIf) = end else {
                    return Err(cursor.fault("%{ if } without %{ endif } before this place"));
                };
                Part::If { condition, yes, no }
            }
            Piece::For(key, value, collection) => {
                let (body, end) = inner(cursor, pieces)?;
                let Some(Piece::EndFor) = end else {
                    return Err(cursor.fault("%{ for } without %{ endfor } before this place"));
                };
                Part::For {
                    key,
                    value,
                    collection,
                    body,
                }
            }
            end @ (Piece::Else | Piece::EndIf | Piece::EndFor) => return Ok((parts, Some(end))),
        };
        parts.push(part);
    }
    Ok((parts, None))
}

/// The same one level deeper.
fn inner<I: Iterator<Item = Piece>>(
    cursor: &mut Cursor<'_>,
    pieces: &mut I,
) -> Parsed<(Vec<Part>, Option<Piece>)> {
    cursor.deeper(|cursor| gather(cursor, pieces))
}
