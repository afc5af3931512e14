//! One logical line: the lines of an instruction folded into one, with the way back to the file.

use std::ops::Range;

use crate::ast::Word;
use crate::source::Span;

/// The text of one instruction, continuations folded, comments gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogicalLine {
    text: String,
    /// Where each piece begins: offset in `text`, offset in the source.
    pieces: Vec<(usize, usize)>,
}

impl LogicalLine {
    /// Adds a piece of the source.
    pub(crate) fn push(&mut self, piece: &str, source_offset: usize) {
        if !piece.is_empty() {
            self.pieces.push((self.text.len(), source_offset));
            self.text.push_str(piece);
        }
    }

    /// The whole of it.
    pub(crate) fn whole(&self) -> Text<'_> {
        Text {
            line: self,
            start: 0,
            end: self.text.len(),
        }
    }

    /// The folded text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the byte at `at` of the folded text stands in the source.
    fn source_offset(&self, at: usize) -> usize {
        let index = self.pieces.partition_point(|(start, _)| *start <= at);
        match index
            .checked_sub(1)
            .and_then(|index| self.pieces.get(index))
        {
            Some((start, source)) => source + (at - start),
            None => 0,
        }
    }
}

/// A part of a logical line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    line: &'a LogicalLine,
    start: usize,
    end: usize,
}

impl<'a> Text<'a> {
    pub(crate) fn as_str(self) -> &'a str {
        self.line.text.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Where it stands in the source: from its first byte to its last, whatever was folded away
    /// between them included.
    pub(crate) fn span(self) -> Span {
        if self.is_empty() {
            let at = match self.start.checked_sub(1) {
                Some(before) => self.line.source_offset(before) + 1,
                None => self.line.source_offset(0),
            };
            return Span::new(at, at);
        }
        Span::new(
            self.line.source_offset(self.start),
            self.line.source_offset(self.end - 1) + 1,
        )
    }

    /// A word of it, as written.
    pub(crate) fn word(self) -> Word {
        Word::new(self.as_str(), self.span())
    }

    /// A part of it; `range` is relative to this text. An end within a character falls back to
    /// the character's start.
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        let end = self
            .line
            .text
            .floor_char_boundary((self.start + range.end).min(self.end));
        let start = (self.start + range.start).min(end);
        Self {
            line: self.line,
            start,
            end,
        }
    }

    /// Everything from `at`, relative to this text.
    pub(crate) fn from(self, at: usize) -> Self {
        self.part(at..self.end - self.start)
    }

    /// Without white space at both ends.
    pub(crate) fn trim(self) -> Self {
        let text = self.as_str();
        let left = text.len() - text.trim_start().len();
        let kept = text.trim().len();
        self.part(left..left + kept)
    }

    /// Splits at the first run of blanks: what stands before, and what behind it.
    pub(crate) fn split_blank(self) -> (Self, Option<Self>) {
        let text = self.as_str();
        let Some(at) = text.find(is_blank) else {
            return (self, None);
        };
        let rest = &text[at..];
        let behind = text.len() - rest.trim_start_matches(is_blank).len();
        (self.part(0..at), Some(self.from(behind)))
    }

    /// The words between runs of blanks.
    pub(crate) fn blank_separated(self) -> Vec<Self> {
        let text = self.as_str();
        let mut words = Vec::new();
        let mut at = 0;
        for piece in text.split(is_blank) {
            if !piece.is_empty() {
                words.push(self.part(at..at + piece.len()));
            }
            // Blanks are one byte each.
            at += piece.len() + 1;
        }
        words
    }
}

/// White space between the words of an instruction; other Unicode spaces are part of words.
pub(crate) fn is_blank(letter: char) -> bool {
    matches!(letter, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}
