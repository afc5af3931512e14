//! `<<END … END` and `<<-END … END`.

use gantry_dockerfile::Span;

use super::Parsed;
use super::ast::{Expr, ExprKind};
use super::cursor::Cursor;
use super::template::{self, Form};

/// A heredoc; the cursor stands at `<<`.
pub(super) fn heredoc(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let start = cursor.at();
    cursor.advance(2);
    let flush = cursor.eat("-");
    let Some(marker) = cursor.identifier() else {
        return Err(cursor.unexpected("the word that ends the text"));
    };
    cursor.eat("\r");
    if !cursor.eat("\n") {
        return Err(cursor.unexpected("the end of the line"));
    }
    let Some((length, closing)) = extent(cursor.rest(), &marker) else {
        let span = Span::new(start, cursor.at().saturating_sub(1));
        let message = format!("the text that begins here is not ended by a line {marker}");
        return Err(cursor.fault_at(span, message));
    };
    let body = &cursor.rest()[..length];
    let form = Form::Heredoc {
        indent: if flush { indent(body) } else { 0 },
    };
    let end = cursor.at() + length;
    let parts = cursor.until(end, |cursor| template::parts(cursor, form))?;
    cursor.advance(closing);
    match template::text_only(&parts) {
        Some(text) => Ok(Expr::literal(text.as_str(), cursor.since(start))),
        None => cursor.made(ExprKind::Template(parts), start),
    }
}

/// Length of the text up to the line that ends it, and of that line up to its end.
fn extent(rest: &str, marker: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        let word = line.trim_end_matches(['\n', '\r']);
        if word.trim() == marker {
            return Some((at, word.len()));
        }
        at += line.len();
    }
    None
}

/// The white space that all lines begin with, in bytes; lines without a letter do not count.
fn indent(body: &str) -> usize {
    body.lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.len() - line.trim_start_matches([' ', '\t']).len())
        .min()
        .unwrap_or(0)
}
