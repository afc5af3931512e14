//! Calls of functions: of the files' own, and of the standard library.

use std::sync::Arc;

use gantry_dockerfile::SourceFile;
use gantry_model::quantity::counted;

use crate::convert::convert;
use crate::error::{BakeError, Result};
use crate::functions::{self, Function, Problem};
use crate::resolver::Resolver;
use crate::syntax::ast::{Call, Expr};
use crate::types::Type;
use crate::value::Value;

use super::{Scope, constraint};

/// A `function` block.
#[derive(Debug, Clone)]
pub(crate) struct UserFunction {
    pub(crate) source: Arc<SourceFile>,
    pub(crate) parameters: Vec<Arc<str>>,
    /// The name of the list of further arguments.
    pub(crate) variadic: Option<Arc<str>>,
    pub(crate) result: Expr,
}

impl Resolver<'_> {
    pub(super) fn call(&self, call: &Call, scope: &Scope<'_>) -> Result<Value> {
        match call.name.as_ref() {
            "try" => return self.first_that_works(call, scope),
            "can" => return self.works(call, scope),
            "convert" => return self.conversion(call, scope),
            _ => {}
        }
        if let Some(function) = functions::find(&call.name) {
            let values = self.arguments(call, scope)?;
            return self.standard(function, call, values, scope);
        }
        let Some(function) = self.function(&call.name)? else {
            let known = functions::names().chain(self.function_names());
            let error = BakeError::new(format!("there is no function {}", call.name));
            return Err(error
                .suggesting(&call.name, known)
                .at(scope.source(), call.name_span));
        };
        let values = self.arguments(call, scope)?;
        self.own(&call.name, &function, values)
    }

    /// The values of the arguments, the last one taken apart where that is asked for.
    fn arguments(&self, call: &Call, scope: &Scope<'_>) -> Result<Vec<Value>> {
        let mut values = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            values.push(self.evaluate(argument, scope)?);
        }
        if call.expanded
            && let (Some(last), Some(expr)) = (values.pop(), call.arguments.last())
        {
            let Some(items) = last.items() else {
                let message = "only lists, sets and tuples can be taken apart with ...";
                return Err(BakeError::new(message).at(scope.source(), expr.span));
            };
            values.extend_from_slice(items);
        }
        Ok(values)
    }

    fn own(&self, name: &Arc<str>, function: &UserFunction, values: Vec<Value>) -> Result<Value> {
        let wanted = function.parameters.len();
        check_count(name, wanted, function.variadic.is_some(), values.len())?;
        let mut values = values.into_iter();
        let mut names: Vec<(Arc<str>, Value)> = function
            .parameters
            .iter()
            .cloned()
            .zip(values.by_ref())
            .collect();
        if let Some(rest) = &function.variadic {
            names.push((Arc::clone(rest), Value::tuple(values.collect())));
        }
        self.entered(name, || {
            self.evaluate(&function.result, &Scope::with(&function.source, names))
        })
    }

    fn standard(
        &self,
        function: &Function,
        call: &Call,
        mut values: Vec<Value>,
        scope: &Scope<'_>,
    ) -> Result<Value> {
        let variadic = function.rest.is_some();
        check_count(
            &call.name,
            function.parameters.len(),
            variadic,
            values.len(),
        )?;
        let weight: usize = values.iter().map(Value::weight).sum();
        self.budget.spend(1 + weight / 8)?;
        let place = |at: usize, error: BakeError| match call.arguments.get(at) {
            Some(argument) => error.at(scope.source(), argument.span),
            None => error,
        };
        for (at, value) in values.iter_mut().enumerate() {
            let Some(parameter) = function.parameters.get(at).or(function.rest.as_ref()) else {
                continue;
            };
            if value.is_null() && !parameter.takes_null {
                let message = format!("argument {} of {} is null", parameter.name, call.name);
                return Err(place(at, BakeError::new(message)));
            }
            *value = convert(value, &parameter.kind()).map_err(|error| {
                let (name, function) = (parameter.name, &call.name);
                let message = format!("argument {name} of {function}: {error}");
                place(at, BakeError::new(message))
            })?;
        }
        (function.run)(self.surroundings, &values).map_err(|Problem { message, argument }| {
            let error = BakeError::new(format!("{}: {message}", call.name));
            match argument {
                Some(at) => place(at, error),
                None => error,
            }
        })
    }

    /// `try(a, b, …)`: the first that can be evaluated.
    fn first_that_works(&self, call: &Call, scope: &Scope<'_>) -> Result<Value> {
        let mut last = BakeError::new("try: at least one argument is required");
        for argument in &call.arguments {
            match self.evaluate(argument, scope) {
                Ok(value) => return Ok(value),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// `can(a)`: whether it can be evaluated.
    fn works(&self, call: &Call, scope: &Scope<'_>) -> Result<Value> {
        check_count(&call.name, 1, false, call.arguments.len())?;
        let all = call.arguments.iter();
        Ok(Value::Bool(
            all.map(|argument| self.evaluate(argument, scope))
                .all(|done| done.is_ok()),
        ))
    }

    /// `convert(a, TYPE)`
    fn conversion(&self, call: &Call, scope: &Scope<'_>) -> Result<Value> {
        let [value, kind] = call.arguments.as_slice() else {
            return Err(BakeError::new("convert takes a value and a type"));
        };
        let kind: Type = constraint(kind, scope.source(), false)?;
        self.evaluate_as(value, &kind, scope)
    }
}

fn check_count(name: &str, wanted: usize, variadic: bool, given: usize) -> Result<()> {
    if given < wanted || given > wanted && !variadic {
        let least = if variadic { "at least " } else { "" };
        let wanted = counted(wanted, "argument");
        let message = format!("{name} takes {least}{wanted}, not {given}");
        return Err(BakeError::new(message));
    }
    Ok(())
}
