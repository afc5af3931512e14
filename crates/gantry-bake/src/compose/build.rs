//! The `build` section of a service.

use std::collections::BTreeMap;

use super::value;
use super::yaml::{Node, NodeKind};
use crate::error::{BakeError, Result};
use crate::path;
use crate::surroundings::Surroundings;
use crate::target::{Attest, CacheEntry, Output, Secret, Ssh, Target, Texts, parse_entries};

/// Members of `build` (Compose specification, "Build").
const KNOWN: [&str; 25] = [
    "additional_contexts",
    "args",
    "cache_from",
    "cache_to",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "entitlements",
    "extra_hosts",
    "isolation",
    "labels",
    "network",
    "no_cache",
    "platforms",
    "privileged",
    "provenance",
    "pull",
    "sbom",
    "secrets",
    "shm_size",
    "ssh",
    "tags",
    "target",
    "ulimits",
    "x-bake",
];

/// Members of `x-bake`.
const EXTENSION: [&str; 11] = [
    "tags",
    "cache-from",
    "cache-to",
    "secret",
    "ssh",
    "platforms",
    "output",
    "pull",
    "no-cache",
    "no-cache-filter",
    "contexts",
];

/// The target of a service that is built.
pub(super) fn target(
    service: &Node,
    project: &Node,
    surroundings: &Surroundings,
) -> Result<Target> {
    let mut target = Target::default();
    let Some(build) = service.member("build") else {
        return Ok(target);
    };
    check(build, &KNOWN, "build")?;
    let member = |name| build.member(name);
    target.context = value::optional(member("context"))?.map(|path| local_path(&path));
    target.dockerfile = value::optional(member("dockerfile"))?;
    target.dockerfile_inline = value::optional(member("dockerfile_inline"))?;
    if let (Some(_), Some(inline)) = (&target.dockerfile, member("dockerfile_inline")) {
        let message = "dockerfile and dockerfile_inline cannot both be there";
        return Err(inline.fault(message));
    }
    target.args = arguments(service, member("args"), surroundings)?;
    target.labels = map(member("labels"))?
        .into_iter()
        .map(|(name, text)| (name, Some(text.unwrap_or_default())))
        .collect();
    target.extra_hosts = map(member("extra_hosts"))?
        .into_iter()
        .map(|(name, address)| (name, address.map(without_brackets)))
        .collect();
    for (name, context) in map(member("additional_contexts"))? {
        let context = context.unwrap_or_default();
        let context = match context.strip_prefix("service:") {
            Some(service) => format!("target:{}", service.replace('.', "_")),
            None => local_path(&context),
        };
        target.contexts.insert(name, context);
    }
    target.tags = value::texts(member("tags"), false)?;
    if target.tags.as_ref().is_none_or(Vec::is_empty) {
        target.tags = value::optional(service.member("image"))?.map(|image| vec![image]);
    }
    target.cache_from = entries::<CacheEntry>(member("cache_from"), false)?;
    target.cache_to = entries::<CacheEntry>(member("cache_to"), false)?;
    target.platforms = value::texts(member("platforms"), false)?;
    target.entitlements = value::texts(member("entitlements"), false)?;
    if value::truth(member("privileged"))? == Some(true) {
        let all = target.entitlements.get_or_insert_default();
        all.push("security.insecure".to_owned());
    }
    isolation(member("isolation"))?;
    target.attest = attestations(build)?;
    target.target = value::optional(member("target"))?;
    target.network = value::optional(member("network"))?;
    target.pull = value::truth(member("pull"))?;
    target.no_cache = value::truth(member("no_cache"))?;
    target.shm_size = match member("shm_size").filter(|size| !size.is_null()) {
        Some(size) => Some(value::size(size)?),
        None => None,
    };
    target.ulimits = ulimits(member("ulimits"))?;
    target.ssh = agents(member("ssh"))?;
    target.secrets = secrets(member("secrets"), project)?;
    if let Some(extension) = member("x-bake") {
        extend(&mut target, extension)?;
    }
    Ok(target)
}

/// `[::1]` is written `::1` in `/etc/hosts`.
fn without_brackets(address: String) -> String {
    let inner = address.strip_prefix('[');
    let inner = inner.and_then(|rest| rest.strip_suffix(']'));
    inner.map(str::to_owned).unwrap_or(address)
}

/// Refuses an isolation that Linux does not have.
fn isolation(node: Option<&Node>) -> Result<()> {
    match (value::optional(node)?.as_deref(), node) {
        (None | Some("" | "default"), _) | (_, None) => Ok(()),
        (Some(other), Some(node)) => {
            let message = format!("isolation {other} is not supported: Linux has default alone");
            Err(BakeError::unsupported(message).at(&node.source, node.span))
        }
    }
}

/// `sbom` and `provenance`: whether they are wanted, or what of them is.
fn attestations(build: &Node) -> Result<Option<Vec<Attest>>> {
    let mut all = Vec::new();
    for kind in ["sbom", "provenance"] {
        let Some(node) = build.member(kind).filter(|node| !node.is_null()) else {
            continue;
        };
        let fields = match value::truth(Some(node)) {
            Ok(Some(wanted)) => format!("type={kind},disabled={}", !wanted),
            _ => format!("type={kind},{}", value::text(node)?),
        };
        all.extend(parse_entries::<Attest>(&[fields]).map_err(|reason| node.fault(reason))?);
    }
    Ok((!all.is_empty()).then_some(all))
}

/// Refuses members that are not known.
fn check(node: &Node, known: &[&str], what: &str) -> Result<()> {
    for (name, member) in node.members()? {
        if known.contains(&name.as_str()) || name.starts_with("x-") && what == "build" {
            continue;
        }
        let error = BakeError::new(format!("{what} has no member {name}"));
        let error = error.suggesting(name, known.iter().copied());
        return Err(error.at(&member.source, member.span));
    }
    Ok(())
}

/// A local path in its shortest form; anything else as it is.
fn local_path(path: &str) -> String {
    if path.contains("://") || path::is_remote(path) || path.starts_with("target:") {
        return path.to_owned();
    }
    path::clean(path)
}

/// Texts by name.
fn map(node: Option<&Node>) -> Result<Texts> {
    let mut texts = Texts::new();
    let Some(node) = node else {
        return Ok(texts);
    };
    for (name, member) in node.members()? {
        texts.insert(name.clone(), value::optional(Some(member))?);
    }
    Ok(texts)
}

/// Build arguments; those without a value take that of the service's environment, or the caller's.
fn arguments(service: &Node, node: Option<&Node>, surroundings: &Surroundings) -> Result<Texts> {
    let environment = map(service.member("environment"))?;
    let value = |name: &str, text: Option<String>| {
        text.or_else(|| environment.get(name).cloned().flatten())
            .or_else(|| surroundings.lookup_for_compose(name).map(String::from))
    };
    Ok(map(node)?
        .into_iter()
        .map(|(name, text)| (name.clone(), value(&name, text)))
        .filter(|(_, text)| text.is_some())
        .collect())
}

fn ulimits(node: Option<&Node>) -> Result<Option<Vec<String>>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Ok(None);
    };
    let mut limits = Vec::new();
    for (name, limit) in node.members()? {
        let both = match &limit.kind {
            NodeKind::Mapping(_) => {
                let part = |name: &str| match limit.member(name) {
                    Some(part) => value::text(part),
                    None => Err(limit.fault(format!("a limit needs {name}"))),
                };
                format!("{}:{}", part("soft")?, part("hard")?)
            }
            _ => {
                let limit = value::text(limit)?;
                format!("{limit}:{limit}")
            }
        };
        limits.push(format!("{name}={both}"));
    }
    limits.sort();
    Ok(Some(limits))
}

/// `default`, `ID=PATH`, or a mapping of both.
fn agents(node: Option<&Node>) -> Result<Option<Vec<Ssh>>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Ok(None);
    };
    if let NodeKind::Mapping(_) = node.kind {
        let agent = |(id, path): (String, Option<String>)| Ssh {
            id,
            paths: path.into_iter().collect(),
        };
        return Ok(Some(map(Some(node))?.into_iter().map(agent).collect()));
    }
    let mut agents: Vec<Ssh> = entries(Some(node), false)?.unwrap_or_default();
    agents.sort_by(|left, right| left.id.cmp(&right.id));
    Ok(Some(agents))
}

/// Names of secrets of the project, or mappings with a `source`.
fn secrets(node: Option<&Node>, project: &Node) -> Result<Option<Vec<Secret>>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Ok(None);
    };
    let NodeKind::Sequence(items) = &node.kind else {
        return Err(node.fault("a list is expected here"));
    };
    let mut secrets = Vec::new();
    for item in items {
        let id = match item.member("source") {
            Some(source) => value::text(source)?,
            None => value::text(item)?,
        };
        let Some(known) = project.member("secrets").and_then(|all| all.member(&id)) else {
            return Err(item.fault(format!("there is no secret {id} in the project")));
        };
        if value::truth(known.member("external"))? == Some(true) {
            let error = BakeError::unsupported(format!("external secret {id} is not supported"));
            return Err(error.at(&known.source, known.span));
        }
        secrets.push(Secret {
            id,
            file: value::optional(known.member("file"))?.map(|path| local_path(&path)),
            variable: value::optional(known.member("environment"))?,
        });
    }
    Ok(Some(secrets))
}

fn entries<T: crate::target::Entry>(node: Option<&Node>, words: bool) -> Result<Option<Vec<T>>> {
    let (Some(node), Some(texts)) = (node, value::texts(node, words)?) else {
        return Ok(None);
    };
    parse_entries(&texts)
        .map(Some)
        .map_err(|reason| node.fault(reason))
}

/// `x-bake`: what a `build` section has no words for.
fn extend(target: &mut Target, node: &Node) -> Result<()> {
    check(node, &EXTENSION, "x-bake")?;
    let member = |name| node.member(name);
    let more = Target {
        cache_from: entries(member("cache-from"), true)?,
        secrets: entries(member("secret"), true)?,
        ssh: entries(member("ssh"), true)?,
        no_cache_filter: value::texts(member("no-cache-filter"), true)?,
        outputs: entries::<Output>(member("output"), true)?,
        pull: value::truth(member("pull"))?,
        no_cache: value::truth(member("no-cache"))?,
        ..Target::default()
    };
    target.merge(more);
    // These are continued here, though not from target to target.
    for (own, more) in [
        (&mut target.tags, member("tags")),
        (&mut target.platforms, member("platforms")),
    ] {
        if let Some(more) = value::texts(more, true)? {
            own.get_or_insert_default().extend(more);
        }
    }
    if let Some(more) = entries::<CacheEntry>(member("cache-to"), true)? {
        target.cache_to.get_or_insert_default().extend(more);
    }
    let contexts: BTreeMap<String, Option<String>> = map(member("contexts"))?;
    for (name, context) in contexts {
        target
            .contexts
            .entry(name)
            .or_insert_with(|| context.unwrap_or_default());
    }
    Ok(())
}
