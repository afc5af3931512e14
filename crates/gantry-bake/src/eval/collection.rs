//! `for` over collections.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{BakeError, Result};
use crate::resolver::Resolver;
use crate::syntax::ast::{Expr, ForExpr};
use crate::types::Type;
use crate::value::{LARGEST_VALUE, Value};

use super::{Names, Scope};

impl Resolver<'_> {
    pub(super) fn each(&self, each: &ForExpr, scope: &Scope<'_>) -> Result<Value> {
        let mut results = Vec::new();
        let mut weight = 0_usize;
        for names in self.rounds(&each.collection, each.key.as_ref(), &each.value, scope)? {
            let inner = scope.inner(names);
            if let Some(condition) = &each.condition {
                match self.evaluate_as(condition, &Type::Bool, &inner)? {
                    Value::Bool(true) => {}
                    Value::Bool(false) => continue,
                    _ => {
                        let error = BakeError::new("the condition is null");
                        return Err(error.at(scope.source(), condition.span));
                    }
                }
            }
            let key = each
                .result_key
                .as_ref()
                .map(|key| self.key(key, &inner))
                .transpose()?;
            let value = self.evaluate(&each.result, &inner)?;
            weight = weight.saturating_add(value.weight());
            if weight > LARGEST_VALUE {
                return Err(BakeError::new(
                    "this `for` makes more than can be worked with",
                ));
            }
            results.push((key, value));
        }
        if each.result_key.is_none() {
            return Ok(Value::tuple(
                results.into_iter().map(|(_, value)| value).collect(),
            ));
        }
        let mut groups: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
        for (key, value) in results {
            let group = groups.entry(key.unwrap_or_default()).or_default();
            group.push(value);
        }
        let mut fields = BTreeMap::new();
        for (name, mut group) in groups {
            let value = if each.grouped {
                Value::tuple(group)
            } else if group.len() > 1 {
                return Err(BakeError::new(format!("two elements are called {name:?}"))
                    .with_hint("gather the values of one name with ... behind the value"));
            } else {
                group.pop().unwrap_or(Value::NULL)
            };
            fields.insert(name, value);
        }
        Ok(Value::object(fields))
    }

    fn key(&self, key: &Expr, scope: &Scope<'_>) -> Result<Arc<str>> {
        match self.evaluate_as(key, &Type::String, scope)? {
            Value::String(text) => Ok(text),
            _ => Err(BakeError::new("the name of an element cannot be null")
                .at(scope.source(), key.span)),
        }
    }

    /// The names of each round through a collection.
    pub(super) fn rounds(
        &self,
        collection: &Expr,
        key: Option<&Arc<str>>,
        value: &Arc<str>,
        scope: &Scope<'_>,
    ) -> Result<Vec<Names>> {
        let held = self.evaluate(collection, scope)?;
        let pairs: Vec<(Value, Value)> = match (held.items(), held.fields()) {
            (Some(items), _) => {
                let is_set = matches!(held, Value::Set(..));
                let pair = |(at, item): (usize, &Value)| {
                    let key = if is_set {
                        item.clone()
                    } else {
                        Value::from(at)
                    };
                    (key, item.clone())
                };
                items.iter().enumerate().map(pair).collect()
            }
            (None, Some(fields)) => fields
                .iter()
                .map(|(name, field)| (Value::String(Arc::clone(name)), field.clone()))
                .collect(),
            (None, None) => {
                let message = match held {
                    Value::Null(_) => "null cannot be gone through".to_owned(),
                    _ => format!("{} cannot be gone through", held.kind()),
                };
                return Err(BakeError::new(message).at(scope.source(), collection.span));
            }
        };
        Ok(pairs
            .into_iter()
            .map(|(number, item)| {
                let mut names = vec![(Arc::clone(value), item)];
                names.extend(key.map(|key| (Arc::clone(key), number)));
                names
            })
            .collect())
    }
}
