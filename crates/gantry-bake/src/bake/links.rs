//! Targets with all that they inherit, and those that their contexts name.

use std::collections::BTreeMap;

use super::config::{Config, each_once};
use super::{Baked, OverridesByName, select};
use crate::error::{BakeError, Result};
use crate::path;
use crate::target::decode::Group;
use crate::target::{Output, Target, overrides};

/// The targets and groups for the names that were asked for.
pub(super) fn bake(
    config: &Config,
    names: &[String],
    overrides: &OverridesByName,
) -> Result<Baked> {
    let mut targets = BTreeMap::new();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for name in names {
        let (found, named) = select::expand(config, name);
        for name in found {
            let target = resolve(config, &name, overrides)?;
            targets.insert(name, target);
        }
        for name in named {
            if let Some(group) = config.group(&name) {
                groups.insert(name, group.clone());
            }
        }
    }
    for name in names {
        if name != "default" || !groups.contains_key("default") {
            let default = groups.entry("default".to_owned()).or_default();
            default.targets.push(name.clone());
        }
    }
    if let Some(default) = groups.get_mut("default") {
        each_once(&mut default.targets);
        default.targets.sort();
    }
    let first: Vec<String> = targets.keys().cloned().collect();
    for name in first {
        link(config, &name, &mut targets, overrides, &mut Vec::new())?;
    }
    for target in targets.values_mut() {
        target.context = target.context.take().map(shortest);
    }
    let place = |name: &String| Some((name.clone(), config.place(name)?.to_string()));
    let places = targets.keys().filter_map(place).collect();
    Ok(Baked {
        groups,
        targets,
        places,
    })
}

/// A local context in its shortest form.
fn shortest(context: String) -> String {
    if context.starts_with(path::COMMAND) || path::is_remote(&context) {
        return context;
    }
    path::clean(&context)
}

/// A target with what it inherits, what was set for it, and the usual context and Dockerfile.
fn resolve(config: &Config, name: &str, overrides: &OverridesByName) -> Result<Target> {
    let mut target = inherit(config, name, &mut BTreeMap::new(), overrides, 0)?.unwrap_or_default();
    target.inherits.clear();
    target.context.get_or_insert_with(|| ".".to_owned());
    if target.dockerfile.as_deref().is_none_or(str::is_empty) {
        target.dockerfile = Some("Dockerfile".to_owned());
    }
    Ok(target)
}

/// A target and what it inherits; `None` for one that is being looked at, as in a circle.
fn inherit(
    config: &Config,
    name: &str,
    known: &mut BTreeMap<String, Option<Target>>,
    overrides: &OverridesByName,
    depth: usize,
) -> Result<Option<Target>> {
    /// Most targets that inherit from one another.
    const DEEPEST: usize = 1000;
    if let Some(target) = known.get(name) {
        return Ok(target.clone());
    }
    if depth > DEEPEST {
        return Err(BakeError::new(format!(
            "more than {DEEPEST} targets inherit from one another"
        )));
    }
    known.insert(name.to_owned(), None);
    let Some(own) = config.target(name) else {
        let all = config.targets.iter().map(|(name, _)| name.as_str());
        return Err(BakeError::new(format!("failed to find target {name}")).suggesting(name, all));
    };
    let mut target = Target::default();
    for parent in &own.inherits {
        if config.target(parent).is_none() {
            return Err(config.missing(parent, name, "which is among the inherits"));
        }
        if let Some(parent) = inherit(config, parent, known, overrides, depth + 1)? {
            target.merge(parent);
        }
    }
    target.merge(own.clone());
    if let Some(overrides) = overrides.get(name) {
        overrides::apply(&mut target, overrides)?;
        overrides::apply(target.set.get_or_insert_default(), overrides)?;
    }
    target.normalize();
    known.insert(name.to_owned(), Some(target.clone()));
    Ok(Some(target))
}

/// Adds the targets that the contexts of a target name.
fn link(
    config: &Config,
    name: &str,
    targets: &mut BTreeMap<String, Target>,
    overrides: &OverridesByName,
    way: &mut Vec<String>,
) -> Result<()> {
    way.push(name.to_owned());
    let linked: Vec<String> = targets
        .get(name)
        .into_iter()
        .flat_map(|target| target.contexts.values())
        .filter_map(|context| context.strip_prefix("target:"))
        .map(String::from)
        .collect();
    for other in linked {
        if other == name {
            return Err(BakeError::new(format!(
                "target {other} cannot link to itself"
            )));
        }
        if way.contains(&other) {
            return Err(BakeError::new(format!(
                "infinite loop from {name} to {other}"
            )));
        }
        if config.target(&other).is_none() {
            return Err(config.missing(&other, name, "which is among the contexts"));
        }
        if !targets.contains_key(&other) {
            let mut target = resolve(config, &other, overrides)?;
            target.linked = true;
            target.outputs = Some(vec![Output {
                kind: "cacheonly".to_owned(),
                attributes: BTreeMap::new(),
                destination: None,
            }]);
            targets.insert(other.clone(), target);
        }
        link(config, &other, targets, overrides, way)?;
        check_platforms(name, &other, targets)?;
    }
    way.pop();
    Ok(())
}

/// A target for several platforms needs its contexts for all of them, and needs what they may do.
fn check_platforms(name: &str, other: &str, targets: &mut BTreeMap<String, Target>) -> Result<()> {
    let Some(linked) = targets.get(other).cloned() else {
        return Ok(());
    };
    let Some(target) = targets.get_mut(name) else {
        return Ok(());
    };
    for entitlement in linked.entitlements.unwrap_or_default() {
        let own = target.entitlements.get_or_insert_default();
        if !own.contains(&entitlement) {
            own.push(entitlement);
        }
    }
    let (wanted, there) = (
        target.platforms.clone().unwrap_or_default(),
        linked.platforms.unwrap_or_default(),
    );
    if wanted.len() > 1 && there.len() > 1 && !wanted.iter().all(|one| there.contains(one)) {
        return Err(BakeError::new(format!(
            "target {other} can't be used by {name} because its platforms [{}] are not a subset of [{}]",
            wanted.join(" "),
            there.join(" ")
        )));
    }
    Ok(())
}
