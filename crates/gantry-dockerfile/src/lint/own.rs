//! Gantry's own rules.

mod base;
mod cleanup;
mod copy;
mod image;
mod packages;
mod process;
mod values;

use super::shell::{Command, Ending, Lines, commands};
use super::{MOST_WARNINGS, Surroundings};
use crate::argument::Scope;
use crate::ast::{
    CommandLine, Dockerfile, Escape, Instruction, InstructionKind, Run, RunProgram, Stage,
};
use crate::diagnostic::Diagnostic;
use crate::expand::expand_word;
use crate::resolve::Base;
use crate::source::{SourceFile, Span};

pub(super) fn check(
    file: &Dockerfile,
    source: &SourceFile,
    surroundings: &Surroundings<'_>,
    warnings: &mut Vec<Diagnostic>,
) {
    let global = super::global_scope(file, surroundings.arguments);
    let mut look = Look {
        file,
        source,
        surroundings,
        stages: stages(file, source, &global),
        found: Vec::new(),
    };
    let checks = [
        base::check,
        copy::check,
        packages::check,
        cleanup::check,
        process::check,
        image::check,
        values::check,
    ];
    for check in checks {
        if look.found.len() < MOST_WARNINGS {
            check(&mut look);
        }
    }
    warnings.append(&mut look.found);
}

/// Most commands of one script that are looked at; no script of a Dockerfile has more.
const MOST_COMMANDS: usize = 1000;

/// What the rules look at.
struct Look<'a> {
    file: &'a Dockerfile,
    source: &'a SourceFile,
    surroundings: &'a Surroundings<'a>,
    stages: Vec<StageLook<'a>>,
    found: Vec<Diagnostic>,
}

/// A stage with its scripts read.
struct StageLook<'a> {
    stage: &'a Stage,
    /// The base with variables replaced, where they can be.
    base: Option<String>,
    kind: Base,
    steps: Vec<Step<'a>>,
}

/// An instruction and, of a `RUN` in shell form, its commands.
struct Step<'a> {
    instruction: &'a Instruction,
    script: Option<Script<'a>>,
}

/// What a `RUN` in shell form does.
struct Script<'a> {
    run: &'a Run,
    commands: Vec<Command>,
    /// Where the script stands.
    span: Span,
    /// Whether another command can be put behind it.
    takes_more: bool,
}

impl<'a> Look<'a> {
    /// The indices of the stages that the image is made of: the last one and those below it.
    fn ancestry(&self) -> Vec<usize> {
        let mut all = Vec::new();
        let mut next = self.stages.len().checked_sub(1);
        while let Some(index) = next {
            all.push(index);
            next = match self.stages[index].kind {
                Base::Stage(earlier) => Some(earlier),
                Base::Scratch | Base::External => None,
            };
        }
        all
    }

    /// The instructions that the image is made of, the first one first.
    fn made_of(&self) -> Vec<&Step<'a>> {
        let chain = self.ancestry();
        chain
            .into_iter()
            .rev()
            .flat_map(|index| &self.stages[index].steps)
            .collect()
    }

    /// Every script of a stage.
    fn scripts(&self, index: usize) -> impl Iterator<Item = (&Step<'a>, &Script<'a>)> {
        self.stages[index]
            .steps
            .iter()
            .filter_map(|step| step.script.as_ref().map(|script| (step, script)))
    }
}

fn stages<'a>(file: &'a Dockerfile, source: &SourceFile, global: &Scope) -> Vec<StageLook<'a>> {
    let look = |(index, stage): (usize, &'a Stage)| {
        let expanded = expand_word(&stage.base, global, file.directives.escape).ok();
        let base = expanded
            .filter(|base| base.unset.is_empty() && !base.word.value.is_empty())
            .map(|base| base.word.value);
        let kind = base
            .as_deref()
            .map_or(Base::External, |base| file.base_of(index, base));
        let mut is_posix = file.directives.escape == Escape::Backslash;
        let steps = stage.instructions.iter().map(|instruction| {
            if let InstructionKind::Shell(words) = &instruction.kind {
                is_posix = words
                    .first()
                    .is_some_and(|shell| is_posix_shell(&shell.value));
            }
            Step {
                instruction,
                script: is_posix.then(|| script(instruction, source)).flatten(),
            }
        });
        StageLook {
            stage,
            base,
            kind,
            steps: steps.collect(),
        }
    };
    file.stages.iter().enumerate().map(look).collect()
}

/// Whether a program reads scripts as these rules do.
fn is_posix_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    matches!(name, "sh" | "bash" | "ash" | "dash" | "ksh" | "zsh")
}

fn script<'a>(instruction: &'a Instruction, source: &SourceFile) -> Option<Script<'a>> {
    let InstructionKind::Run(run) = &instruction.kind else {
        return None;
    };
    let CommandLine::Shell(written) = &run.command else {
        return None;
    };
    let (span, lines) = match (run.heredocs.first(), run.program()) {
        (_, RunProgram::Exec(_)) => return None,
        (Some(heredoc), program) if crate::parse::is_heredoc_marker(&written.value) => {
            if matches!(&program, RunProgram::Script { content, .. } if !is_posix_script(content)) {
                return None;
            }
            (heredoc.content_span, Lines::Script)
        }
        _ => (written.span, Lines::Folded),
    };
    let (mut commands, ending) = commands(source.slice(span), span.start, lines);
    if ending == Ending::Open {
        return None;
    }
    commands.truncate(MOST_COMMANDS);
    Some(Script {
        run,
        commands,
        span,
        takes_more: run.heredocs.is_empty() && ending == Ending::Command,
    })
}

/// Whether the program behind `#!` is a shell.
fn is_posix_script(content: &str) -> bool {
    let line = content.lines().next().unwrap_or_default();
    line.trim_start_matches("#!")
        .split_whitespace()
        .find(|word| !word.ends_with("/env") && !word.starts_with('-'))
        .is_some_and(is_posix_shell)
}
