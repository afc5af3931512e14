//! Targets and groups of all files, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TargetRow;
use crate::definitions::BlockKind;
use crate::error::{BakeError, Place, Result};
use crate::functions;
use crate::resolver::Resolver;
use crate::target::Target;
use crate::target::decode::{self, Group};
use crate::value::Value;

/// What the files define.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) groups: Vec<(String, Group)>,
    pub(super) targets: Vec<(String, Target)>,
    /// Where a file defines a target; the last of several places. Services have none.
    places: BTreeMap<String, Place>,
}

impl Config {
    /// The group of that name.
    pub(super) fn group(&self, name: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, group)| group)
    }

    /// The target of that name.
    pub(super) fn target(&self, name: &str) -> Option<&Target> {
        self.targets
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, target)| target)
    }

    /// Where a target is defined.
    pub(super) fn place(&self, name: &str) -> Option<&Place> {
        self.places.get(name)
    }

    /// An error about a target that `asking` needs in this way.
    pub(super) fn missing(&self, name: &str, asking: &str, way: &str) -> BakeError {
        let all = self.targets.iter().map(|(name, _)| name.as_str());
        let message = format!("failed to find target {name}, {way} of target {asking}");
        let error = BakeError::new(message).suggesting(name, all);
        match self.place(asking) {
            Some(place) => error.at(&place.source, place.span),
            None => error,
        }
    }

    /// Adds the target of a service, which belongs to the default group.
    pub(super) fn add_service(&mut self, name: String, target: Target) {
        if self.groups.is_empty() {
            self.groups.push(("default".to_owned(), Group::default()));
        }
        if let Some((_, group)) = self.groups.first_mut() {
            group.targets.push(name.clone());
        }
        self.add_target(name, target);
    }

    /// Adds a target to what is known of its name.
    fn add_target(&mut self, name: String, target: Target) {
        match self.targets.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.merge(target),
            None => self.targets.push((name, target)),
        }
    }

    /// Adds targets and groups of Bake files, and a group for each matrix.
    pub(super) fn add_blocks(&mut self, resolver: &Resolver<'_>) -> Result<()> {
        let mut renamed: Vec<(String, Vec<String>)> = Vec::new();
        for (at, instance) in resolver.instances()?.iter().enumerate() {
            let definition = &resolver.definitions.blocks[instance.block];
            let (name, label) = (instance.name.to_string(), definition.label.to_string());
            match definition.kind {
                BlockKind::Group => {
                    let mut group = decode::group(resolver, at, definition)?;
                    each_once(&mut group.targets);
                    match self.groups.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = group,
                        None => self.groups.push((name, group)),
                    }
                }
                BlockKind::Target => {
                    let target = decode::target(resolver, at, instance, definition)?;
                    let place = Place {
                        source: Arc::clone(&definition.source),
                        span: definition.label_span,
                    };
                    self.places.insert(name.clone(), place);
                    self.add_target(name.clone(), target);
                    match renamed.iter_mut().find(|(known, _)| *known == label) {
                        Some((_, names)) => names.push(name),
                        None => renamed.push((label, vec![name])),
                    }
                }
            }
        }
        for (label, mut names) in renamed {
            each_once(&mut names);
            if names.len() != 1 || names[0] != label {
                let group = Group {
                    description: String::new(),
                    targets: names,
                };
                self.groups.push((label, group));
            }
        }
        Ok(())
    }

    /// What can be named, in the order of the names; what begins with `_` is private.
    pub(super) fn rows(&self) -> Vec<TargetRow> {
        let targets = self.targets.iter().map(|(name, target)| TargetRow {
            name: name.clone(),
            description: target.description.clone(),
            group: false,
        });
        let groups = self.groups.iter().map(|(name, group)| {
            let mut targets = group.targets.clone();
            targets.sort();
            let targets = targets.join(", ");
            let description = match (group.description.as_str(), targets.as_str()) {
                (description, "") => description.to_owned(),
                ("", targets) => targets.to_owned(),
                (description, targets) => format!("{description} ({targets})"),
            };
            TargetRow {
                name: name.clone(),
                description,
                group: true,
            }
        });
        let mut rows: Vec<TargetRow> = targets.chain(groups).collect();
        rows.retain(|row| !row.name.starts_with('_'));
        rows.sort_by(|left, right| left.name.cmp(&right.name));
        rows
    }
}

/// Drops all but the first of each.
pub(super) fn each_once(names: &mut Vec<String>) {
    let mut kept: Vec<String> = Vec::with_capacity(names.len());
    for name in names.drain(..) {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    *names = kept;
}

/// A value in a list of variables: texts as they are, everything else as JSON.
pub(super) fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null(_) => None,
        Value::String(text) => Some(text.to_string()),
        other => functions::json_text(other),
    }
}
