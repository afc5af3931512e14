//! `--set TARGETS.KEY=VALUE`.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::outputs::{with_load, with_push};
use super::{Target, append, parse_entries};
use crate::error::{BakeError, Result};
use crate::resolver::variables::truth;
use crate::surroundings::Surroundings;

/// What is set for one key of a target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Override {
    /// All values; the last one counts where there can be only one.
    values: Vec<String>,
    /// Whether lists are continued (`+=`).
    adds: bool,
}

/// Overrides by key, as `args.NAME` or `tags`.
pub(crate) type Overrides = BTreeMap<String, Override>;

/// A `--set` taken apart: the pattern of targets, the key and what is set.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) pattern: String,
    key: String,
    value: Option<String>,
    adds: bool,
}

/// Keys whose values add up when they are set several times.
const LISTS: [&str; 12] = [
    "output",
    "cache-to",
    "cache-from",
    "tags",
    "platform",
    "secrets",
    "ssh",
    "attest",
    "entitlements",
    "annotations",
    "no-cache-filter",
    "ulimits",
];

/// Keys with a name behind a point.
const NAMED: [&str; 4] = ["args", "contexts", "labels", "extra-hosts"];

/// Takes a `--set` apart.
pub(crate) fn parse(text: &str, surroundings: &Surroundings) -> Result<Option<Setting>> {
    let (left, value) = match text.split_once('=') {
        Some((left, value)) => (left, Some(value.to_owned())),
        None => (text, None),
    };
    let adds = left.ends_with('+');
    let path = left.strip_suffix('+').unwrap_or(left);
    let Some((pattern, key)) = path.split_once('.') else {
        let message = format!("invalid override key {path}, expected target.name");
        return Err(BakeError::new(message));
    };
    let (word, name) = key.split_once('.').unwrap_or((key, ""));
    if NAMED.contains(&word) && name.is_empty() {
        return Err(BakeError::new(format!(
            "invalid key {left}, {word} requires name"
        )));
    }
    let value = match (value, word) {
        // An argument without a value takes the caller's.
        (None, "args") => match surroundings.lookup(name) {
            Some(value) => Some(value.to_owned()),
            None => return Ok(None),
        },
        (None, _) => {
            let message = format!("invalid override {text}, expected target.name=value");
            return Err(BakeError::new(message));
        }
        (value, _) => value,
    };
    Ok(Some(Setting {
        pattern: pattern.to_owned(),
        key: key.to_owned(),
        value,
        adds,
    }))
}

impl Setting {
    /// Notes it among the overrides of a target.
    pub(crate) fn note(&self, overrides: &mut Overrides) {
        let known = overrides.entry(self.key.clone()).or_default();
        if !LISTS.contains(&self.key.as_str()) {
            known.values.clear();
        }
        known.adds = self.adds;
        known.values.extend(self.value.clone());
    }
}

/// Applies overrides to a target.
pub(crate) fn apply(target: &mut Target, overrides: &Overrides) -> Result<()> {
    for (key, change) in overrides {
        set(target, key, change)?;
    }
    Ok(())
}

fn set(target: &mut Target, key: &str, change: &Override) -> Result<()> {
    let value = change.values.last().cloned().unwrap_or_default();
    let (word, name) = key.split_once('.').unwrap_or((key, ""));
    let name = name.to_owned();
    match word {
        "args" => drop(target.args.insert(name, Some(value))),
        "contexts" => drop(target.contexts.insert(name, value)),
        "labels" => drop(target.labels.insert(name, Some(value))),
        "extra-hosts" => drop(target.extra_hosts.insert(name, Some(value))),
        "context" => target.context = Some(value),
        "dockerfile" => target.dockerfile = Some(value),
        "target" => target.target = Some(value),
        "call" => target.call = Some(value),
        "shm-size" => target.shm_size = Some(value),
        "network" => target.network = Some(value),
        "no-cache" => target.no_cache = Some(bool_of(word, &value)?),
        "pull" => target.pull = Some(bool_of(word, &value)?),
        "push" => {
            let outputs = target.outputs.take().unwrap_or_default();
            target.outputs = Some(with_push(outputs, bool_of(word, &value)?));
        }
        "load" => {
            let outputs = target.outputs.take().unwrap_or_default();
            target.outputs = Some(with_load(outputs, bool_of(word, &value)?));
        }
        _ => return set_list(target, word, change),
    }
    Ok(())
}

fn set_list(target: &mut Target, word: &str, change: &Override) -> Result<()> {
    let texts = || Some(change.values.clone());
    match word {
        "tags" => lists(&mut target.tags, texts(), change.adds),
        "platform" => lists(&mut target.platforms, texts(), change.adds),
        "no-cache-filter" => lists(&mut target.no_cache_filter, texts(), change.adds),
        "ulimits" => lists(&mut target.ulimits, texts(), change.adds),
        "cache-from" => lists(&mut target.cache_from, entries(word, change)?, change.adds),
        "cache-to" => lists(&mut target.cache_to, entries(word, change)?, change.adds),
        "secrets" => lists(&mut target.secrets, entries(word, change)?, change.adds),
        "ssh" => lists(&mut target.ssh, entries(word, change)?, change.adds),
        "output" => lists(&mut target.outputs, entries(word, change)?, change.adds),
        // These are continued in any case.
        "entitlements" => append(&mut target.entitlements, texts()),
        "annotations" => append(&mut target.annotations, texts()),
        "attest" => append(&mut target.attest, entries(word, change)?),
        _ => {
            let singles = [
                "context",
                "dockerfile",
                "target",
                "call",
                "shm-size",
                "network",
            ];
            let known = LISTS.into_iter().chain(NAMED).chain(singles);
            return Err(BakeError::new(format!("unknown key: {word}")).suggesting(word, known));
        }
    }
    Ok(())
}

fn lists<T>(old: &mut Option<Vec<T>>, new: Option<Vec<T>>, adds: bool) {
    if adds {
        append(old, new);
    } else {
        *old = new;
    }
}

fn entries<T: Entry>(word: &str, change: &Override) -> Result<Option<Vec<T>>> {
    let wrong = |reason| BakeError::new(format!("invalid value for {word}: {reason}"));
    parse_entries(&change.values).map(Some).map_err(wrong)
}

fn bool_of(word: &str, value: &str) -> Result<bool> {
    let wrong = || BakeError::new(format!("invalid value {value} for boolean key {word}"));
    truth(value).ok_or_else(wrong)
}
