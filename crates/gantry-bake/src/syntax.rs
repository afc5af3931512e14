//! Text → tree, for the native syntax of HCL and for JSON (HCL specification, "Native syntax" and
//! "JSON syntax").

pub(crate) mod ast;
mod body;
mod cursor;
mod expression;
mod heredoc;
mod json;
mod json_body;
mod object;
mod template;

use std::sync::Arc;

use gantry_dockerfile::SourceFile;

use crate::error::{BakeError, Result};
use ast::{Body, Expr};
use cursor::Cursor;

/// Reads a file of the native syntax.
pub(crate) fn parse_hcl(source: &Arc<SourceFile>) -> Result<Body> {
    body::parse(&mut Cursor::new(source.text())).map_err(|fault| fault.of(source))
}

/// Reads a file of the JSON syntax.
pub(crate) fn parse_json(source: &Arc<SourceFile>) -> Result<Body> {
    json::parse(source.text())
        .and_then(json_body::body)
        .map_err(|fault| fault.of(source))
}

/// Reads one expression that stands in a text of its own, as types do in JSON; faults are told of
/// at `place`.
pub(crate) fn parse_expression(
    text: &str,
    source: &Arc<SourceFile>,
    place: gantry_dockerfile::Span,
) -> Result<Expr> {
    let mut cursor = Cursor::inside(text, place);
    let parsed = expression::expression(&mut cursor).and_then(|found| {
        cursor.skip_all();
        match cursor.peek() {
            None => Ok(found),
            Some(_) => Err(cursor.fault("nothing more is expected behind this expression")),
        }
    });
    parsed.map_err(|fault| fault.of(source))
}

/// A fault of the syntax.
#[derive(Debug)]
struct Fault {
    message: String,
    span: gantry_dockerfile::Span,
    hint: Option<&'static str>,
}

impl Fault {
    fn of(self, source: &Arc<SourceFile>) -> BakeError {
        let error = BakeError::new(self.message).at(source, self.span);
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

/// What the parts of the parser return.
type Parsed<T> = std::result::Result<T, Fault>;
