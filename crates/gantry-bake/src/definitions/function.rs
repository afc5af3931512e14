//! `function` blocks.

use std::sync::Arc;

use gantry_dockerfile::SourceFile;

use super::check_attributes;
use crate::error::{BakeError, Result};
use crate::eval::UserFunction;
use crate::functions;
use crate::syntax::ast::{Block, Expr, ExprKind};

/// Reads a `function` block.
pub(super) fn read(source: &Arc<SourceFile>, block: Block) -> Result<UserFunction> {
    let known = ["params", "variadic_params", "result"];
    check_attributes(source, &block.body, "function", &known)?;
    let needed = |name: &str| {
        let missing = || BakeError::new(format!("a function needs {name}"));
        let attribute = block.body.attribute(name);
        attribute.ok_or_else(|| missing().at(source, block.span))
    };
    let name_of = |expr: &Expr| {
        let wrong = || BakeError::new("the name of a parameter is a word");
        expr.keyword()
            .cloned()
            .ok_or_else(|| wrong().at(source, expr.span))
    };
    if let Some((name, span)) = block.labels.first()
        && functions::names().any(|known| known == name.as_ref())
    {
        let message = format!("there is a function {name} already, in the standard library");
        return Err(BakeError::new(message).at(source, *span));
    }
    let params = needed("params")?;
    let ExprKind::Tuple(items) = params.value.kind.as_ref() else {
        let message = "params is a list of names: params = [a, b]";
        return Err(BakeError::new(message).at(source, params.value.span));
    };
    let variadic = block.body.attribute("variadic_params");
    Ok(UserFunction {
        source: Arc::clone(source),
        parameters: items.iter().map(name_of).collect::<Result<_>>()?,
        variadic: variadic
            .map(|attribute| name_of(&attribute.value))
            .transpose()?,
        result: needed("result")?.value.clone(),
    })
}
