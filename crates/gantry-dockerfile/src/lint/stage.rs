//! Instructions of a stage, with the variables that it has at their place.

use std::collections::BTreeSet;

use super::{MOST_WARNINGS, Rule, Surroundings, fixes, global_scope};
use crate::argument::Scope;
use crate::ast::{
    ArgDeclaration, CommandLine, CopySource, Dockerfile, Escape, Instruction, InstructionKind,
    Stage, Word,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::expand::{Variables, expand_declaration, expand_instruction, expand_word};
use crate::port;
use crate::resolve::Base;
use crate::source::{SourceFile, Span};
use crate::suggest::nearest;

pub(super) fn check(
    file: &Dockerfile,
    source: &SourceFile,
    surroundings: &Surroundings<'_>,
    warnings: &mut Vec<Diagnostic>,
) {
    let global = global_scope(file, surroundings.arguments);
    let mut states: Vec<State> = Vec::with_capacity(file.stages.len());
    for (index, stage) in file.stages.iter().enumerate() {
        let state = initial(file, index, stage, &global, &states, surroundings);
        let mut found = Vec::new();
        let mut walk = Walk {
            state,
            global: &global,
            escape: file.directives.escape,
            source,
            surroundings,
            warnings: &mut found,
        };
        stage
            .instructions
            .iter()
            .for_each(|instruction| walk.instruction(instruction));
        states.push(walk.state);
        repeated(stage, source, &mut found);
        // BuildKit sees this one while it parses, whether the stage is built or not.
        let is_parsed = |one: &Diagnostic| one.code == Code::Lint(Rule::MaintainerDeprecated);
        found.retain(|one| surroundings.needs(index) || is_parsed(one));
        warnings.append(&mut found);
    }
}

/// What is known at a place of a stage.
#[derive(Debug, Clone, Default)]
struct State {
    scope: Scope,
    /// Whether every variable is known; not so on an image that nobody has looked at.
    complete: bool,
    /// Whether the file has set a shell.
    has_shell: bool,
    /// Whether the file has set a working directory.
    has_workdir: bool,
}

fn initial(
    file: &Dockerfile,
    index: usize,
    stage: &Stage,
    global: &Scope,
    states: &[State],
    surroundings: &Surroundings<'_>,
) -> State {
    let Ok(base) = expand_word(&stage.base, global, file.directives.escape) else {
        return State::default();
    };
    let path = ("PATH".to_owned(), String::new());
    let environment = match file.base_of(index, &base.word.value) {
        Base::Stage(earlier) => return states.get(earlier).cloned().unwrap_or_default(),
        Base::Scratch => Some(Vec::new()),
        Base::External => (surroundings.environment)(&base.word.value),
    };
    let complete = environment.is_some();
    let scope = Scope::new([path].into_iter().chain(environment.unwrap_or_default()));
    State {
        scope,
        complete,
        ..State::default()
    }
}

struct Walk<'a> {
    state: State,
    global: &'a Scope,
    escape: Escape,
    source: &'a SourceFile,
    surroundings: &'a Surroundings<'a>,
    warnings: &'a mut Vec<Diagnostic>,
}

impl Walk<'_> {
    fn instruction(&mut self, instruction: &Instruction) {
        if let InstructionKind::Arg(declarations) = &instruction.kind {
            return declarations
                .iter()
                .for_each(|declaration| self.declaration(declaration));
        }
        let expanded = match expand_instruction(instruction, &self.state.scope, self.escape) {
            Ok(expanded) => {
                self.undefined(&expanded.unset, instruction.span);
                expanded.instruction
            }
            // The build will say so itself, if it comes to that.
            Err(_) => instruction.clone(),
        };
        self.plain(instruction, &expanded);
        if let InstructionKind::Env(pairs) = expanded.kind {
            for pair in pairs {
                self.state
                    .scope
                    .set_environment(pair.key.value, pair.value.value);
            }
        }
    }

    fn plain(&mut self, written: &Instruction, expanded: &Instruction) {
        match &expanded.kind {
            InstructionKind::Env(pairs) => {
                self.legacy(written);
                pairs
                    .iter()
                    .for_each(|pair| secret("ENV", &pair.key, self.warnings));
            }
            InstructionKind::Label(_) => self.legacy(written),
            InstructionKind::Maintainer(name) => {
                let message = "Maintainer instruction is deprecated in favor of using label";
                let complaint = Rule::MaintainerDeprecated.at(message, written.span);
                let fix = fixes::author_label(self.source, written, name);
                self.warnings.push(complaint.with_fix(fix));
            }
            InstructionKind::Cmd(line) | InstructionKind::Entrypoint(line) => {
                self.command(line, written)
            }
            InstructionKind::Shell(_) => self.state.has_shell = true,
            InstructionKind::Expose(ports) => ports.iter().for_each(|port| self.expose(port)),
            InstructionKind::Copy(copy) if copy.from.is_none() => {
                self.ignored("Copy", &copy.sources, written.span);
            }
            InstructionKind::Add(add) => self.ignored("Add", &add.sources, written.span),
            InstructionKind::Workdir(path) => self.workdir(path),
            _ => {}
        }
    }

    fn declaration(&mut self, declaration: &ArgDeclaration) {
        let name = &declaration.name.value;
        secret("ARG", &declaration.name, self.warnings);
        let given = self
            .surroundings
            .arguments
            .iter()
            .rev()
            .find(|(known, _)| known == name);
        let value = match (given, &declaration.default) {
            (Some((_, value)), _) => Some(value.clone()),
            (None, None) => self.global.value(name).map(str::to_owned),
            (None, Some(default)) => {
                match expand_declaration(declaration, &self.state.scope, self.escape) {
                    Ok((expanded, unset)) => {
                        self.undefined(&unset, default.span);
                        expanded.default.map(|default| default.value)
                    }
                    Err(_) => Some(String::new()),
                }
            }
        };
        self.state.scope.declare_argument(name, value);
    }

    fn undefined(&mut self, unset: &BTreeSet<String>, span: Span) {
        if !self.state.complete || self.warnings.len() >= MOST_WARNINGS {
            return;
        }
        for name in unset
            .iter()
            .filter(|name| !self.state.scope.is_declared(name))
        {
            let mut message = format!("Usage of undefined variable '${name}'");
            if let Some(near) = nearest(name, self.state.scope.names()) {
                message.push_str(&format!(" (did you mean ${near}?)"));
            }
            self.warnings.push(Rule::UndefinedVar.at(message, span));
        }
    }

    fn legacy(&mut self, written: &Instruction) {
        let (InstructionKind::Env(pairs) | InstructionKind::Label(pairs)) = &written.kind else {
            return;
        };
        for pair in pairs.iter().filter(|pair| pair.legacy) {
            let name = written.kind.name();
            let message = format!(
                "\"{name} key=value\" should be used instead of legacy \"{name} key value\" format"
            );
            let complaint = Rule::LegacyKeyValueFormat.at(message, written.span);
            let fix = fixes::with_equals_sign(self.source, pair);
            self.warnings.push(complaint.with_fix(fix));
        }
    }

    fn expose(&mut self, word: &Word) {
        let Ok(ports) = port::parse(&word.value) else {
            return;
        };
        if ports.names_host {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{}'",
                word.value
            );
            let container = word.value.rsplit(':').next().unwrap_or_default();
            let fix = fixes::rewritten(self.source, word, container);
            self.warnings.push(
                Rule::ExposeInvalidFormat
                    .at(message, word.span)
                    .with_fix(fix),
            );
        }
        if ports
            .written_protocol
            .is_some_and(|written| written != written.to_lowercase())
        {
            let message = format!(
                "Defined protocol '{}' in EXPOSE instruction should be lowercase",
                word.value
            );
            let fix = fixes::rewritten(self.source, word, &word.value.to_lowercase());
            self.warnings
                .push(Rule::ExposeProtoCasing.at(message, word.span).with_fix(fix));
        }
    }

    /// Sources that the ignore file takes out of the context.
    fn ignored(&mut self, verb: &str, sources: &[CopySource], span: Span) {
        let Some(context) = &self.surroundings.context else {
            return;
        };
        for source in sources {
            let CopySource::Path(path) = source else {
                continue;
            };
            let path = path.value.trim_start_matches("./").trim_matches('/');
            let is_remote = path.contains("://") || path.starts_with("git@");
            if !is_remote && !path.is_empty() && path != "." && (context.ignored)(path) {
                let message = format!(
                    "Attempting to {verb} file \"{path}\" that is excluded by .dockerignore"
                );
                self.warnings.push(Rule::CopyIgnoredFile.at(message, span));
            }
        }
    }

    fn command(&mut self, line: &CommandLine, written: &Instruction) {
        if matches!(line, CommandLine::Shell(_)) && !self.state.has_shell {
            let message = format!(
                "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                written.kind.name()
            );
            self.warnings
                .push(Rule::JSONArgsRecommended.at(message, written.span));
        }
    }

    fn workdir(&mut self, path: &Word) {
        let absolute = path.value.starts_with('/')
            || matches!(path.value.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
        if !std::mem::replace(&mut self.state.has_workdir, true) && !absolute {
            let message = format!(
                "Relative workdir \"{}\" can have unexpected results if the base image changes",
                path.value
            );
            self.warnings
                .push(Rule::WorkdirRelativePath.at(message, path.span));
        }
    }
}

const SECRET_WORDS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// Names of things around a secret that are none themselves.
const HARMLESS_WORDS: [&str; 3] = ["public", "file", "version"];

/// A name of which one part, between underscores, is a word for a secret.
fn secret(instruction: &str, name: &Word, warnings: &mut Vec<Diagnostic>) {
    let normal = name.value.to_lowercase();
    let is = |words: &[&str]| normal.split('_').any(|part| words.contains(&part));
    if is(&SECRET_WORDS) && !is(&HARMLESS_WORDS) {
        let message = format!(
            "Do not use ARG or ENV instructions for sensitive data ({instruction} \"{}\")",
            name.value
        );
        warnings.push(Rule::SecretsUsedInArgOrEnv.at(message, name.span));
    }
}

/// Of `CMD`, `ENTRYPOINT` and `HEALTHCHECK` a stage keeps only the last.
fn repeated(stage: &Stage, source: &SourceFile, warnings: &mut Vec<Diagnostic>) {
    for name in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
        let mut all = stage
            .instructions
            .iter()
            .rev()
            .filter(|instruction| instruction.kind.name() == name);
        all.next();
        for earlier in all {
            let message = format!(
                "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            );
            let complaint = Rule::MultipleInstructionsDisallowed.at(message, earlier.span);
            let fix = fixes::without_lines(source, earlier.span);
            warnings.push(complaint.with_fix(Some(fix)));
        }
    }
}
