//! Targets as `--print` shows them: the JSON of the reference implementation, which is a Bake file
//! again. So `${` in texts that are templates there is escaped.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::decode::Group;
use super::{Attest, CacheEntry, Output, Secret, Ssh, Target, Texts};
use crate::path;

/// A text that is read as a template.
fn escaped(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

/// A context without the name of the folder of the command.
fn context(text: &str) -> String {
    let own = text.strip_prefix(path::COMMAND);
    own.map_or_else(|| text.to_owned(), path::clean)
}

fn escaped_texts(texts: &Texts) -> BTreeMap<&str, Option<String>> {
    texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_deref().map(escaped)))
        .collect()
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.description.is_empty() {
            map.serialize_entry("description", &self.description)?;
        }
        let annotations: Option<Vec<String>> = self
            .annotations
            .as_ref()
            .map(|all| all.iter().map(|text| escaped(text)).collect());
        list(&mut map, "annotations", &annotations)?;
        list(&mut map, "attest", &self.attest)?;
        one(&mut map, "context", &self.context.as_deref().map(context))?;
        if !self.contexts.is_empty() {
            map.serialize_entry("contexts", &self.contexts)?;
        }
        one(&mut map, "dockerfile", &self.dockerfile)?;
        one(
            &mut map,
            "dockerfile-inline",
            &self.dockerfile_inline.as_deref().map(escaped),
        )?;
        texts(&mut map, "args", &self.args)?;
        texts(&mut map, "labels", &self.labels)?;
        list(&mut map, "tags", &self.tags)?;
        list(&mut map, "cache-from", &self.cache_from)?;
        list(&mut map, "cache-to", &self.cache_to)?;
        one(&mut map, "target", &self.target)?;
        list(&mut map, "secret", &self.secrets)?;
        list(&mut map, "ssh", &self.ssh)?;
        list(&mut map, "platforms", &self.platforms)?;
        list(&mut map, "output", &self.outputs)?;
        one(&mut map, "pull", &self.pull)?;
        one(&mut map, "no-cache", &self.no_cache)?;
        one(&mut map, "network", &self.network)?;
        list(&mut map, "no-cache-filter", &self.no_cache_filter)?;
        one(&mut map, "shm-size", &self.shm_size)?;
        list(&mut map, "ulimits", &self.ulimits)?;
        one(&mut map, "call", &self.call)?;
        list(&mut map, "entitlements", &self.entitlements)?;
        texts(&mut map, "extra-hosts", &self.extra_hosts)?;
        map.end()
    }
}

fn one<M: SerializeMap, T: Serialize>(
    map: &mut M,
    name: &str,
    value: &Option<T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(name, value),
        None => Ok(()),
    }
}

fn list<M: SerializeMap, T: Serialize>(
    map: &mut M,
    name: &str,
    value: &Option<Vec<T>>,
) -> Result<(), M::Error> {
    match value {
        Some(items) if !items.is_empty() => map.serialize_entry(name, items),
        _ => Ok(()),
    }
}

fn texts<M: SerializeMap>(map: &mut M, name: &str, value: &Texts) -> Result<(), M::Error> {
    if value.is_empty() {
        return Ok(());
    }
    map.serialize_entry(name, &escaped_texts(value))
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.description.is_empty() {
            map.serialize_entry("description", &self.description)?;
        }
        map.serialize_entry("targets", &self.targets)?;
        map.end()
    }
}

/// Attributes with some more names among them, in the order of the names.
fn with<S: Serializer>(
    serializer: S,
    attributes: &BTreeMap<String, String>,
    more: &[(&str, Option<&str>)],
) -> Result<S::Ok, S::Error> {
    let mut all: BTreeMap<&str, &str> = attributes
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    all.extend(
        more.iter()
            .filter_map(|(name, value)| Some((*name, (*value)?))),
    );
    all.serialize(serializer)
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let more = [
            ("type", Some(self.kind.as_str())),
            ("dest", self.destination.as_deref()),
        ];
        with(serializer, &self.attributes, &more)
    }
}

impl Serialize for CacheEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        with(
            serializer,
            &self.attributes,
            &[("type", Some(self.kind.as_str()))],
        )
    }
}

impl Serialize for Attest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all: BTreeMap<&str, serde_json::Value> = self
            .attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().into()))
            .collect();
        all.insert("type", self.kind.as_str().into());
        if self.disabled {
            all.insert("disabled", true.into());
        }
        all.serialize(serializer)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        one(&mut map, "id", &Some(&self.id).filter(|id| !id.is_empty()))?;
        one(&mut map, "src", &self.file)?;
        one(&mut map, "env", &self.variable)?;
        map.end()
    }
}

impl Serialize for Ssh {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        one(&mut map, "id", &Some(&self.id).filter(|id| !id.is_empty()))?;
        list(&mut map, "paths", &Some(self.paths.clone()))?;
        map.end()
    }
}
