//! Which targets and groups there are, once every matrix is multiplied out.

use std::sync::Arc;

use gantry_dockerfile::SourceFile;

use super::{Resolver, Running};
use crate::definitions::{BlockKind, Definition, check_name};
use crate::error::{BakeError, Result};
use crate::eval::{Names, Scope};
use crate::syntax::ast::Expr;
use crate::types::Type;
use crate::value::Value;

/// Most targets that a matrix makes.
const LARGEST_MATRIX: usize = 4096;

/// A target or group of some name.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// The place of its block in [`crate::definitions::Definitions::blocks`].
    pub(crate) block: usize,
    pub(crate) name: Arc<str>,
    /// The names that its matrix defines.
    pub(crate) matrix: Names,
}

impl Resolver<'_> {
    /// All targets and groups in the order of the files.
    pub(crate) fn instances(&self) -> Result<&[Instance]> {
        if let Some(instances) = self.instances.get() {
            return Ok(instances);
        }
        let circle = "the names of targets cannot depend on targets";
        let instances = self.once(Running::Instances, circle, || {
            let mut all = Vec::new();
            for (block, definition) in self.definitions.blocks.iter().enumerate() {
                self.add_instances(block, definition, &mut all)?;
            }
            Ok(all)
        })?;
        Ok(self.instances.get_or_init(|| instances))
    }

    fn add_instances(
        &self,
        block: usize,
        definition: &Definition,
        all: &mut Vec<Instance>,
    ) -> Result<()> {
        let source = &definition.source;
        let name = definition.body.attribute("name");
        let matrix = definition.body.attribute("matrix");
        let fault = |message: &str, span| Err(BakeError::new(message).at(source, span));
        let word = definition.kind.word();
        if let (BlockKind::Group, Some(attribute)) = (definition.kind, name.or(matrix)) {
            let message = format!("a {word} has no attribute {}", attribute.name);
            return fault(&message, attribute.name_span);
        }
        let rounds = match matrix {
            Some(matrix) => self.matrix(&matrix.value, source)?,
            None => vec![Names::new()],
        };
        if let (Some(name), None) = (name, matrix) {
            return fault("name needs a matrix", name.name_span);
        }
        let first = all.len();
        for names in rounds {
            let label = match name {
                Some(name) => {
                    let scope = Scope::with(source, names.clone());
                    match self.evaluate_as(&name.value, &Type::String, &scope)? {
                        Value::String(label) => label,
                        _ => return fault("the name of a target is null", name.value.span),
                    }
                }
                None => Arc::clone(&definition.label),
            };
            let place = name.map_or(definition.label_span, |name| name.value.span);
            check_name(word, &label).map_err(|error| error.at(source, place))?;
            self.budget.spend(all.len() - first)?;
            if all[first..].iter().any(|other| other.name == label) {
                let message = format!("two targets of this matrix are called {label}");
                let error = BakeError::new(message).at(source, place);
                return Err(error.with_hint("let name tell them apart: name = \"app-${item}\""));
            }
            all.push(Instance {
                block,
                name: label,
                matrix: names,
            });
        }
        Ok(())
    }

    /// The names of every combination.
    fn matrix(&self, value: &Expr, source: &Arc<SourceFile>) -> Result<Vec<Names>> {
        let fault = |message: String| Err(BakeError::new(message).at(source, value.span));
        let held = self.evaluate(value, &Scope::file(source))?;
        let Some(axes) = held.fields() else {
            return fault("a matrix is a map of lists".to_owned());
        };
        let mut rounds = vec![Names::new()];
        for (name, axis) in axes {
            let Some(items) = axis.elements() else {
                return fault(format!("the values of {name} must be a list"));
            };
            if rounds.len().saturating_mul(items.len()) > LARGEST_MATRIX {
                return fault(format!(
                    "the matrix makes more than {LARGEST_MATRIX} targets"
                ));
            }
            let mut next = Vec::with_capacity(rounds.len() * items.len());
            for item in items {
                for round in &rounds {
                    let mut names = round.clone();
                    names.push((Arc::clone(name), item.clone()));
                    next.push(names);
                }
            }
            rounds = next;
        }
        Ok(rounds)
    }
}
