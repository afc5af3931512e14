//! `--filter name=value` of the listing commands.

use gantry_engine::images::ImageFilters;
use jiff::Timestamp;

use super::value::FlagError;
use crate::failure::Failure;

/// The filters of one command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads `flags`; a name that is not among `known` is refused.
    pub(crate) fn parse(flags: &[String], known: &[&str]) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for flag in flags.iter().filter(|f| !f.is_empty()) {
            let (name, value) = parts(flag)?;
            let name = name.trim().to_lowercase();
            if !known.contains(&name.as_str()) {
                return Err(Failure::invalid(format!(
                    "invalid filter '{name}', the filters are: {}",
                    known.join(", ")
                )));
            }
            all.push((name, value.trim().to_owned()));
        }
        Ok(Self(all))
    }

    /// The values given for `name`.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether `name` is not filtered by, or one of its values fits.
    pub(crate) fn any(&self, name: &str, fits: impl Fn(&str) -> bool) -> bool {
        let mut values = self.values(name).peekable();
        values.peek().is_none() || values.any(fits)
    }

    /// Whether every value of `name` fits (Docker's rule for labels).
    pub(crate) fn all(&self, name: &str, fits: impl Fn(&str) -> bool) -> bool {
        self.values(name).all(fits)
    }

    /// The truth given for `name`, if one was.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.values(name).last() else {
            return Ok(None);
        };
        match value {
            "1" | "true" | "True" | "TRUE" | "t" | "T" => Ok(Some(true)),
            "0" | "false" | "False" | "FALSE" | "f" | "F" => Ok(Some(false)),
            _ => Err(Failure::invalid(format!(
                "invalid filter '{name}={value}', expected true or false"
            ))),
        }
    }
}

/// Name and value of a filter.
fn parts(flag: &str) -> Result<(&str, &str), FlagError> {
    flag.split_once('=').ok_or_else(|| FlagError {
        flag: "-f, --filter",
        value: flag.to_owned(),
        reason: "bad format of filter (expected name=value)".to_owned(),
        late: false,
    })
}

/// The filters of images, which the engine knows.
pub(crate) fn of_images(flags: &[String], now: Timestamp) -> Result<ImageFilters, Failure> {
    let flags: Vec<String> = flags.iter().filter(|f| !f.is_empty()).cloned().collect();
    for flag in &flags {
        parts(flag)?;
    }
    Ok(ImageFilters::parse(&flags, now)?)
}

/// Whether `labels` have what a filter `name` or `name=value` asks for.
pub(crate) fn has_label(labels: &std::collections::BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|v| v == value),
        None => labels.contains_key(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_parse() {
        let flags = [
            "status=running".to_owned(),
            "status=exited".to_owned(),
            "name=web".to_owned(),
        ];
        let filters = Filters::parse(&flags, &["status", "name"]).unwrap();
        assert!(filters.any("status", |v| v == "exited"));
        assert!(!filters.any("name", |v| v == "db"));
        assert!(filters.any("ancestor", |_| false));
        assert!(Filters::parse(&["foo=bar".into()], &["status"]).is_err());
        assert!(Filters::parse(&["foo".into()], &["foo"]).is_err());
    }
}
