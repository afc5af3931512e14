//! JSON with the place of every value.

use std::sync::Arc;

use gantry_dockerfile::Span;

use super::Parsed;
use super::cursor::Cursor;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Json {
    pub(super) kind: JsonKind,
    pub(super) span: Span,
}

#[derive(Debug, Clone)]
pub(super) enum JsonKind {
    Null,
    Bool(bool),
    Number(String),
    String(Arc<str>),
    Array(Vec<Json>),
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) name_span: Span,
    pub(super) value: Json,
}

/// One JSON value (RFC 8259) and nothing else.
pub(super) fn parse(text: &str) -> Parsed<Json> {
    let mut cursor = Cursor::new(text);
    let found = value(&mut cursor)?;
    space(&mut cursor);
    match cursor.peek() {
        None => Ok(found),
        Some(_) => Err(cursor.unexpected("the end of the document")),
    }
}

fn space(cursor: &mut Cursor<'_>) {
    let rest = cursor.rest();
    cursor.advance(rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len());
}

fn value(cursor: &mut Cursor<'_>) -> Parsed<Json> {
    space(cursor);
    let start = cursor.at();
    let kind = match cursor.peek() {
        Some('{') => cursor.deeper(object)?,
        Some('[') => cursor.deeper(array)?,
        Some('"') => JsonKind::String(string(cursor)?),
        Some(letter) if letter == '-' || letter.is_ascii_digit() => number(cursor)?,
        _ if cursor.eat("null") => JsonKind::Null,
        _ if cursor.eat("true") => JsonKind::Bool(true),
        _ if cursor.eat("false") => JsonKind::Bool(false),
        _ => return Err(cursor.unexpected("a JSON value")),
    };
    let span = cursor.since(start);
    Ok(Json { kind, span })
}

fn array(cursor: &mut Cursor<'_>) -> Parsed<JsonKind> {
    cursor.advance(1);
    let mut items = Vec::new();
    space(cursor);
    if cursor.eat("]") {
        return Ok(JsonKind::Array(items));
    }
    loop {
        items.push(value(cursor)?);
        space(cursor);
        if cursor.eat("]") {
            return Ok(JsonKind::Array(items));
        }
        if !cursor.eat(",") {
            return Err(cursor.unexpected("`,` or `]`"));
        }
    }
}

fn object(cursor: &mut Cursor<'_>) -> Parsed<JsonKind> {
    cursor.advance(1);
    let mut members = Vec::new();
    space(cursor);
    if cursor.eat("}") {
        return Ok(JsonKind::Object(members));
    }
    loop {
        space(cursor);
        let start = cursor.at();
        if !cursor.sees("\"") {
            return Err(cursor.unexpected("a name between quotes"));
        }
        let name = string(cursor)?;
        let name_span = cursor.since(start);
        space(cursor);
        if !cursor.eat(":") {
            return Err(cursor.unexpected("`:`"));
        }
        let value = value(cursor)?;
        members.push(Member {
            name,
            name_span,
            value,
        });
        space(cursor);
        if cursor.eat("}") {
            return Ok(JsonKind::Object(members));
        }
        if !cursor.eat(",") {
            return Err(cursor.unexpected("`,` or `}`"));
        }
    }
}

fn number(cursor: &mut Cursor<'_>) -> Parsed<JsonKind> {
    let rest = cursor.rest();
    let length = rest
        .find(|letter: char| !(letter.is_ascii_digit() || "+-.eE".contains(letter)))
        .unwrap_or(rest.len());
    cursor.advance(length);
    Ok(JsonKind::Number(rest[..length].to_owned()))
}

/// The text between quotes, its escapes resolved.
fn string(cursor: &mut Cursor<'_>) -> Parsed<Arc<str>> {
    let start = cursor.at();
    let bytes = cursor.rest().as_bytes();
    let mut end = 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    cursor.advance((end + 1).min(bytes.len()));
    serde_json::from_str::<String>(cursor.taken(start))
        .map(Arc::from)
        .map_err(|error| {
            let message = format!("this text is not valid: {error}");
            cursor.fault_at(Span::new(start, cursor.at()), message)
        })
}
