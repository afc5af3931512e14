//! Steps into values: `.name`, `[key]`, `[*]`.

use std::sync::Arc;

use crate::convert::convert;
use crate::error::{BakeError, Result};
use crate::resolver::Resolver;
use crate::syntax::ast::{Expr, ExprKind, Step};
use crate::types::Type;
use crate::value::Value;

use super::Scope;

impl Resolver<'_> {
    pub(super) fn access(&self, base: &Expr, steps: &[Step], scope: &Scope<'_>) -> Result<Value> {
        let (mut value, rest) = match self.block_access(base, steps, scope)? {
            Some(found) => found,
            None => (self.evaluate(base, scope)?, steps),
        };
        for step in rest {
            value = self.step(&value, step, scope)?;
        }
        Ok(value)
    }

    /// `target.NAME.ATTRIBUTE`: evaluates no more of the target than that.
    fn block_access<'e>(
        &self,
        base: &Expr,
        steps: &'e [Step],
        scope: &Scope<'_>,
    ) -> Result<Option<(Value, &'e [Step])>> {
        let ExprKind::Variable(kind) = base.kind.as_ref() else {
            return Ok(None);
        };
        if !Self::is_block_kind(kind) || scope.lookup(kind).is_some() {
            return Ok(None);
        }
        let name_of = |step: &Step| match step {
            Step::Attribute(name, _) => Ok(Arc::clone(name)),
            Step::Index(key) => match self.evaluate_as(key, &Type::String, scope)? {
                Value::String(name) => Ok(name),
                _ => Err(BakeError::new(format!("a {kind} cannot be called null"))),
            },
        };
        match steps {
            [] => Ok(None),
            [name] => Ok(Some((self.block_value(kind, &name_of(name)?)?, &[]))),
            [name, attribute, rest @ ..] => {
                let value = self.block_attribute(kind, &name_of(name)?, &name_of(attribute)?)?;
                Ok(Some((value, rest)))
            }
        }
    }

    fn step(&self, value: &Value, step: &Step, scope: &Scope<'_>) -> Result<Value> {
        let (found, span) = match step {
            Step::Attribute(name, span) => (attribute(value, name), *span),
            Step::Index(key) => (index(value, &self.evaluate(key, scope)?), key.span),
        };
        found.map_err(|error| error.at(scope.source(), span))
    }

    /// The steps taken from each element; what is no collection is one element, null none.
    pub(super) fn splat(&self, base: &Expr, steps: &[Step], scope: &Scope<'_>) -> Result<Value> {
        let held = self.evaluate(base, scope)?;
        let items = match held.items() {
            Some(items) => items.to_vec(),
            None if held.is_null() => Vec::new(),
            None => vec![held],
        };
        let mut results = Vec::with_capacity(items.len());
        for mut value in items {
            self.budget.spend(1 + steps.len())?;
            for step in steps {
                value = self.step(&value, step, scope)?;
            }
            results.push(value);
        }
        Ok(Value::tuple(results))
    }
}

/// `value.name`
fn attribute(value: &Value, name: &str) -> Result<Value> {
    if value.is_null() {
        let message = format!("null has no attribute {name}");
        return Err(BakeError::new(message));
    }
    let Some(fields) = value.fields() else {
        let message = format!("{} has no attributes, and so no {name}", value.kind());
        return Err(BakeError::new(message));
    };
    fields.get(name).cloned().ok_or_else(|| {
        BakeError::new(format!("there is no attribute {name} here"))
            .suggesting(name, fields.keys().map(AsRef::as_ref))
    })
}

/// `value[key]`
pub(crate) fn index(value: &Value, key: &Value) -> Result<Value> {
    if value.is_null() || key.is_null() {
        return Err(BakeError::new("null cannot be looked into, nor by null"));
    }
    if value.fields().is_some() {
        return match convert(key, &Type::String) {
            Ok(Value::String(name)) => attribute(value, &name),
            _ => Err(BakeError::new("elements of this value are found by a text")),
        };
    }
    let items = match value {
        Value::List(_, items) | Value::Tuple(items) => items.values(),
        _ => {
            let message = format!("{} has no elements that could be looked up", value.kind());
            return Err(BakeError::new(message));
        }
    };
    let Ok(Value::Number(number)) = convert(key, &Type::Number) else {
        return Err(BakeError::new(
            "elements of this value are found by a number",
        ));
    };
    let at = number.to_i64().and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| items.get(at)).cloned().ok_or_else(|| {
        BakeError::new(format!(
            "there is no element {number}: there are {}",
            items.len()
        ))
    })
}
