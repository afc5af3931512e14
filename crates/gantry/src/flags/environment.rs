//! Environment and labels as flags and files give them (Docker's `opts` rules).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;

use gantry_model::{Fault, FaultKind};

use crate::exit;
use crate::failure::Failure;

/// Largest file that is read.
const MAX_FILE: u64 = 16 << 20;

/// What says what `--platform` is where it is not given, as with Docker.
pub(crate) const DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";

/// The platform that the environment asks for.
pub(crate) fn default_platform() -> Option<String> {
    let platform = std::env::var(DEFAULT_PLATFORM).ok();
    platform.filter(|platform| !platform.is_empty())
}

/// A file of variables or labels that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is too large, or no text.
    #[error("{path} is no text of at most {MAX_FILE} bytes")]
    Text {
        /// The file.
        path: String,
    },
    /// A flag is no `NAME=value`.
    #[error(
        "invalid argument {flag:?} for \"-e, --env\" flag: invalid environment variable: {flag}"
    )]
    Flag {
        /// What was given.
        flag: String,
    },
    /// A label has no name.
    #[error(
        "invalid argument {flag:?} for \"-l, --label\" flag: invalid label '{flag}': empty name"
    )]
    Label {
        /// What was given.
        flag: String,
    },
    /// A line is no `NAME=value`.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// The file.
        path: String,
        /// The line, counted from one.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Fault for FileError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }
}

/// As a failure: that of a flag has the code of flags.
pub(crate) fn failure(error: FileError) -> Failure {
    let flag = matches!(error, FileError::Flag { .. } | FileError::Label { .. });
    let failure = Failure::from(error);
    match flag {
        true => failure.with_code(exit::BAD_FLAG),
        false => failure,
    }
}

/// The caller's environment, as a function so that tests have their own.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub(crate) fn caller(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The whole environment of this process, as far as it is text.
pub(crate) fn all() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// The variables of files, then those of flags. A name without a value takes the caller's; where
/// the caller has none, a file's line is left out and a flag's stays bare, which removes the
/// image's variable.
pub(crate) fn variables(
    files: &[String],
    flags: &[String],
    lookup: Lookup<'_>,
) -> Result<Vec<String>, FileError> {
    let mut all = Vec::new();
    for path in files {
        all.extend(parse(path, &read(path)?, Some(lookup))?);
    }
    if let Some(flag) = nameless(flags) {
        return Err(FileError::Flag { flag: flag.clone() });
    }
    for flag in flags {
        all.push(match flag.contains('=') {
            true => flag.clone(),
            false => lookup(flag).map_or_else(|| flag.clone(), |value| format!("{flag}={value}")),
        });
    }
    Ok(all)
}

/// The first that has a value but no name.
fn nameless(flags: &[String]) -> Option<&String> {
    flags
        .iter()
        .find(|flag| flag.is_empty() || flag.starts_with('='))
}

/// The labels of files, then those of flags, as `name=value` each.
pub(crate) fn labels(
    files: &[String],
    flags: &[String],
) -> Result<BTreeMap<String, String>, FileError> {
    let mut lines = Vec::new();
    for path in files {
        lines.extend(parse(path, &read(path)?, None)?);
    }
    if let Some(flag) = nameless(flags) {
        return Err(FileError::Label { flag: flag.clone() });
    }
    lines.extend(flags.iter().cloned());
    Ok(lines
        .into_iter()
        .map(|line| match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (line, String::new()),
        })
        .collect())
}

fn read(path: &str) -> Result<String, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let text = String::from_utf8(bytes)
        .ok()
        .filter(|t| t.len() as u64 <= MAX_FILE);
    text.ok_or_else(|| FileError::Text {
        path: path.to_owned(),
    })
}

fn parse(path: &str, text: &str, lookup: Option<Lookup<'_>>) -> Result<Vec<String>, FileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |reason| FileError::Line {
            path: path.to_owned(),
            line: number + 1,
            reason,
        };
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        if name.is_empty() {
            return Err(wrong(format!("no variable name on line '{line}'")));
        }
        if name.contains([' ', '\t']) {
            return Err(wrong(format!("variable '{name}' contains whitespaces")));
        }
        match (value, lookup) {
            (Some(value), _) => out.push(format!("{name}={value}")),
            (None, Some(lookup)) => out.extend(lookup(name).map(|value| format!("{name}={value}"))),
            (None, None) => out.push(name.to_owned()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".to_owned())
    }

    #[test]
    fn files_follow_dockers_rules() {
        let text =
            "\u{feff}# remark\n\n  A=1 # not a remark\nB=\"quoted\"\nHOME\nUNSET\nC==x\nD=\n";
        assert_eq!(
            parse("f", text, Some(&lookup)).unwrap(),
            [
                "A=1 # not a remark",
                "B=\"quoted\"",
                "HOME=/root",
                "C==x",
                "D="
            ]
        );
        assert_eq!(parse("f", "HOME\n", None).unwrap(), ["HOME"]);
        for (text, want) in [
            ("=x", "f:1: no variable name on line '=x'"),
            ("\nA B=1", "f:2: variable 'A B' contains whitespaces"),
        ] {
            assert_eq!(
                parse("f", text, Some(&lookup)).unwrap_err().to_string(),
                want
            );
        }
    }

    #[test]
    fn flags_take_the_callers_values() {
        let flags = [
            "A=1".to_owned(),
            "HOME".to_owned(),
            "UNSET".to_owned(),
            "E=".to_owned(),
        ];
        assert_eq!(
            variables(&[], &flags, &lookup).unwrap(),
            ["A=1", "HOME=/root", "UNSET", "E="]
        );
    }
}
