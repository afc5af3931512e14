//! How keywords and names are written.

use std::collections::HashSet;

use super::Rule;
use crate::ast::{Dockerfile, Stage, Word};
use crate::diagnostic::Diagnostic;
use crate::fix::Fix;

pub(super) fn check(file: &Dockerfile, warnings: &mut Vec<Diagnostic>) {
    keywords(file, warnings);
    let mut names = HashSet::new();
    for stage in &file.stages {
        as_keyword(stage, warnings);
        stage_name(stage, &mut names, warnings);
    }
}

fn is_lower(word: &Word) -> bool {
    word.value == word.value.to_lowercase()
}

fn is_upper(word: &Word) -> bool {
    word.value == word.value.to_uppercase()
}

/// Every keyword is written as most of them are.
fn keywords(file: &Dockerfile, warnings: &mut Vec<Diagnostic>) {
    let all: Vec<&Word> = file
        .stages
        .iter()
        .flat_map(|stage| {
            let instructions = stage
                .instructions
                .iter()
                .map(|instruction| &instruction.keyword);
            std::iter::once(&stage.keyword).chain(instructions)
        })
        .collect();
    let lower = all.iter().filter(|word| is_lower(word)).count();
    let upper = all.iter().filter(|word| is_upper(word)).count();
    let majority_is_lower = lower > upper;
    for word in all {
        let (fits, majority, right) = if majority_is_lower {
            (is_lower(word), "lowercase", word.value.to_lowercase())
        } else {
            (is_upper(word), "uppercase", word.value.to_uppercase())
        };
        if !fits {
            let message = format!(
                "Command '{}' should match the case of the command majority ({majority})",
                word.value
            );
            let complaint = Rule::ConsistentInstructionCasing.at(message, word.span);
            warnings.push(complaint.with_fix(Some(Fix::replace(word.span, right))));
        }
    }
}

/// `AS` goes with `FROM`; a mixed `From` sets no example.
fn as_keyword(stage: &Stage, warnings: &mut Vec<Diagnostic>) {
    let Some(word) = &stage.as_keyword else {
        return;
    };
    let fits = (is_lower(&stage.keyword) && is_lower(word))
        || (is_upper(&stage.keyword) && is_upper(word))
        || (!is_lower(&stage.keyword) && !is_upper(&stage.keyword));
    if !fits {
        let message = format!(
            "'{}' and '{}' keywords' casing do not match",
            word.value, stage.keyword.value
        );
        let right = if is_lower(&stage.keyword) {
            word.value.to_lowercase()
        } else {
            word.value.to_uppercase()
        };
        let complaint = Rule::FromAsCasing.at(message, word.span);
        warnings.push(complaint.with_fix(Some(Fix::replace(word.span, right))));
    }
}

fn stage_name(stage: &Stage, seen: &mut HashSet<String>, warnings: &mut Vec<Diagnostic>) {
    let (Some(name), Some(normal)) = (&stage.name, stage.normal_name()) else {
        return;
    };
    if name.value != normal {
        let message = format!("Stage name '{}' should be lowercase", name.value);
        let complaint = Rule::StageNameCasing.at(message, name.span);
        warnings.push(complaint.with_fix(Some(Fix::replace(name.span, normal.clone()))));
    }
    if matches!(normal.as_str(), "scratch" | "context") {
        let message =
            format!("Stage name should not use the same name as reserved stage \"{normal}\"");
        warnings.push(Rule::ReservedStageName.at(message, name.span));
    }
    if seen.contains(&normal) {
        let message = format!("Duplicate stage name \"{normal}\", stage names should be unique");
        warnings.push(Rule::DuplicateStageName.at(message, name.span));
    }
    seen.insert(normal);
}
