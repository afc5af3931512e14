//! A source file, spans in it, lines and columns.

use std::ops::Range;

use crate::diagnostic::{Code, Diagnostic};

/// A range of bytes in a [`SourceFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset just behind the last byte.
    pub end: usize,
}

impl Span {
    /// The span from `start` up to, not including, `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// The smallest span that holds both.
    pub fn join(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether it holds no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A place as people count: both numbers begin at 1, the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Bytes that are no text.
#[derive(Debug, Clone)]
pub struct InvalidText {
    /// What is wrong, with its place in `source`.
    pub diagnostic: Diagnostic,
    /// The readable part.
    pub source: SourceFile,
}

/// A named text and the index of its lines.
///
/// The text is kept as it came, with its byte-order mark and its line ends.
#[derive(Debug, Clone)]
pub struct SourceFile {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

impl SourceFile {
    /// A source file from text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at + 1),
        );
        Self {
            name: name.into(),
            text,
            line_starts,
        }
    }

    /// A source file from bytes as they were read.
    ///
    /// # Errors
    /// Bytes that are not UTF-8 are refused.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Box<InvalidText>> {
        let name = name.into();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let bad = error.as_bytes().get(good).copied().unwrap_or_default();
                let line_end = error.as_bytes()[good..]
                    .iter()
                    .position(|byte| *byte == b'\n');
                let shown = line_end.map_or(error.as_bytes().len(), |at| good + at);
                let text = String::from_utf8_lossy(&error.as_bytes()[..shown]).into_owned();
                let source = Self::new(name, text);
                let span = Span::new(good, (good + '\u{fffd}'.len_utf8()).min(source.text.len()));
                let message = format!("byte {bad:#04x} at offset {good} is not UTF-8");
                let diagnostic = Diagnostic::error(Code::InvalidUtf8, message, span)
                    .with_hint("save the file as UTF-8");
                Err(Box::new(InvalidText { diagnostic, source }))
            }
        }
    }

    /// The name it is shown by, usually its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Number of lines; a final line end begins no further line.
    pub fn line_count(&self) -> usize {
        let last_is_empty = self.line_starts.last() == Some(&self.text.len());
        if last_is_empty && self.line_starts.len() > 1 {
            self.line_starts.len() - 1
        } else {
            self.line_starts.len()
        }
    }

    /// The text of a span; empty where the span does not lie in this file.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line, from 1, that holds the byte at `offset`.
    pub fn line_at(&self, offset: usize) -> usize {
        self.line_starts
            .partition_point(|start| *start <= offset)
            .max(1)
    }

    /// Behind the end of the line that holds the byte at `offset`.
    pub(crate) fn line_end(&self, offset: usize) -> usize {
        self.line_starts
            .get(self.line_at(offset))
            .copied()
            .unwrap_or(self.text.len())
    }

    /// The place of the byte at `offset`.
    pub fn position(&self, offset: usize) -> Position {
        let line = self.line_at(offset);
        let start = self.line_starts[line - 1];
        let before = self
            .text
            .get(start..offset.min(self.text.len()))
            .unwrap_or_default();
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }

    /// The bytes of a line, counted from 1, without its line end; `None` behind the last one.
    pub fn line_range(&self, line: usize) -> Option<Range<usize>> {
        let start = *self.line_starts.get(line.checked_sub(1)?)?;
        let end = self
            .line_starts
            .get(line)
            .map_or(self.text.len(), |next| next - 1);
        let end = if self.text.as_bytes().get(start..end)?.ends_with(b"\r") {
            end - 1
        } else {
            end
        };
        Some(start..end)
    }

    /// The text of a line, counted from 1, without its line end; empty behind the last one.
    pub fn line(&self, line: usize) -> &str {
        self.line_range(line)
            .and_then(|range| self.text.get(range))
            .unwrap_or_default()
    }

    /// First and last line, from 1, that a span touches.
    pub fn lines(&self, span: Span) -> (usize, usize) {
        let first = self.line_at(span.start);
        let last = if span.is_empty() {
            first
        } else {
            self.line_at(span.end - 1)
        };
        (first, last)
    }
}
