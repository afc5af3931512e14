//! Variables and attributes outside of blocks.

use std::sync::Arc;

use super::{Resolver, Running};
use crate::convert::convert;
use crate::definitions::Variable;
use crate::error::{BakeError, Result};
use crate::eval::Scope;
use crate::functions;
use crate::number::Number;
use crate::types::Type;
use crate::value::{Fields, Items, Value};

impl Resolver<'_> {
    /// The value of a variable or of an attribute outside of blocks.
    pub(crate) fn variable(&self, name: &str) -> Result<Value> {
        if let Some(value) = self.values.borrow().get(name) {
            return Ok(value.clone());
        }
        let name: Arc<str> = Arc::from(name);
        let circle = format!("the value of {name} depends on itself");
        let running = Running::Variable(Arc::clone(&name));
        let value = self.once(running, &circle, || self.fresh_variable(&name))?;
        self.values.borrow_mut().insert(name, value.clone());
        Ok(value)
    }

    fn fresh_variable(&self, name: &str) -> Result<Value> {
        let variable = self.definitions.variables.get(name);
        let global = self.definitions.globals.get(name);
        match name {
            "BAKE_CMD_CONTEXT" if global.is_none() => {
                return Ok(Value::from(self.surroundings.command_context.as_str()));
            }
            "BAKE_LOCAL_PLATFORM" if global.is_none() => {
                return Ok(Value::from(self.surroundings.local_platform.as_str()));
            }
            _ => {}
        }
        // An attribute of that name stands in for the default.
        let (source, default) = match (global, variable) {
            (Some(global), _) => (&global.source, Some(&global.value)),
            (None, Some(variable)) => (&variable.source, variable.default.as_ref()),
            (None, None) => {
                let known = self
                    .definitions
                    .variables
                    .keys()
                    .chain(self.definitions.globals.keys());
                return Err(BakeError::new(format!("there is no variable {name}"))
                    .suggesting(name, known.map(AsRef::as_ref))
                    .with_hint(format!("define it: variable \"{name}\" {{ default = … }}")));
            }
        };
        if let Some(variable) = variable
            && let Some(value) = self.set_from_outside(name, variable)?
        {
            return Ok(value);
        }
        let Some(default) = default else {
            return Ok(
                match variable.and_then(|variable| variable.constraint.clone()) {
                    Some(kind) => Value::Null(kind),
                    None => Value::from(""),
                },
            );
        };
        let scope = Scope::file(source);
        match variable.and_then(|variable| variable.constraint.as_ref()) {
            Some(kind) => self.evaluate_as(default, kind, &scope),
            None => self.evaluate(default, &scope),
        }
    }

    /// The value that the command line or the environment sets for a variable.
    fn set_from_outside(&self, name: &str, variable: &Variable) -> Result<Option<Value>> {
        let wrong = |reason: String| {
            BakeError::new(format!(
                "{name} cannot have the value that is set for it: {reason}"
            ))
            .at(&variable.source, variable.span)
        };
        if let Some(kind) = &variable.constraint
            && let Some(json) = self.surroundings.lookup(&format!("{name}_JSON"))
        {
            let value = functions::json_value(json).map_err(wrong)?;
            let converted = convert(&value, kind).map_err(|error| wrong(error.to_string()))?;
            return Ok(Some(converted));
        }
        let Some(text) = self.surroundings.lookup(name) else {
            return Ok(None);
        };
        let kind = match &variable.constraint {
            Some(kind) => kind.clone(),
            None => self.kind_of_default(name, variable)?,
        };
        from_text(text, &kind).map(Some).map_err(|error| {
            let error = wrong(error);
            if kind.is_primitive() {
                error
            } else {
                error.with_hint(format!(
                    "give the variable a type and set {name}_JSON, which takes any value as JSON"
                ))
            }
        })
    }

    /// What an untyped variable is taken for: what its default is.
    fn kind_of_default(&self, name: &str, variable: &Variable) -> Result<Type> {
        let (source, default) = match (self.definitions.globals.get(name), &variable.default) {
            (Some(global), _) => (&global.source, &global.value),
            (None, Some(default)) => (&variable.source, default),
            (None, None) => return Ok(Type::String),
        };
        match self.evaluate(default, &Scope::file(source))?.kind() {
            Type::Dynamic => Ok(Type::String),
            kind => Ok(kind),
        }
    }

    /// Evaluates every variable and every attribute outside of blocks, and checks what the
    /// variables are allowed to be.
    pub(crate) fn check_variables(&self) -> Result<()> {
        for name in self.definitions.variables.keys() {
            self.variable(name)?;
        }
        for name in self.definitions.globals.keys() {
            self.variable(name)?;
        }
        for variable in self.definitions.variables.values() {
            let scope = Scope::file(&variable.source);
            for validation in &variable.validations {
                let truth = self.evaluate_as(&validation.condition, &Type::Bool, &scope)?;
                if truth == Value::Bool(true) {
                    continue;
                }
                let message = self.evaluate_as(&validation.message, &Type::String, &scope)?;
                let message = message.as_text().unwrap_or("the value is not allowed");
                let error = BakeError::new(format!("validation failed: {message}"));
                return Err(error.at(scope.source(), validation.condition.span));
            }
        }
        Ok(())
    }
}

/// A value from the text of an environment variable: lists as comma-separated values, maps as
/// such of `name:value`.
fn from_text(text: &str, kind: &Type) -> std::result::Result<Value, String> {
    match kind {
        Type::String => Ok(Value::from(text)),
        Type::Bool => truth(text)
            .map(Value::Bool)
            .ok_or_else(|| format!("{text:?} is no bool")),
        Type::Number => match Number::parse(text) {
            Some(Ok(number)) => Ok(Value::Number(number)),
            _ => Err(format!("{text:?} is no number")),
        },
        Type::List(element) | Type::Set(element) if element.is_primitive() => {
            let values = fields(text)?
                .iter()
                .map(|field| from_text(field, element))
                .collect::<std::result::Result<_, _>>()?;
            Ok(match kind {
                Type::Set(_) => Value::set(element.as_ref().clone(), values),
                _ => Value::List(element.as_ref().clone(), Items::new(values)),
            })
        }
        Type::Map(element) if element.is_primitive() => {
            let pairs = fields(text)?
                .iter()
                .map(|field| {
                    let pair = field.split_once(':');
                    let (name, value) =
                        pair.ok_or_else(|| format!("{field:?} is not NAME:VALUE"))?;
                    Ok((Arc::from(name), from_text(value, element)?))
                })
                .collect::<std::result::Result<_, String>>()?;
            Ok(Value::Map(element.as_ref().clone(), Fields::new(pairs)))
        }
        Type::Tuple(kinds) if kinds.iter().all(Type::is_primitive) => {
            let fields = fields(text)?;
            if fields.len() != kinds.len() {
                let message = format!("{} elements are wanted, not {}", kinds.len(), fields.len());
                return Err(message);
            }
            let values = fields
                .iter()
                .zip(kinds)
                .map(|(field, kind)| from_text(field, kind));
            Ok(Value::tuple(values.collect::<std::result::Result<_, _>>()?))
        }
        _ => Err(format!("{kind} has no form in a plain text")),
    }
}

fn fields(text: &str) -> std::result::Result<Vec<String>, String> {
    let fields = functions::csv_fields(text)?;
    if fields.is_empty() {
        return Err("the text is empty".to_owned());
    }
    Ok(fields)
}

/// A truth value as Go reads it.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
