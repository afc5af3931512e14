//! Texts with interpolations.

use crate::error::{BakeError, Result};
use crate::resolver::Resolver;
use crate::syntax::ast::Part;
use crate::types::Type;
use crate::value::{LARGEST_VALUE, Value};

use super::Scope;

/// Most bytes of a text.
const LARGEST_TEXT: usize = LARGEST_VALUE * 16;

impl Resolver<'_> {
    /// The text of a template.
    pub(super) fn template(&self, parts: &[Part], scope: &Scope<'_>) -> Result<String> {
        let mut text = String::new();
        self.append(&mut text, parts, scope)?;
        Ok(text)
    }

    fn append(&self, text: &mut String, parts: &[Part], scope: &Scope<'_>) -> Result<()> {
        for part in parts {
            match part {
                Part::Text(more) => text.push_str(more),
                Part::Interpolation(inner) => {
                    let value = self.evaluate_as(inner, &Type::String, scope)?;
                    let Some(more) = value.as_text() else {
                        let message = "null cannot be part of a text";
                        return Err(BakeError::new(message).at(scope.source(), inner.span));
                    };
                    text.push_str(more);
                }
                Part::If { condition, yes, no } => {
                    let truth = self.evaluate_as(condition, &Type::Bool, scope)?;
                    let Value::Bool(truth) = truth else {
                        let message = "the condition is null";
                        return Err(BakeError::new(message).at(scope.source(), condition.span));
                    };
                    self.append(text, if truth { yes } else { no }, scope)?;
                }
                Part::For {
                    key,
                    value,
                    collection,
                    body,
                } => {
                    for names in self.rounds(collection, key.as_ref(), value, scope)? {
                        self.append(text, body, &scope.inner(names))?;
                    }
                }
            }
            self.budget.spend(1)?;
            if text.len() > LARGEST_TEXT {
                return Err(BakeError::new(format!(
                    "the text has more than {LARGEST_TEXT} bytes"
                )));
            }
        }
        Ok(())
    }
}
