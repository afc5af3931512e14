//! Errors and warnings about a Dockerfile, and how they are shown with their lines.

use std::fmt::Write as _;

use gantry_model::quantity::counted;

use crate::fix::Fix;
use crate::mask::masked;
use crate::source::{SourceFile, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know; nothing is wrong.
    Info,
    /// It builds, but something is probably not meant.
    Warning,
    /// It does not build.
    Error,
}

impl Severity {
    /// `error`, `warning` or `info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What sort of complaint it is; stable, for tools and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The bytes are not UTF-8.
    InvalidUtf8,
    /// No instruction at all.
    EmptyFile,
    /// A parser directive is repeated or has a value that does not exist.
    Directive,
    /// The keyword is none that is known.
    UnknownInstruction,
    /// An instruction before the first `FROM`.
    MissingFrom,
    /// Too few or too many arguments, or arguments of the wrong form.
    Arguments,
    /// A flag that is unknown, repeated, or has a wrong value.
    Flag,
    /// The value of `--mount` is wrong.
    Mount,
    /// A heredoc without an end, or in a place where none can be.
    Heredoc,
    /// The name of a stage is not allowed.
    StageName,
    /// An instruction that `ONBUILD` cannot trigger.
    Onbuild,
    /// A word that cannot be expanded.
    Expansion,
    /// A name that is neither a stage nor could be anything else.
    UnknownStage,
    /// A rule of [`crate::lint`].
    Lint(crate::lint::Rule),
}

/// A complaint about a place in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What sort it is.
    pub code: Code,
    /// What is wrong: lowercase, no full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to do, most useful first.
    pub hints: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// A change of the text that ends the complaint and changes nothing else.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, message: impl Into<String>, span: Span) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            hints: Vec::new(),
            notes: Vec::new(),
            fix: None,
        }
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>, span: Span) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message, span)
        }
    }

    /// The same with one more hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with one more note.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same with a change that ends it.
    #[must_use]
    pub(crate) fn with_fix(mut self, fix: Option<Fix>) -> Self {
        self.fix = fix;
        self
    }

    /// The same with "did you mean" behind the message, where a name is near.
    #[must_use]
    pub(crate) fn suggesting<'a>(
        mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        if let Some(near) = crate::suggest::nearest(name, candidates) {
            let _ = write!(self.message, " (did you mean {near}?)");
        }
        self
    }

    /// The text for a person: file and line, the lines around with a marker, the message, notes
    /// and hints. Ends with a line end.
    pub fn render(&self, source: &SourceFile) -> String {
        let mut out = String::new();
        excerpt(&mut out, source, self.span);
        let _ = writeln!(out, "{}: {}", self.severity.as_str(), shown(&self.message));
        for note in &self.notes {
            let _ = writeln!(out, "note: {}", shown(note));
        }
        for hint in &self.hints {
            let _ = writeln!(out, "hint: {}", shown(hint));
        }
        out
    }
}

/// Lines shown above and below the marked ones.
const CONTEXT: usize = 2;
/// Most marked lines shown.
const MOST_LINES: usize = 20;
/// Most marked lines of an excerpt as BuildKit's tools show it, which know no limit.
const MOST_EXCERPT: usize = 200;
/// Most characters shown of one line.
const MOST_COLUMNS: usize = 200;
/// Most bytes shown of a message or hint.
const MOST_MESSAGE: usize = 2000;

/// The lines around a span, between two rules, the marked ones with `>>>`.
fn excerpt(out: &mut String, source: &SourceFile, span: Span) {
    let (first, last) = source.lines(span);
    let rule = "-".repeat(20);
    let _ = writeln!(out, "{}:{first}\n{rule}", shown(source.name()));
    let end = last.min(first + MOST_LINES - 1);
    let from = first.saturating_sub(CONTEXT).max(1);
    let to = if end < last {
        end
    } else {
        (last + CONTEXT).min(source.line_count())
    };
    for number in from..=to.max(end) {
        let marked = (first..=last).contains(&number);
        let line = source.line(number);
        let marker = if marked { ">>>" } else { "   " };
        numbered(out, number, marker, line);
        if marked && first == last {
            carets(out, source, number, span);
        }
    }
    if end < last {
        let _ = writeln!(out, "     | ... {}", counted(last - end, "more line"));
    }
    let _ = writeln!(out, "{rule}");
}

/// One line of an excerpt.
fn numbered(out: &mut String, number: usize, marker: &str, line: &str) {
    let _ = writeln!(out, "{number:4} | {marker} {}", clipped(&masked(line)));
}

impl SourceFile {
    /// The lines `first` to `last` with some around them, as BuildKit's tools show a place: under
    /// the file's name, between two rules, marked with `>>>`. Ends with a line end.
    pub fn excerpt(&self, name: &str, first: usize, last: usize) -> String {
        let mut out = String::new();
        let rule = "-".repeat(20);
        let _ = writeln!(out, "{}:{first}\n{rule}", shown(name));
        // What follows the last line end counts as a line there.
        let count = self.text().split('\n').count();
        let last = last.min(count).min(first + MOST_EXCERPT);
        let (mut from, mut to, mut shown_around) = (first, last, 0);
        let around = if first == last { 4 } else { 2 };
        while shown_around < around {
            if from > 1 {
                from -= 1;
                shown_around += 1;
            }
            if to < count {
                to += 1;
                shown_around += 1;
            }
            shown_around += 1;
        }
        for number in from..=to {
            let is_marked = (first..=last).contains(&number);
            let marker = if is_marked { ">>>" } else { "   " };
            numbered(&mut out, number, marker, self.line(number));
        }
        let _ = writeln!(out, "{rule}");
        out
    }
}

/// A line of carets under the span, where it is on one line and not the whole line.
fn carets(out: &mut String, source: &SourceFile, number: usize, span: Span) {
    let Some(range) = source.line_range(number) else {
        return;
    };
    let line = source.line(number);
    let whole =
        span.start <= range.start + (line.len() - line.trim_start().len()) && span.end >= range.end;
    let before = source.text().get(range.start..span.start);
    let (Some(before), false) = (before, whole || span.is_empty()) else {
        return;
    };
    let column = before.chars().count();
    let width = source.slice(span).chars().count();
    if column + width > MOST_COLUMNS {
        return;
    }
    let indent: String = before
        .chars()
        .map(|letter| if letter == '\t' { '\t' } else { ' ' })
        .collect();
    let _ = writeln!(out, "     |     {indent}{}", "^".repeat(width));
}

/// A line as it is shown: cut at a bearable width, control characters made visible.
fn clipped(line: &str) -> String {
    let mut cut: String = line.chars().take(MOST_COLUMNS).map(visible).collect();
    if line.chars().nth(MOST_COLUMNS).is_some() {
        cut.push('…');
    }
    cut
}

/// A message as it is shown: hostile text inside can neither flood nor steer the terminal.
fn shown(message: &str) -> String {
    let mut cut: String = message.chars().take(MOST_MESSAGE).map(visible).collect();
    if message.chars().nth(MOST_MESSAGE).is_some() {
        cut.push('…');
    }
    cut
}

/// The picture of a control character; other characters as they are.
fn visible(letter: char) -> char {
    match letter {
        '\t' => '\t',
        '\u{7f}' => '\u{2421}',
        control if u32::from(control) < 0x20 => {
            char::from_u32(0x2400 + u32::from(control)).unwrap_or('\u{fffd}')
        }
        control if control.is_control() => '\u{fffd}',
        // Characters that turn the direction of writing can make an excerpt lie.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        other => other,
    }
}

/// All diagnostics, one below the other with an empty line between.
pub fn render_all(diagnostics: &[Diagnostic], source: &SourceFile) -> String {
    let rendered: Vec<String> = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.render(source))
        .collect();
    rendered.join("\n")
}
