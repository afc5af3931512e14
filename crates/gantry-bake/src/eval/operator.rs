//! Operators.

use crate::error::{BakeError, Result};
use crate::number::{Number, OutOfRange};
use crate::resolver::Resolver;
use crate::syntax::ast::{BinaryOperator, Expr, UnaryOperator};
use crate::types::Type;
use crate::value::Value;

use super::Scope;

impl Resolver<'_> {
    pub(super) fn unary(
        &self,
        operator: UnaryOperator,
        inner: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Value> {
        match operator {
            UnaryOperator::Not => Ok(Value::Bool(!self.truth(inner, scope)?)),
            UnaryOperator::Negate => Ok(Value::Number(-self.number(inner, scope)?)),
        }
    }

    pub(super) fn binary(
        &self,
        operator: BinaryOperator,
        left: &Expr,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Value> {
        let truth = match operator {
            BinaryOperator::Or => self.truth(left, scope)? || self.truth(right, scope)?,
            BinaryOperator::And => self.truth(left, scope)? && self.truth(right, scope)?,
            BinaryOperator::Equal | BinaryOperator::NotEqual => {
                let left = self.evaluate(left, scope)?;
                let right = self.evaluate(right, scope)?;
                self.budget.spend(left.weight().min(right.weight()))?;
                left.is_same(&right) == (operator == BinaryOperator::Equal)
            }
            _ => return self.arithmetic(operator, left, right, scope),
        };
        Ok(Value::Bool(truth))
    }

    fn arithmetic(
        &self,
        operator: BinaryOperator,
        left: &Expr,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Value> {
        let (number, other) = (self.number(left, scope)?, self.number(right, scope)?);
        let result = match operator {
            BinaryOperator::Less => return Ok(Value::Bool(number < other)),
            BinaryOperator::LessOrEqual => return Ok(Value::Bool(number <= other)),
            BinaryOperator::Greater => return Ok(Value::Bool(number > other)),
            BinaryOperator::GreaterOrEqual => return Ok(Value::Bool(number >= other)),
            BinaryOperator::Add => number.add(&other),
            BinaryOperator::Subtract => number.subtract(&other),
            BinaryOperator::Multiply => number.multiply(&other),
            BinaryOperator::Divide => number.divide(&other),
            _ => number.remainder(&other),
        };
        result.map(Value::Number).map_err(|OutOfRange| {
            let by_zero = matches!(operator, BinaryOperator::Divide | BinaryOperator::Modulo);
            BakeError::new(if by_zero && other.is_zero() {
                "division by zero"
            } else {
                "the result is too large or too small"
            })
        })
    }

    fn truth(&self, expr: &Expr, scope: &Scope<'_>) -> Result<bool> {
        match self.evaluate_as(expr, &Type::Bool, scope)? {
            Value::Bool(truth) => Ok(truth),
            _ => Err(BakeError::new("this operand is null").at(scope.source(), expr.span)),
        }
    }

    fn number(&self, expr: &Expr, scope: &Scope<'_>) -> Result<Number> {
        match self.evaluate_as(expr, &Type::Number, scope)? {
            Value::Number(number) => Ok(number),
            _ => Err(BakeError::new("this operand is null").at(scope.source(), expr.span)),
        }
    }
}
