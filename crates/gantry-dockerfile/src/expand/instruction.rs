//! Which parts of which instruction are expanded.

use std::collections::BTreeSet;

use super::word::{self, Options};
use super::{ExpandError, Processed, Variables, process_heredoc, process_word};
use crate::ast::{
    ArgDeclaration, CommandLine, CopySource, Escape, Instruction, InstructionKind, KeyValue, Mount,
    Word,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::parse::mount;
use crate::source::Span;

/// An instruction with its variables replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// The instruction.
    pub instruction: Instruction,
    /// Variables that were used and set.
    pub used: BTreeSet<String>,
    /// Variables that were used without being set, save where the form asks whether they are
    /// (`${v:-w}`, `${v:+w}`).
    pub unset: BTreeSet<String>,
}

/// A word with its variables replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandedWord {
    /// The word.
    pub word: Word,
    /// Variables that were used and set.
    pub used: BTreeSet<String>,
    /// Variables that were used without being set; see [`Expanded::unset`].
    pub unset: BTreeSet<String>,
}

/// The instruction with every part expanded that its kind expands: all words of `ADD`,
/// `COPY` (but `--from`), `ENV`, `EXPOSE`, `LABEL`, `STOPSIGNAL`, `USER`, `VOLUME` and `WORKDIR`,
/// the values of `RUN --mount` (but `from`), and the defaults of `ARG`, for which
/// [`expand_declaration`] is the better way. The others are the shell's business, or the child
/// image's.
///
/// # Errors
/// A bad substitution, an unfinished quote, a variable that must be set and is not (`${x:?}`), and
/// values that make an option invalid.
pub fn expand_instruction(
    instruction: &Instruction,
    variables: &dyn Variables,
    escape: Escape,
) -> Result<Expanded, Diagnostic> {
    let mut expander = Expander {
        variables,
        escape,
        used: BTreeSet::new(),
        unset: BTreeSet::new(),
    };
    let mut instruction = instruction.clone();
    expander.kind(&mut instruction.kind)?;
    Ok(Expanded {
        instruction,
        used: expander.used,
        unset: expander.unset,
    })
}

/// One word expanded, for the base and the platform of a stage.
///
/// # Errors
/// As [`expand_instruction`].
pub fn expand_word(
    word: &Word,
    variables: &dyn Variables,
    escape: Escape,
) -> Result<ExpandedWord, Diagnostic> {
    let mut expander = Expander {
        variables,
        escape,
        used: BTreeSet::new(),
        unset: BTreeSet::new(),
    };
    let mut word = word.clone();
    expander.word(&mut word)?;
    Ok(ExpandedWord {
        word,
        used: expander.used,
        unset: expander.unset,
    })
}

/// The default of one name of an `ARG` expanded. Each default sees the names before it, those of
/// the same instruction included, so they are expanded one by one; a default that a build argument
/// overrides is not expanded at all.
///
/// # Errors
/// As [`expand_instruction`].
pub fn expand_declaration(
    declaration: &ArgDeclaration,
    variables: &dyn Variables,
    escape: Escape,
) -> Result<(ArgDeclaration, BTreeSet<String>), Diagnostic> {
    let mut expander = Expander {
        variables,
        escape,
        used: BTreeSet::new(),
        unset: BTreeSet::new(),
    };
    let mut declaration = declaration.clone();
    expander.declaration(&mut declaration)?;
    Ok((declaration, expander.unset))
}

/// An instruction's text as a step shows it: the keyword in capitals, variables replaced where
/// they are set, the first line of a heredoc's script behind its marker. Text that cannot be
/// expanded is shown as it stands.
pub fn step_text(instruction: &Instruction, variables: &dyn Variables, escape: Escape) -> String {
    let mut text = instruction.text.clone();
    let mut options = Options::new(escape);
    if let InstructionKind::Run(run) = &instruction.kind {
        options = Options {
            raw_quotes: true,
            keep_unset: true,
            ..options
        };
        if let (Some(first), CommandLine::Shell(script)) = (run.heredocs.first(), &run.command)
            && crate::parse::is_heredoc_marker(&script.value)
        {
            text = format!("{text} ({})", summary(&first.content));
        }
    }
    let shown = word::process(&text, variables, options).map_or(text, |processed| processed.text);
    match shown.split_once(' ') {
        Some((keyword, rest)) => format!("{} {rest}", keyword.to_uppercase()),
        None => shown.to_uppercase(),
    }
}

/// The first line of a script, marked where more follow.
fn summary(script: &str) -> String {
    let mut lines = script.trim().lines();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() {
        format!("{first}...")
    } else {
        first.to_owned()
    }
}

struct Expander<'v> {
    variables: &'v dyn Variables,
    escape: Escape,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

fn refusal(error: &ExpandError, word: &str, span: Span) -> Diagnostic {
    let shown: String = word.chars().take(80).collect();
    Diagnostic::error(
        Code::Expansion,
        format!("failed to process \"{shown}\": {error}"),
        span,
    )
}

impl Expander<'_> {
    fn kind(&mut self, kind: &mut InstructionKind) -> Result<(), Diagnostic> {
        match kind {
            InstructionKind::Add(add) => {
                self.sources(&mut add.sources)?;
                let flags = [&mut add.chown, &mut add.chmod, &mut add.checksum];
                flags
                    .into_iter()
                    .flatten()
                    .try_for_each(|word| self.word(word))?;
                add.exclude
                    .iter_mut()
                    .try_for_each(|word| self.word(word))?;
                self.word(&mut add.destination)
            }
            InstructionKind::Copy(copy) => {
                self.sources(&mut copy.sources)?;
                let flags = [&mut copy.chown, &mut copy.chmod];
                flags
                    .into_iter()
                    .flatten()
                    .try_for_each(|word| self.word(word))?;
                copy.exclude
                    .iter_mut()
                    .try_for_each(|word| self.word(word))?;
                self.word(&mut copy.destination)
            }
            InstructionKind::Arg(declarations) => declarations
                .iter_mut()
                .try_for_each(|declaration| self.declaration(declaration)),
            InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => pairs
                .iter_mut()
                .try_for_each(|KeyValue { key, value, .. }| {
                    self.word(key)?;
                    self.word(value)
                }),
            InstructionKind::Expose(ports) => self.split(ports),
            InstructionKind::Run(run) => run
                .mounts
                .iter_mut()
                .try_for_each(|mount| self.mount(mount)),
            InstructionKind::Volume(words) => words.iter_mut().try_for_each(|word| self.word(word)),
            InstructionKind::StopSignal(word)
            | InstructionKind::User(word)
            | InstructionKind::Workdir(word) => self.word(word),
            InstructionKind::Cmd(_)
            | InstructionKind::Entrypoint(_)
            | InstructionKind::Healthcheck(_)
            | InstructionKind::Maintainer(_)
            | InstructionKind::Onbuild(_)
            | InstructionKind::Shell(_) => Ok(()),
        }
    }

    fn note(&mut self, processed: Processed) -> String {
        self.used.extend(processed.used);
        self.unset.extend(processed.unset);
        processed.text
    }

    fn word(&mut self, word: &mut Word) -> Result<(), Diagnostic> {
        let processed = process_word(&word.value, self.variables, self.escape)
            .map_err(|error| refusal(&error, &word.value, word.span))?;
        word.value = self.note(processed);
        Ok(())
    }

    fn declaration(&mut self, declaration: &mut ArgDeclaration) -> Result<(), Diagnostic> {
        declaration
            .default
            .as_mut()
            .map_or(Ok(()), |default| self.word(default))
    }

    /// Words that may become several or none.
    fn split(&mut self, words: &mut Vec<Word>) -> Result<(), Diagnostic> {
        let mut result = Vec::with_capacity(words.len());
        for written in words.iter() {
            let processed =
                word::process(&written.value, self.variables, Options::new(self.escape))
                    .map_err(|error| refusal(&error, &written.value, written.span))?;
            self.used.extend(processed.used);
            self.unset.extend(processed.unset);
            result.extend(
                processed
                    .words
                    .into_iter()
                    .map(|split| Word::new(split.text, written.span)),
            );
        }
        *words = result;
        Ok(())
    }

    fn sources(&mut self, sources: &mut [CopySource]) -> Result<(), Diagnostic> {
        for source in sources {
            match source {
                CopySource::Path(path) => self.word(path)?,
                CopySource::Inline(heredoc) => {
                    heredoc.content = heredoc.body();
                    heredoc.strip_tabs = false;
                    if std::mem::replace(&mut heredoc.expand, false) {
                        let processed =
                            process_heredoc(&heredoc.content, self.variables).map_err(|error| {
                                refusal(&error, &heredoc.content, heredoc.content_span)
                            })?;
                        heredoc.content = self.note(processed);
                    }
                }
            }
        }
        Ok(())
    }

    fn mount(&mut self, mount: &mut Mount) -> Result<(), Diagnostic> {
        let mut expand = |value: &str| {
            let processed = process_word(value, self.variables, self.escape)?;
            Ok(self.note(processed))
        };
        mount.spec = mount::parse(&mount.text.value, Some(&mut expand))
            .map_err(|error| error.diagnostic(mount.text.span))?;
        Ok(())
    }
}
