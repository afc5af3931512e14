//! From the attributes of a block to a target.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::{Target, Texts, schema};
use crate::definitions::Definition;
use crate::error::{BakeError, Result};
use crate::resolver::{Instance, Resolver};
use crate::syntax::ast::Attribute;
use crate::value::Value;

/// A group of targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// For people.
    pub description: String,
    /// Names of targets and groups.
    pub targets: Vec<String>,
}

/// Refuses attributes that the block cannot have.
fn check(definition: &Definition) -> Result<()> {
    let kind = definition.kind.word();
    for attribute in &definition.body.attributes {
        let name = attribute.name.as_ref();
        if schema::UNSUPPORTED.contains(&name) && kind == "target" {
            let message = format!("attribute {name} of a target is not supported");
            let error = BakeError::unsupported(message);
            return Err(error.at(&definition.source, attribute.name_span));
        }
        if !schema::has_attribute(kind, name) {
            let error = BakeError::new(format!("a {kind} has no attribute {name}"))
                .suggesting(name, schema::attributes(kind));
            return Err(error.at(&definition.source, attribute.name_span));
        }
    }
    Ok(())
}

/// The group that an instance defines.
pub(crate) fn group(resolver: &Resolver<'_>, at: usize, definition: &Definition) -> Result<Group> {
    check(definition)?;
    let value = |name| resolver.instance_attribute(at, name);
    Ok(Group {
        description: value("description")?
            .as_ref()
            .and_then(text)
            .unwrap_or_default(),
        targets: value("targets")?
            .as_ref()
            .and_then(texts)
            .unwrap_or_default(),
    })
}

/// The target that an instance defines.
pub(crate) fn target(
    resolver: &Resolver<'_>,
    at: usize,
    instance: &Instance,
    definition: &Definition,
) -> Result<Target> {
    check(definition)?;
    let mut target = Target::default();
    for attribute in &definition.body.attributes {
        let name = attribute.name.as_ref();
        if matches!(name, "matrix" | "name") {
            continue;
        }
        if let Some(value) = resolver.instance_attribute(at, name)? {
            set(&mut target, name, &value).map_err(|reason| {
                let message = format!("{name} of target {}: {reason}", instance.name);
                BakeError::new(message).at(&definition.source, place(attribute))
            })?;
        }
    }
    Ok(target)
}

fn place(attribute: &Attribute) -> gantry_dockerfile::Span {
    attribute.value.span
}

/// Sets an attribute from a value of its type.
fn set(target: &mut Target, name: &str, value: &Value) -> std::result::Result<(), String> {
    match name {
        "annotations" => target.annotations = texts(value),
        "args" => target.args = map(value),
        "attest" => target.attest = entries(value)?,
        "cache-from" => target.cache_from = entries(value)?,
        "cache-to" => target.cache_to = entries(value)?,
        "call" => target.call = text(value),
        "context" => target.context = text(value),
        "contexts" => target.contexts = given(map(value)),
        "description" => target.description = text(value).unwrap_or_default(),
        "dockerfile" => target.dockerfile = text(value),
        "dockerfile-inline" => target.dockerfile_inline = text(value),
        "entitlements" => target.entitlements = texts(value),
        "extra-hosts" => target.extra_hosts = map(value),
        "inherits" => target.inherits = texts(value).unwrap_or_default(),
        "labels" => target.labels = map(value),
        "network" => target.network = text(value),
        "no-cache" => target.no_cache = truth(value),
        "no-cache-filter" => target.no_cache_filter = texts(value),
        "output" => target.outputs = entries(value)?,
        "platforms" => target.platforms = texts(value),
        "pull" => target.pull = truth(value),
        "secret" => target.secrets = entries(value)?,
        "shm-size" => target.shm_size = text(value),
        "ssh" => target.ssh = entries(value)?,
        "tags" => target.tags = texts(value),
        "target" => target.target = text(value),
        "ulimits" => target.ulimits = texts(value),
        _ => return Err("this attribute is not known".to_owned()),
    }
    Ok(())
}

fn text(value: &Value) -> Option<String> {
    value.as_text().map(String::from)
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        _ => None,
    }
}

/// Texts; elements that are null count as empty, and are dropped as such.
fn texts(value: &Value) -> Option<Vec<String>> {
    let items = value.items()?;
    Some(
        items
            .iter()
            .map(|item| text(item).unwrap_or_default())
            .collect(),
    )
}

fn map(value: &Value) -> Texts {
    let fields = value.fields().into_iter().flatten();
    fields
        .map(|(name, field)| (name.to_string(), text(field)))
        .collect()
}

fn given(texts: Texts) -> BTreeMap<String, String> {
    texts
        .into_iter()
        .filter_map(|(name, text)| Some((name, text?)))
        .collect()
}

fn entries<T: Entry>(value: &Value) -> std::result::Result<Option<Vec<T>>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let Some(items) = value.items() else {
        return Err(format!("a list is required, not {}", value.kind()));
    };
    let mut all = Vec::new();
    for item in items {
        all.extend(T::from_value(item)?);
    }
    Ok(Some(all))
}
