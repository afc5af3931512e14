//! What the image as a whole is like.

use std::str::FromStr;

use gantry_model::Reference;

use super::{Look, StageLook, Step};
use crate::ast::{InstructionKind, Word};
use crate::diagnostic::Diagnostic;
use crate::lint::Rule;
use crate::lint::shell::{Command, ShellWord};
use crate::resolve::Base;

pub(super) fn check(look: &mut Look<'_>) {
    let mut found = Vec::new();
    if let Some(last) = look.stages.last() {
        let steps = look.made_of();
        let bottom = look
            .ancestry()
            .last()
            .and_then(|index| look.stages.get(*index));
        user(&steps, last, bottom, &mut found);
        health(&steps, last, &mut found);
        compiler(look, last, &mut found);
    }
    look.found.append(&mut found);
}

/// Whether a container of these instructions has something to start.
fn starts(steps: &[&Step<'_>]) -> bool {
    steps.iter().any(|step| {
        matches!(
            step.instruction.kind,
            InstructionKind::Cmd(_) | InstructionKind::Entrypoint(_)
        )
    })
}

fn user(
    steps: &[&Step<'_>],
    last: &StageLook<'_>,
    bottom: Option<&StageLook<'_>>,
    found: &mut Vec<Diagnostic>,
) {
    let user: Option<&Word> = steps
        .iter()
        .rev()
        .find_map(|step| match &step.instruction.kind {
            InstructionKind::User(user) => Some(user),
            _ => None,
        });
    if let Some(user) = user {
        let name = user.value.trim_matches(['"', '\'']);
        let name = name.split(':').next().unwrap_or_default();
        if matches!(name, "root" | "0") {
            let message = "The image runs as root; name another user at the end";
            found.push(Rule::RootUser.at(message, user.span));
        }
        return;
    }
    let promises = |base: &str| {
        ["nonroot", "rootless", "unprivileged"]
            .iter()
            .any(|word| base.contains(word))
    };
    let is_exempt = match bottom.map(|bottom| (bottom.kind, bottom.base.as_deref())) {
        Some((Base::Scratch, _)) => !starts(steps),
        Some((_, Some(base))) => promises(base),
        // The base is not known, nor what user it has.
        _ => true,
    };
    if !is_exempt {
        let message = "The image runs as root, since no USER is named";
        found.push(Rule::RootUser.at(message, last.stage.span));
    }
}

fn health(steps: &[&Step<'_>], last: &StageLook<'_>, found: &mut Vec<Diagnostic>) {
    let is_checked = steps
        .iter()
        .any(|step| matches!(step.instruction.kind, InstructionKind::Healthcheck(_)));
    if starts(steps) && !is_checked {
        let message = "Nothing tells whether a container of the image is well";
        found.push(Rule::HealthcheckMissing.at(message, last.stage.span));
    }
}

/// Images that are compilers, by the last part of their names.
const COMPILER_IMAGES: [&str; 9] = [
    "golang", "rust", "gcc", "maven", "gradle", "swift", "haskell", "clang", "sdk",
];
const COMPILER_PACKAGES: [&str; 16] = [
    "build-essential",
    "build-base",
    "gcc",
    "g++",
    "clang",
    "golang",
    "golang-go",
    "go",
    "rustc",
    "cargo",
    "rust",
    "gcc-c++",
    "default-jdk",
    "default-jdk-headless",
    "cmake",
    "ghc",
];

/// Only where there is one stage: with more, the compiler has been thought about.
fn compiler(look: &Look<'_>, last: &StageLook<'_>, found: &mut Vec<Diagnostic>) {
    if look.stages.len() > 1 || !starts(&look.made_of()) {
        return;
    }
    let base = last
        .base
        .as_deref()
        .and_then(|base| Reference::from_str(base).ok());
    let name = base
        .as_ref()
        .map(|base| base.repository().rsplit('/').next().unwrap_or_default());
    if let Some(name) = name.filter(|name| COMPILER_IMAGES.contains(name)) {
        let message = format!(
            "The image ships the compilers of {name}; copy what was built into another stage"
        );
        found.push(Rule::CompilerShipped.at(message, last.stage.base.span));
        return;
    }
    let index = look.stages.len() - 1;
    for (_, script) in look.scripts(index) {
        let removes = script
            .commands
            .iter()
            .any(|command| manages(command, &["remove", "purge", "del", "erase"]));
        let installed = script
            .commands
            .iter()
            .filter(|command| manages(command, &["install", "add"]))
            .flat_map(Command::arguments)
            .find(|word| is_compiler(word));
        if let (Some(package), false) = (installed, removes) {
            let message = format!(
                "The image ships {}; build in a stage of its own",
                package.text
            );
            found.push(Rule::CompilerShipped.at(message, package.span));
            return;
        }
    }
}

fn manages(command: &Command, actions: &[&str]) -> bool {
    matches!(
        command.name(),
        "apt-get" | "apt" | "apk" | "dnf" | "yum" | "microdnf" | "zypper"
    ) && actions.iter().any(|action| command.has(action))
}

fn is_compiler(word: &ShellWord) -> bool {
    let name = word
        .text
        .split(['=', '~', '<', '>'])
        .next()
        .unwrap_or_default();
    COMPILER_PACKAGES.contains(&name)
}
