//! Variables in `FROM`.

use std::collections::BTreeSet;
use std::str::FromStr;

use gantry_model::{Platform, Reference};

use super::{MOST_WARNINGS, Rule, Surroundings, fixes};
use crate::argument::{PLATFORM_ARGUMENTS, Scope};
use crate::ast::{Dockerfile, Escape, InstructionKind, Stage, Word};
use crate::diagnostic::Diagnostic;
use crate::expand::{ExpandedWord, expand_declaration, expand_word};
use crate::source::SourceFile;
use crate::suggest::nearest;

pub(super) fn check(
    file: &Dockerfile,
    source: &SourceFile,
    surroundings: &Surroundings<'_>,
    warnings: &mut Vec<Diagnostic>,
) {
    let escape = file.directives.escape;
    let scope = global_scope(file, surroundings.arguments);
    let builder: Vec<(String, String)> = surroundings
        .arguments
        .iter()
        .filter(|(name, _)| is_platform(name))
        .cloned()
        .collect();
    let defaults = global_scope(file, &builder);
    for (index, stage) in file.stages.iter().enumerate() {
        if warnings.len() >= MOST_WARNINGS {
            return;
        }
        let base = undeclared(stage, &stage.base, &scope, escape, warnings);
        if let Some(base) = base.filter(|_| surroundings.needs(index)) {
            other_platform(index, stage, &base.word.value, surroundings, warnings);
        }
        default_base(stage, &defaults, escape, warnings);
        if let Some(platform) = &stage.platform
            && let Some(expanded) = undeclared(stage, platform, &scope, escape, warnings)
        {
            check_platform(stage, platform, &expanded, source, warnings);
        }
    }
}

/// An image of the name is there, but for another platform.
fn other_platform(
    index: usize,
    stage: &Stage,
    base: &str,
    surroundings: &Surroundings<'_>,
    warnings: &mut Vec<Diagnostic>,
) {
    if let Some(other) = (surroundings.other_platform)(index, base) {
        let message = format!(
            "Base image {base} was pulled with platform \"{}\", expected \"{}\" for current build",
            other.actual, other.expected
        );
        warnings.push(Rule::InvalidBaseImagePlatform.at(message, stage.base.span));
    }
}

fn is_platform(name: &str) -> bool {
    PLATFORM_ARGUMENTS.contains(&name)
}

/// What `FROM` sees: the arguments above the first one, each with its value or its default.
pub fn global_scope(file: &Dockerfile, arguments: &[(String, String)]) -> Scope {
    let mut scope = Scope::default();
    for (name, value) in arguments.iter().filter(|(name, _)| is_platform(name)) {
        scope.declare_argument(name, Some(value.clone()));
    }
    let declarations = file
        .meta_args
        .iter()
        .filter_map(|instruction| match &instruction.kind {
            InstructionKind::Arg(declarations) => Some(declarations),
            _ => None,
        });
    for declaration in declarations.flatten() {
        let name = &declaration.name.value;
        let given = arguments
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone());
        let value = given.or_else(|| {
            let (expanded, _) =
                expand_declaration(declaration, &scope, file.directives.escape).ok()?;
            expanded.default.map(|default| default.value)
        });
        scope.declare_argument(name, value);
    }
    scope
}

/// Variables of `FROM` that no `ARG` above declares.
fn undeclared(
    stage: &Stage,
    word: &Word,
    scope: &Scope,
    escape: Escape,
    warnings: &mut Vec<Diagnostic>,
) -> Option<ExpandedWord> {
    let expanded = expand_word(word, scope, escape).ok()?;
    let known: BTreeSet<&str> = scope
        .arguments()
        .map(|(name, _)| name)
        .chain(PLATFORM_ARGUMENTS)
        .collect();
    for name in expanded
        .unset
        .iter()
        .filter(|name| !known.contains(name.as_str()))
    {
        let mut message = format!("FROM argument '{name}' is not declared");
        if let Some(near) = nearest(name, known.iter().copied()) {
            message.push_str(&format!(" (did you mean {near}?)"));
        }
        let span = if word.span.is_empty() {
            stage.span
        } else {
            word.span
        };
        warnings.push(Rule::UndefinedArgInFrom.at(message, span));
    }
    Some(expanded)
}

/// The base must be one even where no argument is given.
fn default_base(stage: &Stage, defaults: &Scope, escape: Escape, warnings: &mut Vec<Diagnostic>) {
    let Ok(expanded) = expand_word(&stage.base, defaults, escape) else {
        return;
    };
    let base = &expanded.word.value;
    // The name of a stage may have capitals, which an image may not.
    let valid =
        Reference::from_str(base).is_ok() || Reference::from_str(&base.to_lowercase()).is_ok();
    if !valid {
        let message = format!(
            "Default value for ARG {} results in empty or invalid base image name",
            stage.base.value
        );
        warnings.push(Rule::InvalidDefaultArgInFrom.at(message, stage.base.span));
    }
}

fn check_platform(
    stage: &Stage,
    written: &Word,
    expanded: &ExpandedWord,
    source: &SourceFile,
    warnings: &mut Vec<Diagnostic>,
) {
    let is_plain_target = matches!(written.as_str(), "$TARGETPLATFORM" | "${TARGETPLATFORM}");
    if is_plain_target {
        let message = format!(
            "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
            written.value
        );
        let fix = fixes::without_flag(source, "platform", written.span);
        warnings.push(
            Rule::RedundantTargetPlatform
                .at(message, written.span)
                .with_fix(fix),
        );
        return;
    }
    if written.value.contains('$') {
        return;
    }
    let Ok(platform) = Platform::from_str(&expanded.word.value) else {
        return;
    };
    let name = stage.normal_name().unwrap_or_default();
    // A stage that is named for its platform means it.
    if name.contains(&platform.os) || name.contains(&platform.architecture) {
        return;
    }
    let message = format!(
        "FROM --platform flag should not use constant value \"{}\"",
        expanded.word.value
    );
    warnings.push(Rule::FromPlatformFlagConstDisallowed.at(message, written.span));
}
