//! `variable` blocks.

use std::sync::Arc;

use gantry_dockerfile::{SourceFile, Span};

use super::check_attributes;
use crate::error::{BakeError, Result};
use crate::eval::constraint;
use crate::syntax::ast::{Attribute, Block, Expr, ExprKind};
use crate::types::Type;
use crate::value::Value;

/// A `variable` block.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) source: Arc<SourceFile>,
    /// Where it begins.
    pub(crate) span: Span,
    pub(crate) constraint: Option<Type>,
    pub(crate) default: Option<Expr>,
    pub(crate) description: String,
    pub(crate) validations: Vec<Validation>,
}

/// A `validation` block.
#[derive(Debug)]
pub(crate) struct Validation {
    pub(crate) condition: Expr,
    pub(crate) message: Expr,
}

/// Reads a `variable` block.
pub(super) fn read(source: &Arc<SourceFile>, block: Block, is_json: bool) -> Result<Variable> {
    let known = ["type", "default", "description"];
    check_attributes(source, &block.body, "variable", &known)?;
    let constraint = match block.body.attribute("type") {
        Some(attribute) => Some(constraint(&attribute.value, source, is_json)?),
        None => None,
    };
    let description = match block.body.attribute("description") {
        Some(attribute) => text(source, attribute)?,
        None => String::new(),
    };
    let default = block
        .body
        .attribute("default")
        .map(|attribute| attribute.value.clone());
    let mut validations = Vec::new();
    for inner in block.body.blocks {
        if inner.kind.as_ref() != "validation" {
            let message = format!("there is no block {} in a variable", inner.kind);
            let error = BakeError::new(message).suggesting(&inner.kind, ["validation"]);
            return Err(error.at(source, inner.span));
        }
        let known = ["condition", "error_message"];
        check_attributes(source, &inner.body, "validation", &known)?;
        let part = |name: &str| {
            let missing = || BakeError::new(format!("a validation needs {name}"));
            let attribute = inner.body.attribute(name);
            attribute
                .map(|attribute| attribute.value.clone())
                .ok_or_else(|| missing().at(source, inner.span))
        };
        validations.push(Validation {
            condition: part("condition")?,
            message: part("error_message")?,
        });
    }
    Ok(Variable {
        source: Arc::clone(source),
        span: block.span,
        constraint,
        default,
        description,
        validations,
    })
}

/// A text that needs no evaluation.
fn text(source: &Arc<SourceFile>, attribute: &Attribute) -> Result<String> {
    match attribute.value.kind.as_ref() {
        ExprKind::Literal(Value::String(text)) => Ok(text.to_string()),
        _ => {
            let message = format!("{} is a text without interpolation", attribute.name);
            Err(BakeError::new(message).at(source, attribute.value.span))
        }
    }
}
