//! Attributes of targets and groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Instance, Resolver, Running};
use crate::error::{BakeError, Result};
use crate::eval::Scope;
use crate::target::schema;
use crate::value::Value;

impl Resolver<'_> {
    /// `target.NAME.ATTRIBUTE`: what the last block of that name that has the attribute says;
    /// null where none has it.
    pub(crate) fn block_attribute(&self, kind: &str, name: &str, attribute: &str) -> Result<Value> {
        if attribute == "name" {
            self.named(kind, name)?;
            return Ok(Value::from(name));
        }
        let Some(wanted) = schema::attribute_type(kind, attribute) else {
            let error = BakeError::new(format!("a {kind} has no attribute {attribute}"));
            return Err(error.suggesting(attribute, schema::attributes(kind)));
        };
        for (at, _) in self.named(kind, name)?.into_iter().rev() {
            if let Some(value) = self.instance_attribute(at, attribute)? {
                return Ok(value);
            }
        }
        Ok(Value::Null(wanted))
    }

    /// `target.NAME`: all its attributes.
    pub(crate) fn block_value(&self, kind: &str, name: &str) -> Result<Value> {
        let mut fields = BTreeMap::from([(Arc::from("name"), Value::from(name))]);
        for attribute in schema::attributes(kind) {
            let value = self.block_attribute(kind, name, attribute)?;
            fields.insert(Arc::from(attribute), value);
        }
        Ok(Value::object(fields))
    }

    /// The instances of a name, each with its place among all.
    fn named(&self, kind: &str, name: &str) -> Result<Vec<(usize, &Instance)>> {
        let all = self.instances()?;
        let is_kind = |instance: &Instance| {
            let definition = self.definitions.blocks.get(instance.block);
            definition.is_some_and(|definition| definition.kind.word() == kind)
        };
        let found: Vec<(usize, &Instance)> = all
            .iter()
            .enumerate()
            .filter(|(_, instance)| instance.name.as_ref() == name && is_kind(instance))
            .collect();
        if found.is_empty() {
            let known = all.iter().filter(|instance| is_kind(instance));
            let error = BakeError::new(format!("there is no {kind} {name}"));
            return Err(error.suggesting(name, known.map(|instance| instance.name.as_ref())));
        }
        Ok(found)
    }

    /// An attribute of the instance at a place, converted to its type.
    pub(crate) fn instance_attribute(&self, at: usize, attribute: &str) -> Result<Option<Value>> {
        let Some((instance, definition)) = self
            .instances()?
            .get(at)
            .and_then(|instance| Some((instance, self.definitions.blocks.get(instance.block)?)))
        else {
            return Ok(None);
        };
        let word = definition.kind.word();
        let Some((found, wanted)) = definition
            .body
            .attribute(attribute)
            .zip(schema::attribute_type(word, attribute))
        else {
            return Ok(None);
        };
        let key = (at, Arc::clone(&found.name));
        if let Some(value) = self.attributes.borrow().get(&key) {
            return Ok(Some(value.clone()));
        }
        let circle = format!(
            "the value of {word}.{}.{attribute} depends on itself",
            instance.name
        );
        let scope = Scope::with(&definition.source, instance.matrix.clone());
        let running = Running::Attribute(at, Arc::clone(&found.name));
        let evaluate = || self.evaluate_as(&found.value, &wanted, &scope);
        let value = self.once(running, &circle, evaluate)?;
        self.attributes.borrow_mut().insert(key, value.clone());
        Ok(Some(value))
    }
}
