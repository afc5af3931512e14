//! Labels and variables of a container that go with every line of its log.

use std::collections::BTreeMap;

use gantry_model::ContainerRecord;
use regex::Regex;

use super::LoggingError;

/// The expressions among the options.
#[derive(Debug)]
pub(super) struct Patterns {
    labels: Option<Regex>,
    env: Option<Regex>,
}

/// Reads the expressions.
pub(super) fn patterns(options: &BTreeMap<String, String>) -> Result<Patterns, LoggingError> {
    let pattern = |name: &str| -> Result<Option<Regex>, LoggingError> {
        let Some(text) = options.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        Regex::new(text).map(Some).map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            LoggingError::Value {
                reason: format!("error parsing regexp {text:?}: {}", last.trim()),
            }
        })
    };
    Ok(Patterns {
        labels: pattern("labels-regex")?,
        env: pattern("env-regex")?,
    })
}

/// The attributes that a container's options ask for.
pub(super) fn of(record: &ContainerRecord) -> Result<BTreeMap<String, String>, LoggingError> {
    let options = &record.spec.log.options;
    let patterns = patterns(options)?;
    let mut found = BTreeMap::new();
    let names = |option: &str| -> Vec<String> {
        let list = options.get(option).map(String::as_str).unwrap_or_default();
        list.split(',').map(str::to_owned).collect()
    };
    let wanted = names("labels");
    for (name, value) in &record.process.labels {
        let matches = patterns.labels.as_ref().is_some_and(|p| p.is_match(name));
        if matches || wanted.contains(name) {
            found.insert(name.clone(), value.clone());
        }
    }
    let wanted = names("env");
    for variable in &record.process.env {
        let Some((name, value)) = variable.split_once('=') else {
            continue;
        };
        let matches = patterns.env.as_ref().is_some_and(|p| p.is_match(name));
        if matches || wanted.iter().any(|wanted| wanted == name) {
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(found)
}
