//! A place in a text that moves on, and the small words of the language.

use std::sync::Arc;

use gantry_dockerfile::Span;

use super::ast::{Expr, ExprKind};
use super::{Fault, Parsed};

/// Most expressions inside one another.
const DEEPEST: usize = 128;

/// A place in a text.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
    /// Behind the last byte that may be read.
    end: usize,
    /// Where everything is said to be, when the text is not the file itself.
    fixed: Option<Span>,
    /// Whether line ends count as white space.
    across_lines: bool,
    depth: usize,
}

impl<'t> Cursor<'t> {
    /// At the beginning of a file.
    pub(super) fn new(text: &'t str) -> Self {
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self {
            text,
            at,
            end: text.len(),
            fixed: None,
            across_lines: false,
            depth: 0,
        }
    }

    /// At the beginning of a text that was written at `place` in another form.
    pub(super) fn inside(text: &'t str, place: Span) -> Self {
        Self {
            at: 0,
            fixed: Some(place),
            across_lines: true,
            ..Self::new(text)
        }
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The place from `start` to here.
    pub(super) fn since(&self, start: usize) -> Span {
        self.fixed.unwrap_or_else(|| Span::new(start, self.at))
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    /// The text from `start` to here.
    pub(super) fn taken(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The next character.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next character.
    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Takes that many bytes.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.end);
    }

    /// Takes `word` if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let there = self.rest().starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    /// Takes `word` behind white space, or says what is there instead.
    pub(super) fn expect(&mut self, word: &str, why: &str) -> Parsed<()> {
        self.skip();
        if self.eat(word) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{word}` {why}")))
    }

    /// Whether `word` comes next.
    pub(super) fn sees(&self, word: &str) -> bool {
        self.rest().starts_with(word)
    }

    /// A fault at the next character.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        let length = self.peek().map_or(0, char::len_utf8);
        self.fault_at(Span::new(self.at, self.at + length), message)
    }

    /// A fault at a place.
    pub(super) fn fault_at(&self, span: Span, message: impl Into<String>) -> Fault {
        Fault {
            message: message.into(),
            span: self.fixed.unwrap_or(span),
            hint: None,
        }
    }

    /// Something else was expected here.
    pub(super) fn unexpected(&self, wanted: &str) -> Fault {
        match self.peek() {
            None => self.fault(format!("{wanted} is expected, but the text ends here")),
            Some('\n' | '\r') => {
                self.fault(format!("{wanted} is expected, but the line ends here"))
            }
            Some(other) => self.fault(format!("{wanted} is expected, not {other:?}")),
        }
    }

    /// Passes white space and comments, line ends too where they count as such.
    pub(super) fn skip(&mut self) {
        loop {
            let rest = self.rest();
            match rest.as_bytes() {
                [b' ' | b'\t' | b'\r', ..] => self.at += 1,
                [b'\n', ..] if self.across_lines => self.at += 1,
                [b'#', ..] | [b'/', b'/', ..] => {
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                [b'/', b'*', ..] => {
                    self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
                }
                _ => return,
            }
        }
    }

    /// Passes white space, comments and line ends.
    pub(super) fn skip_all(&mut self) {
        self.with_lines(true, |cursor| cursor.skip());
    }

    /// Does something while line ends count as white space, or while they do not.
    pub(super) fn with_lines<T>(&mut self, across: bool, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.across_lines, across);
        let done = work(self);
        self.across_lines = before;
        done
    }

    /// Does something with the text ending at `end`.
    pub(super) fn until<T>(&mut self, end: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.end, end);
        let done = work(self);
        self.end = before;
        done
    }

    /// Does something one level deeper.
    pub(super) fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST {
            return Err(self.fault(format!("more than {DEEPEST} levels inside one another")));
        }
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        done
    }

    /// An expression, if it is not too deep.
    pub(super) fn made(&self, kind: ExprKind, start: usize) -> Parsed<Expr> {
        let made = Expr::new(kind, self.since(start));
        if made.depth > 2 * DEEPEST {
            let message = format!("more than {} operations inside one another", 2 * DEEPEST);
            return Err(self.fault_at(Span::new(start, self.at), message));
        }
        Ok(made)
    }

    /// An identifier; `-` may be inside one.
    pub(super) fn identifier(&mut self) -> Option<Arc<str>> {
        let rest = self.rest();
        if !rest.starts_with(begins_identifier) {
            return None;
        }
        let length = rest
            .find(|letter: char| {
                !(begins_identifier(letter) || letter.is_numeric() || letter == '-')
            })
            .unwrap_or(rest.len());
        self.at += length;
        Some(Arc::from(&rest[..length]))
    }

    /// Whether the identifier `word` comes next; takes it then.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let start = self.at;
        if self.identifier().as_deref() == Some(word) {
            return true;
        }
        self.at = start;
        false
    }

    /// Goes back to an earlier place.
    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
    }
}

fn begins_identifier(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}
