//! Text → tree.

mod copy;
mod directive;
mod flag;
mod heredoc;
mod instruction;
mod lexer;
mod line;
mod run;
mod simple;
mod stage;
mod words;

pub(crate) mod mount;

use crate::ast::{Dockerfile, Escape, Heredoc, Instruction, InstructionKind, Stage};
use crate::diagnostic::{Code, Diagnostic};
use crate::fix::{Edit, Fix};
use crate::lint::Rule;
use crate::resolve::StageNames;
use crate::source::{SourceFile, Span};
use instruction::{Parsed, Request, parse_instruction};
use lexer::{Lexer, RawInstruction};

/// Most complaints about one file; a file with more is not a Dockerfile.
const MOST_DIAGNOSTICS: usize = 100;

/// Parses a whole Dockerfile.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(source: &SourceFile) -> Result<Dockerfile, Vec<Diagnostic>> {
    let mut parser = Parser::new(source, Lexer::new(source));
    while let Some(raw) = parser.lexer.next_instruction() {
        match parser.instruction(raw) {
            Some(Parsed::Stage(stage)) => parser.stages.push(stage),
            Some(Parsed::Instruction(instruction)) => parser.place(instruction),
            None => {}
        }
        if parser.errors.len() >= MOST_DIAGNOSTICS {
            break;
        }
    }
    parser.finish()
}

/// Parses one `ONBUILD` trigger of a base image's configuration.
///
/// # Errors
/// What is wrong with it: it must be one instruction, and one that may be a trigger.
pub fn parse_trigger(source: &SourceFile, escape: Escape) -> Result<Instruction, Vec<Diagnostic>> {
    let mut parser = Parser::new(source, Lexer::without_directives(source, escape));
    let mut found = Vec::new();
    while let Some(raw) = parser.lexer.next_instruction() {
        found.extend(parser.instruction(raw));
        if found.len() > 1 {
            break;
        }
    }
    if !parser.errors.is_empty() {
        return Err(parser.errors);
    }
    let whole = Span::new(0, source.text().len());
    let refuse = |message: &str| Err(vec![Diagnostic::error(Code::Onbuild, message, whole)]);
    match (found.pop(), found.is_empty()) {
        (Some(Parsed::Stage(_)), true) => refuse("FROM isn't allowed as an ONBUILD trigger"),
        (Some(Parsed::Instruction(instruction)), true) => match instruction.kind {
            InstructionKind::Onbuild(_) => {
                refuse("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
            }
            InstructionKind::Maintainer(_) => {
                refuse("MAINTAINER isn't allowed as an ONBUILD trigger")
            }
            _ => Ok(instruction),
        },
        _ => refuse("an ONBUILD trigger must be one instruction"),
    }
}

/// Whether a script is nothing but one heredoc marker, so that its body is the script.
pub(crate) fn is_heredoc_marker(script: &str) -> bool {
    heredoc::marker(script).is_some()
}

/// What has been read so far.
struct Parser<'s> {
    source: &'s SourceFile,
    lexer: Lexer<'s>,
    meta_args: Vec<Instruction>,
    stages: Vec<Stage>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    from_is_missing: bool,
}

impl<'s> Parser<'s> {
    fn new(source: &'s SourceFile, lexer: Lexer<'s>) -> Self {
        Self {
            source,
            lexer,
            meta_args: Vec::new(),
            stages: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            from_is_missing: false,
        }
    }

    /// One instruction, its heredocs taken off the file; what is wrong with it is kept.
    fn instruction(&mut self, raw: RawInstruction) -> Option<Parsed> {
        if let (Some(first), Some(last)) = (raw.empty_lines.first(), raw.empty_lines.last())
            && self.warnings.len() < MOST_DIAGNOSTICS
        {
            let span = first.join(*last);
            let complaint = Rule::NoEmptyContinuation.at("Empty continuation line", span);
            let edits = raw.empty_lines.iter().map(|line| Edit {
                span: Span::new(line.start, self.source.line_end(line.end)),
                text: String::new(),
            });
            let fix = Fix {
                edits: edits.collect(),
            };
            self.warnings.push(complaint.with_fix(Some(fix)));
        }
        if let Some(at) = raw.line.as_str().find('\0') {
            let span = raw.line.whole().part(at..at + 1).span();
            let error = Diagnostic::error(Code::InvalidUtf8, "NUL byte in an instruction", span);
            self.errors.push(error.with_hint("save the file as UTF-8"));
            return None;
        }
        let heredocs = self.heredocs(&raw)?;
        let request = Request::new(
            raw.line.whole(),
            raw.comments,
            heredocs,
            self.lexer.directives.escape,
        );
        match parse_instruction(request) {
            Ok(parsed) => Some(parsed),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }

    /// The heredocs of an instruction with their bodies; `None` where one has no end.
    fn heredocs(&mut self, raw: &RawInstruction) -> Option<Vec<Heredoc>> {
        let mut heredocs = Vec::new();
        for marker in instruction::heredoc_markers(raw.line.whole()) {
            let Some((body, end)) = self.lexer.take_heredoc(&marker.name, marker.strip_tabs) else {
                let message = format!("unterminated heredoc: no line holds just {}", marker.name);
                self.errors
                    .push(Diagnostic::error(Code::Heredoc, message, marker.span));
                return None;
            };
            heredocs.push(Heredoc {
                name: marker.name,
                descriptor: marker.descriptor,
                strip_tabs: marker.strip_tabs,
                expand: marker.expand,
                content: self.source.slice(body).to_owned(),
                span: marker.span,
                content_span: body,
                end_span: end,
            });
        }
        Some(heredocs)
    }

    /// Puts an instruction where it belongs.
    fn place(&mut self, instruction: Instruction) {
        if let Some(stage) = self.stages.last_mut() {
            stage.instructions.push(instruction);
        } else if matches!(instruction.kind, InstructionKind::Arg(_)) {
            self.meta_args.push(instruction);
        } else if !std::mem::replace(&mut self.from_is_missing, true) {
            let message = format!(
                "no build stage in current context: {} before the first FROM",
                instruction.kind.name()
            );
            let error = Diagnostic::error(Code::MissingFrom, message, instruction.span);
            self.errors
                .push(error.with_hint("begin with FROM <image>; only ARG may stand before it"));
        }
    }

    fn finish(mut self) -> Result<Dockerfile, Vec<Diagnostic>> {
        let mut errors = std::mem::take(&mut self.lexer.diagnostics);
        errors.append(&mut self.errors);
        if errors.is_empty() && self.stages.is_empty() {
            // The last line, not the one that would follow it.
            let text = self.source.text();
            let end = text.len() - usize::from(text.ends_with('\n'));
            let end = Span::new(end, end);
            errors.push(match self.meta_args.last() {
                Some(last) => {
                    let message = "dockerfile contains no stages to build";
                    Diagnostic::error(Code::MissingFrom, message, last.span)
                        .with_hint("add FROM <image>")
                }
                None => {
                    let empty = self.source.text().is_empty();
                    let message = if empty {
                        "the Dockerfile cannot be empty"
                    } else {
                        "file with no instructions"
                    };
                    Diagnostic::error(Code::EmptyFile, message, end)
                }
            });
        }
        if !errors.is_empty() {
            errors.truncate(MOST_DIAGNOSTICS);
            errors.sort_by_key(|error| error.span);
            return Err(errors);
        }
        Ok(Dockerfile {
            directives: self.lexer.directives,
            meta_args: self.meta_args,
            names: StageNames::new(&self.stages),
            stages: self.stages,
            warnings: self.warnings,
        })
    }
}

#[cfg(test)]
mod tests;
