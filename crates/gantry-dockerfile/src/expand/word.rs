//! The lexer of one word: quotes, escapes, substitutions.

use std::collections::BTreeSet;

use super::pattern::Pattern;
use super::split::{Split, Words};
use super::{ExpandError, Variables};
use crate::ast::Escape;

/// Deepest nesting of substitutions.
const DEEPEST: usize = 100;
/// Most bytes that variables may add to one word.
const LARGEST: usize = 16 << 20;

/// How a word is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) escape: char,
    /// Quotes guard white space and stay in the result.
    pub(crate) raw_quotes: bool,
    /// Escape characters stay in the result.
    pub(crate) raw_escapes: bool,
    /// Quotes mean nothing.
    pub(crate) quotes_are_text: bool,
    /// References to unset variables stay as they are.
    pub(crate) keep_unset: bool,
}

impl Options {
    pub(crate) fn new(escape: Escape) -> Self {
        Self {
            escape: escape.char(),
            raw_quotes: false,
            raw_escapes: false,
            quotes_are_text: false,
            keep_unset: false,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Processed {
    pub(crate) text: String,
    pub(crate) words: Vec<Split>,
    pub(crate) used: BTreeSet<String>,
    pub(crate) unset: BTreeSet<String>,
}

/// Reads a text.
pub(crate) fn process(
    text: &str,
    variables: &dyn Variables,
    options: Options,
) -> Result<Processed, ExpandError> {
    let mut lexer = Lexer {
        rest: text,
        length: text.len(),
        variables,
        options,
        depth: 0,
        added: 0,
        used: BTreeSet::new(),
        unset: BTreeSet::new(),
    };
    let mut words = Words::default();
    let text = lexer.until(None, options.raw_escapes, Some(&mut words))?;
    Ok(Processed {
        text,
        words: words.finish(),
        used: lexer.used,
        unset: lexer.unset,
    })
}

struct Lexer<'a> {
    rest: &'a str,
    length: usize,
    variables: &'a dyn Variables,
    options: Options,
    depth: usize,
    added: usize,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next();
        self.rest = letters.as_str();
        letter
    }

    fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    /// Reads up to a character, which is taken, or to the end.
    fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
        mut words: Option<&mut Words>,
    ) -> Result<String, ExpandError> {
        let outer_raw_escapes = std::mem::replace(&mut self.options.raw_escapes, raw_escapes);
        let mut result = String::new();
        while let Some(letter) = self.peek() {
            let at = self.at();
            if Some(letter) == stop {
                self.next();
                self.options.raw_escapes = outer_raw_escapes;
                return Ok(result);
            }
            match letter {
                '$' => {
                    let value = self.substitution()?;
                    if let Some(words) = words.as_deref_mut() {
                        value.chars().for_each(|letter| words.push(letter, at));
                    }
                    append(&mut result, value);
                }
                '\'' | '"' if !self.options.quotes_are_text => {
                    let value = if letter == '"' {
                        self.double_quoted()?
                    } else {
                        self.single_quoted()?
                    };
                    if let Some(words) = words.as_deref_mut() {
                        words.push_raw_str(&value, at);
                    }
                    append(&mut result, value);
                }
                '<' => {
                    let value = self.angle();
                    if let Some(words) = words.as_deref_mut() {
                        words.push_raw_str(value, at);
                    }
                    result.push_str(value);
                }
                _ => self.plain(letter, at, &mut result, words.as_deref_mut()),
            }
        }
        self.options.raw_escapes = outer_raw_escapes;
        // What is missing, the caller knows.
        if stop.is_some() {
            Err(ExpandError::MissingBrace)
        } else {
            Ok(result)
        }
    }

    /// `<`, or `<<` with the white space behind it: between the sign of a heredoc and its name
    /// there may be some, and both are one word.
    fn angle(&mut self) -> &'a str {
        let text = self.rest;
        let length = match text.strip_prefix("<<") {
            Some(behind) => text.len() - behind.trim_start_matches([' ', '\t', '\r', '\n']).len(),
            None => 1,
        };
        let (angle, rest) = text.split_at(length);
        self.rest = rest;
        angle
    }

    /// A character without meaning, or the escape character and what it escapes.
    fn plain(&mut self, letter: char, at: usize, result: &mut String, words: Option<&mut Words>) {
        self.next();
        if letter != self.options.escape {
            result.push(letter);
            if let Some(words) = words {
                words.push(letter, at);
            }
            return;
        }
        let kept = self.options.raw_escapes.then_some(letter);
        let escaped = self.next();
        result.extend(kept.into_iter().chain(escaped));
        if let Some(words) = words {
            for letter in kept.into_iter().chain(escaped) {
                words.push_raw(letter, at);
            }
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let body = self.rest.get(1..).unwrap_or_default();
        let Some(end) = body.find('\'') else {
            return Err(ExpandError::OpenQuote {
                quote: "single-quote",
            });
        };
        self.rest = &body[end + 1..];
        let value = &body[..end];
        Ok(if self.options.raw_quotes {
            format!("'{value}'")
        } else {
            value.to_owned()
        })
    }

    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut result = String::new();
        let raw = self.options.raw_quotes.then_some('"');
        self.next();
        result.extend(raw);
        loop {
            match self.peek() {
                None => {
                    return Err(ExpandError::OpenQuote {
                        quote: "double-quote",
                    });
                }
                Some('"') => {
                    self.next();
                    result.extend(raw);
                    return Ok(result);
                }
                Some('$') => {
                    let value = self.substitution()?;
                    append(&mut result, value);
                }
                Some(letter) => {
                    self.next();
                    if letter == self.options.escape {
                        self.escaped_in_quotes(letter, &mut result);
                    } else {
                        result.push(letter);
                    }
                }
            }
        }
    }

    /// In double quotes only the quote, `$` and the escape character itself can be escaped;
    /// before anything else the escape character is text.
    fn escaped_in_quotes(&mut self, escape: char, result: &mut String) {
        if self.options.raw_escapes {
            result.push(escape);
        }
        match self.peek() {
            None => {}
            Some(next) if next == '"' || next == '$' || next == escape => {
                result.extend(self.next());
            }
            Some(_) => result.push(escape),
        }
    }

    /// Everything that begins with `$`.
    fn substitution(&mut self) -> Result<String, ExpandError> {
        if self.depth >= DEEPEST {
            return Err(ExpandError::TooDeep { limit: DEEPEST });
        }
        self.depth += 1;
        self.next();
        let result = if self.peek() == Some('{') {
            self.braced()
        } else {
            self.bare()
        };
        self.depth -= 1;
        let value = result?;
        self.added += value.len();
        if self.added > LARGEST.max(self.length.saturating_mul(2)) {
            return Err(ExpandError::TooLarge { limit: LARGEST });
        }
        Ok(value)
    }

    /// `$name`
    fn bare(&mut self) -> Result<String, ExpandError> {
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match self.lookup(name) {
            Some(value) => value.to_owned(),
            None if self.options.keep_unset => format!("${name}"),
            None => {
                self.note_unset(name);
                String::new()
            }
        })
    }

    /// `${…}`
    fn braced(&mut self) -> Result<String, ExpandError> {
        self.next();
        match self.peek() {
            None => return Err(ExpandError::MissingBrace),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err(ExpandError::MissingBrace),
            Some('}') => Ok(match self.lookup(name) {
                Some(value) => value.to_owned(),
                None if self.options.keep_unset => format!("${{{name}}}"),
                None => {
                    self.note_unset(name);
                    String::new()
                }
            }),
            Some(':') => match self.next() {
                Some(operator @ ('-' | '+' | '?')) => self.conditional(name, operator, true),
                Some(other) => Err(ExpandError::UnsupportedModifier {
                    modifier: format!(":{other}"),
                }),
                None => Err(ExpandError::MissingBrace),
            },
            Some(operator @ ('-' | '+' | '?')) => self.conditional(name, operator, false),
            Some(operator @ ('#' | '%')) => self.trimmed(name, operator),
            Some('/') => self.replaced(name),
            Some(other) => Err(ExpandError::UnsupportedModifier {
                modifier: other.to_string(),
            }),
        }
    }

    /// `${name-word}`, `${name+word}`, `${name?word}`, each with `:` too.
    fn conditional(
        &mut self,
        name: &str,
        operator: char,
        empty_is_unset: bool,
    ) -> Result<String, ExpandError> {
        let word = self.until(Some('}'), false, None)?;
        let value = self.lookup(name);
        let colon = if empty_is_unset { ":" } else { "" };
        if value.is_none() && self.options.keep_unset {
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        let present = value.filter(|value| !(empty_is_unset && value.is_empty()));
        match (operator, present) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(present)) => Ok(present.to_owned()),
            (_, None) => {
                let plain = if value.is_none() {
                    "is not allowed to be unset"
                } else {
                    "is not allowed to be empty"
                };
                let message = if word.is_empty() {
                    plain.to_owned()
                } else {
                    word
                };
                Err(ExpandError::Required {
                    name: name.to_owned(),
                    message,
                })
            }
        }
    }

    /// `${name#pattern}`, `${name%pattern}`, the operator doubled for the longest match.
    fn trimmed(&mut self, name: &str, operator: char) -> Result<String, ExpandError> {
        let word = self.until(Some('}'), true, None)?;
        let Some(value) = self.lookup(name) else {
            if self.options.keep_unset {
                return Ok(format!("${{{name}{operator}{word}}}"));
            }
            self.note_unset(name);
            return Ok(String::new());
        };
        let (longest, pattern) = word
            .strip_prefix(operator)
            .map_or((false, word.as_str()), |rest| (true, rest));
        let pattern = Pattern::new(pattern)?;
        let kept = if operator == '#' {
            pattern.trim_start(value, longest)?
        } else {
            pattern.trim_end(value, longest)?
        };
        Ok(kept.to_owned())
    }

    /// `${name/pattern/replacement}`, the first `/` doubled for every match.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let at_end = |error, missing| {
            if matches!(error, ExpandError::MissingBrace) {
                missing
            } else {
                error
            }
        };
        let pattern = self
            .until(Some('/'), true, None)
            .map_err(|error| at_end(error, ExpandError::MissingSlash))?;
        let replacement = self.until(Some('}'), true, None)?;
        let Some(value) = self.lookup(name) else {
            if self.options.keep_unset {
                return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
            }
            self.note_unset(name);
            Pattern::new(&pattern)?;
            return Ok(String::new());
        };
        let pattern = Pattern::new(&pattern)?;
        if all {
            pattern.replace_all(value, &replacement, LARGEST)
        } else {
            pattern.replace_first(value, &replacement)
        }
    }

    /// A name: letters, digits and `_`; or digits only; or one special parameter of the shell.
    fn name(&mut self) -> &'a str {
        let text = self.rest;
        let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = match text.chars().next() {
            Some(first) if first.is_numeric() => text.find(|letter: char| !letter.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            Some(_) => text.find(|letter| !is_letter(letter)),
            None => Some(0),
        };
        let (name, rest) = text.split_at(length.unwrap_or(text.len()));
        self.rest = rest;
        name
    }

    fn lookup(&mut self, name: &str) -> Option<&'a str> {
        let value = self.variables.value(name)?;
        if !self.used.contains(name) {
            self.used.insert(name.to_owned());
        }
        Some(value)
    }

    fn note_unset(&mut self, name: &str) {
        if !self.unset.contains(name) {
            self.unset.insert(name.to_owned());
        }
    }
}

/// Appends without copying where there is nothing yet.
fn append(result: &mut String, value: String) {
    if result.is_empty() {
        *result = value;
    } else {
        result.push_str(&value);
    }
}
