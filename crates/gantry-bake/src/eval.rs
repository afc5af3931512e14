//! Expressions → values.

mod budget;
mod call;
mod collection;
mod operator;
mod scope;
mod template;
pub(crate) mod traversal;
mod type_expression;

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_dockerfile::Span;

use crate::convert::convert;
use crate::error::{BakeError, Result};
use crate::resolver::Resolver;
use crate::syntax::ast::{Expr, ExprKind};
use crate::types::{Type, unify};
use crate::value::Value;

pub(crate) use budget::Budget;
pub(crate) use call::UserFunction;
pub(crate) use scope::{Names, Scope};
pub(crate) use type_expression::constraint;

impl Resolver<'_> {
    /// The value of an expression.
    pub(crate) fn evaluate(&self, expr: &Expr, scope: &Scope<'_>) -> Result<Value> {
        let value = self
            .budget
            .deeper(|| self.evaluate_kind(expr, scope))
            .map_err(|error| error.at(scope.source(), expr.span))?;
        if value.is_monstrous() {
            let message = "this value has more elements or levels than can be worked with";
            return Err(BakeError::new(message).at(scope.source(), expr.span));
        }
        Ok(value)
    }

    fn evaluate_kind(&self, expr: &Expr, scope: &Scope<'_>) -> Result<Value> {
        match expr.kind.as_ref() {
            ExprKind::Literal(value) => Ok(value.clone()),
            ExprKind::Variable(name) => self.variable_in(name, scope),
            ExprKind::Template(parts) => self.template(parts, scope).map(Value::from),
            ExprKind::Tuple(items) => {
                let values = items.iter().map(|item| self.evaluate(item, scope));
                Ok(Value::tuple(values.collect::<Result<_>>()?))
            }
            ExprKind::Object(items) => self.object(items, scope),
            ExprKind::For(each) => self.each(each, scope),
            ExprKind::Call(call) => self.call(call, scope),
            ExprKind::Access { base, steps } => self.access(base, steps, scope),
            ExprKind::Splat { base, steps } => self.splat(base, steps, scope),
            ExprKind::Unary(operator, inner) => self.unary(*operator, inner, scope),
            ExprKind::Binary(operator, left, right) => self.binary(*operator, left, right, scope),
            ExprKind::Conditional(condition, yes, no) => {
                self.conditional(condition, yes, no, scope)
            }
            ExprKind::Parentheses(inner) => self.evaluate(inner, scope),
        }
    }

    /// The value of a name.
    fn variable_in(&self, name: &str, scope: &Scope<'_>) -> Result<Value> {
        if let Some(value) = scope.lookup(name) {
            return Ok(value.clone());
        }
        if Self::is_block_kind(name) {
            return Err(BakeError::new(format!(
                "{name} is not a value: name a {name} and an attribute, as in {name}.NAME.tags"
            )));
        }
        self.variable(name)
    }

    /// An expression converted to a type.
    pub(crate) fn evaluate_as(&self, expr: &Expr, kind: &Type, scope: &Scope<'_>) -> Result<Value> {
        let value = self.evaluate(expr, scope)?;
        convert(&value, kind).map_err(|error| Self::misfit(&error.to_string(), scope, expr.span))
    }

    fn misfit(reason: &str, scope: &Scope<'_>, span: Span) -> BakeError {
        BakeError::new(format!("unsuitable value: {reason}")).at(scope.source(), span)
    }

    fn object(&self, items: &[(Expr, Expr)], scope: &Scope<'_>) -> Result<Value> {
        let mut fields = BTreeMap::new();
        for (key, value) in items {
            let name = self.evaluate_as(key, &Type::String, scope)?;
            let Some(name) = name.as_text() else {
                let message = "the name of an element cannot be null";
                return Err(BakeError::new(message).at(scope.source(), key.span));
            };
            fields.insert(Arc::from(name), self.evaluate(value, scope)?);
        }
        Ok(Value::object(fields))
    }

    /// Both sides are evaluated, since the result has the type that both can have; what is wrong
    /// with the side that is not taken does not matter.
    fn conditional(
        &self,
        condition: &Expr,
        yes: &Expr,
        no: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Value> {
        let Value::Bool(truth) = self.evaluate_as(condition, &Type::Bool, scope)? else {
            let message = "the condition is null";
            return Err(BakeError::new(message).at(scope.source(), condition.span));
        };
        let (taken, other) = if truth { (yes, no) } else { (no, yes) };
        let value = self.evaluate(taken, scope)?;
        let other = match self.evaluate(other, scope) {
            Ok(other) => other.kind(),
            Err(_) => Type::Dynamic,
        };
        let kind = value.kind();
        let Some(common) = unify([&kind, &other]) else {
            return Err(BakeError::new(format!(
                "the two results of this condition have types without anything in common: {kind} and {other}"
            )));
        };
        convert(&value, &common)
            .map_err(|error| Self::misfit(&error.to_string(), scope, taken.span))
    }
}
