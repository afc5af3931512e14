//! Which rules a build looks for, and what happens when one of them is broken.

use std::collections::BTreeMap;

use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::lint::Settings;
use gantry_dockerfile::{Diagnostic, Dockerfile, SourceFile};

use crate::error::BuildError;

/// The argument that takes the place of `# check=`.
pub(crate) const ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// What the client says, else what the file says.
pub(crate) fn settings(
    file: &Dockerfile,
    source: &SourceFile,
    build_args: &BTreeMap<String, String>,
) -> Result<Settings, BuildError> {
    let given = build_args.get(ARGUMENT).filter(|value| !value.is_empty());
    match (given, &file.directives.check) {
        (Some(given), _) => Settings::parse(given).map_err(|error| BuildError::Check {
            argument: ARGUMENT,
            source: error,
        }),
        (None, Some(check)) => Settings::parse(&check.value)
            .map_err(|error| BuildError::at(source, check.span, error.to_string())),
        (None, None) => Ok(Settings::default()),
    }
}

/// The failure of a build whose file wants its warnings to be errors.
pub(crate) fn violation(source: &SourceFile, complaints: &[Diagnostic]) -> BuildError {
    BuildError::violation(source, complaints, violated(complaints))
}

/// `lint violation found for rules: FromAsCasing, StageNameCasing`
pub(crate) fn violated(complaints: &[Diagnostic]) -> String {
    let mut names: Vec<&str> = complaints
        .iter()
        .filter_map(|complaint| match complaint.code {
            Code::Lint(rule) => Some(rule.name()),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    format!("lint violation found for rules: {}", names.join(", "))
}
