//! Shells, pipes and processes.

use super::{Look, Script, StageLook, is_posix_shell};
use crate::ast::{CommandLine, InstructionKind, Word};
use crate::diagnostic::Diagnostic;
use crate::fix::Fix;
use crate::lint::Rule;
use crate::lint::shell::{Command, Joint, Lines, commands};
use crate::resolve::Base;
use crate::source::{SourceFile, Span};

pub(super) fn check(look: &mut Look<'_>) {
    let mut found = Vec::new();
    let mut pipefail: Vec<bool> = Vec::new();
    for stage in &look.stages {
        let mut has_pipefail = match stage.kind {
            Base::Stage(earlier) => pipefail.get(earlier).copied().unwrap_or_default(),
            Base::Scratch | Base::External => false,
        };
        for step in &stage.steps {
            match &step.instruction.kind {
                InstructionKind::Shell(words) => {
                    has_pipefail = words.iter().any(|word| word.value.contains("pipefail"));
                }
                InstructionKind::Cmd(line) | InstructionKind::Entrypoint(line) => {
                    started(line, look.source, &mut found);
                }
                _ => {}
            }
            if let Some(script) = &step.script {
                run(script, has_pipefail, &mut found);
            }
        }
        ignored_command(stage, &mut found);
        pipefail.push(has_pipefail);
    }
    look.found.append(&mut found);
}

fn run(script: &Script<'_>, has_pipefail: bool, found: &mut Vec<Diagnostic>) {
    if let Some(command) = script.commands.first()
        && command.name() == "cd"
        && let [folder] = command.arguments()
    {
        let message = if script.commands.len() == 1 {
            "The folder of a RUN is forgotten at its end; WORKDIR sets it for what follows"
        } else {
            "WORKDIR sets the folder for every instruction that follows"
        };
        found.push(Rule::CdInsteadOfWorkdir.at(message, command.span().join(folder.span)));
    }
    let sudo = script
        .commands
        .iter()
        .filter_map(|command| command.words.first())
        .find(|word| word.text == "sudo");
    if let Some(word) = sudo {
        let message = "A RUN is root's unless USER said otherwise; leave sudo out";
        found.push(Rule::SudoUsed.at(message, word.span));
    }
    let sets = script.commands.iter().any(|command| {
        command.name() == "set" && command.has("pipefail")
            || command
                .arguments()
                .iter()
                .any(|word| word.text == "pipefail")
    });
    let pipe = script.commands.iter().find(|command| {
        // What only speaks cannot fail in a way that matters.
        command.joint == Joint::Pipe
            && !matches!(command.name(), "echo" | "printf" | "yes" | "true")
    });
    if let (Some(command), false, false) = (pipe, sets, has_pipefail) {
        let message = format!(
            "If {} fails nobody notices: the status of a pipe is that of its last command",
            command.name()
        );
        found.push(Rule::PipeWithoutPipefail.at(message, command.span()));
    }
    let waits = script
        .commands
        .iter()
        .any(|command| command.name() == "wait");
    let left = script
        .commands
        .last()
        .filter(|last| !waits && (last.joint == Joint::Background || starts_service(last)));
    if let Some(command) = left {
        let message = "What runs at the end of a RUN is killed; it does not run in the container";
        found.push(Rule::SeveralProcesses.at(message, command.span()));
    }
}

fn starts_service(command: &Command) -> bool {
    let starts = command.has("start") || command.has("restart");
    let script = command.words.first().map_or("", |word| word.text.as_str());
    starts
        && (matches!(command.name(), "service" | "systemctl" | "rc-service")
            || script.starts_with("/etc/init.d/"))
}

/// What a container starts with.
fn started(line: &CommandLine, source: &SourceFile, found: &mut Vec<Diagnostic>) {
    let script = match line {
        CommandLine::Shell(script) => script,
        CommandLine::Exec(words) => match words.as_slice() {
            [shell, option, script]
                if is_posix_shell(&shell.value) && is_command_option(option) =>
            {
                signals(script, source, found);
                script
            }
            _ => return,
        },
    };
    let (all, _) = commands(&script.value, 0, Lines::Folded);
    let several = all
        .iter()
        .any(|command| command.joint == Joint::Background || starts_service(command));
    if several {
        let message = "A process in the background is neither watched nor stopped properly";
        found.push(Rule::SeveralProcesses.at(message, script.span));
    }
}

/// `-c`, alone or among other letters.
fn is_command_option(word: &Word) -> bool {
    let letters = word.value.strip_prefix('-').unwrap_or_default();
    letters.ends_with('c') && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn signals(script: &Word, source: &SourceFile, found: &mut Vec<Diagnostic>) {
    const BUILT_IN: [&str; 12] = [
        "cd", "export", "source", ".", "set", "eval", "trap", "while", "for", "case", "until",
        "wait",
    ];
    let (all, _) = commands(&script.value, 0, Lines::Folded);
    let Some(last) = all.last() else {
        return;
    };
    let first_word = last.words.first().map_or("", |word| word.text.as_str());
    if first_word == "exec" || BUILT_IN.contains(&first_word) {
        return;
    }
    // `sh -c "$VARIABLE"`: what it becomes is not known.
    if first_word.starts_with('$') {
        return;
    }
    let message = format!(
        "The shell does not hand signals on to {}; write exec before it",
        last.name()
    );
    let open = source.slice(Span::new(script.span.start, script.span.start + 1));
    let is_plain = all.len() == 1
        && last.joint == Joint::End
        && script.value.starts_with(first_word)
        && open == "\"";
    let fix = is_plain.then(|| Fix::insert(script.span.start + 1, "exec "));
    found.push(Rule::SignalsLost.at(message, script.span).with_fix(fix));
}

/// `CMD` beside an entry point that is a shell.
fn ignored_command(stage: &StageLook<'_>, found: &mut Vec<Diagnostic>) {
    let instructions = || stage.steps.iter().map(|step| step.instruction).rev();
    let is_shell = instructions().find_map(|instruction| match &instruction.kind {
        InstructionKind::Entrypoint(line) => {
            Some(matches!(line, CommandLine::Shell(_)) && !line.is_empty())
        }
        _ => None,
    });
    let command =
        instructions().find(|instruction| matches!(instruction.kind, InstructionKind::Cmd(_)));
    if let (Some(true), Some(command)) = (is_shell, command) {
        let message = "The ENTRYPOINT is a shell, which does not hand CMD on to its program";
        found.push(Rule::CmdIgnored.at(message, command.span));
    }
}
