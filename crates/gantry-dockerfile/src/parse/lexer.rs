//! The lines of a file as instructions: comments, parser directives, continuations, heredoc bodies.

use super::directive::{DirectiveLine, directive};
use super::line::LogicalLine;
use crate::ast::{Directives, Escape, Word};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span};

/// One instruction, not yet understood.
#[derive(Debug)]
pub(crate) struct RawInstruction {
    pub(crate) line: LogicalLine,
    /// The comment lines directly above.
    pub(crate) comments: Vec<String>,
    /// Empty lines inside it, without their ends: allowed, but frowned upon.
    pub(crate) empty_lines: Vec<Span>,
}

/// Reads instructions off a file.
#[derive(Debug)]
pub(crate) struct Lexer<'s> {
    text: &'s str,
    at: usize,
    directives_done: bool,
    escape_was_set: bool,
    pub(crate) directives: Directives,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// One physical line: its text without the line end, and where it begins.
struct Line<'s> {
    text: &'s str,
    start: usize,
}

impl<'s> Lexer<'s> {
    /// A lexer at the start of a file.
    pub(crate) fn new(source: &'s SourceFile) -> Self {
        let text = source.text();
        let at = if text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        let directives = Directives {
            syntax: None,
            escape: Escape::default(),
            check: None,
        };
        Self {
            text,
            at,
            directives_done: false,
            escape_was_set: false,
            directives,
            diagnostics: Vec::new(),
        }
    }

    /// A lexer for text that has no parser directives of its own.
    pub(crate) fn without_directives(source: &'s SourceFile, escape: Escape) -> Self {
        let mut lexer = Self::new(source);
        lexer.directives_done = true;
        lexer.directives.escape = escape;
        lexer
    }

    /// The next instruction.
    pub(crate) fn next_instruction(&mut self) -> Option<RawInstruction> {
        let mut comments = Vec::new();
        while let Some(line) = self.take_line() {
            let left = line.text.trim_start();
            let start = line.start + (line.text.len() - left.len());
            if let Some(comment) = left.strip_prefix('#') {
                let comment = comment.trim();
                if comment.is_empty() {
                    // Parts what stands above from what describes the instruction.
                    comments.clear();
                } else if !self.take_directive(left, start) {
                    comments.push(comment.to_owned());
                }
                continue;
            }
            self.directives_done = true;
            if left.is_empty() {
                comments.clear();
                continue;
            }
            let raw = self.fold(left, start, std::mem::take(&mut comments));
            if !raw.line.as_str().trim().is_empty() {
                return Some(raw);
            }
            let span = Span::new(start, start + left.trim_end().len());
            let message = "unknown instruction: a continuation that nothing follows";
            self.diagnostics
                .push(Diagnostic::error(Code::UnknownInstruction, message, span));
        }
        None
    }

    /// The body of a heredoc that begins at the present line, up to its end marker; `None` where
    /// the file ends before.
    pub(crate) fn take_heredoc(&mut self, name: &str, strip_tabs: bool) -> Option<(Span, Span)> {
        let start = self.at;
        while let Some(line) = self.take_line() {
            let candidate = if strip_tabs {
                line.text.trim_start_matches('\t')
            } else {
                line.text
            };
            if candidate == name {
                return Some((
                    Span::new(start, line.start),
                    Span::new(line.start, line.start + line.text.len()),
                ));
            }
        }
        None
    }

    /// Folds the continued lines of an instruction whose first line is given.
    fn fold(&mut self, first: &str, start: usize, comments: Vec<String>) -> RawInstruction {
        let mut line = LogicalLine::default();
        let mut empty_lines = Vec::new();
        let (kept, mut continued) = self.without_continuation(first);
        line.push(kept, start);
        while continued {
            let Some(next) = self.take_line() else { break };
            let left = next.text.trim_start();
            if left.starts_with('#') {
                continue;
            }
            if left.is_empty() {
                empty_lines.push(Span::new(next.start, next.start + next.text.len()));
                continue;
            }
            let (kept, more) = self.without_continuation(next.text);
            line.push(kept, next.start);
            continued = more;
        }
        RawInstruction {
            line,
            comments,
            empty_lines,
        }
    }

    /// The line without a continuation character at its end, and whether it had one. A doubled
    /// character continues nothing.
    fn without_continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let escape = self.directives.escape.char();
        match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(kept) if !kept.ends_with(escape) => (kept, true),
            _ => (line, false),
        }
    }

    /// Takes a parser directive, where the comment line is one and directives are still allowed.
    fn take_directive(&mut self, line: &str, start: usize) -> bool {
        if self.directives_done {
            return false;
        }
        let Some(found) = directive(line) else {
            self.directives_done = true;
            return false;
        };
        let DirectiveLine {
            name,
            value,
            value_at,
        } = found;
        let span = Span::new(start + value_at, start + value_at + value.len());
        let word = Word::new(value, span);
        let repeated = match name.as_str() {
            "syntax" => self.directives.syntax.replace(word).is_some(),
            "check" => self.directives.check.replace(word).is_some(),
            "escape" => self.take_escape(&word),
            _ => {
                self.directives_done = true;
                return false;
            }
        };
        if repeated {
            let message = format!("only one {name} parser directive can be used");
            let span = Span::new(start, start + line.trim_end().len());
            self.diagnostics
                .push(Diagnostic::error(Code::Directive, message, span));
        }
        true
    }

    /// Sets the escape character; says whether it had been set before.
    fn take_escape(&mut self, value: &Word) -> bool {
        let repeated = std::mem::replace(&mut self.escape_was_set, true);
        match value.as_str() {
            "\\" => self.directives.escape = Escape::Backslash,
            "`" => self.directives.escape = Escape::Backtick,
            other => {
                let message = format!("invalid escape token '{other}' does not match ` or \\");
                self.diagnostics
                    .push(Diagnostic::error(Code::Directive, message, value.span));
            }
        }
        repeated
    }

    /// The next physical line.
    fn take_line(&mut self) -> Option<Line<'s>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        self.at = start + length;
        Some(Line {
            text: rest[..length].trim_end_matches(['\r', '\n']),
            start,
        })
    }
}
