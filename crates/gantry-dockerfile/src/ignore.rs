//! `.dockerignore`: which files of a build context do not exist for the build.
//!
//! One pattern a line. `*`, `?`, `[…]` and `\` as in [`crate::wildcard`]; `**` is any number of
//! directories; a pattern also covers everything below what it matches; `!` brings back what an
//! earlier line took; the last line that says something about a path decides. Lines that begin
//! with `#` are comments.
//!
//! The rules are those of the matcher that BuildKit uses, peculiarities included: a trailing `**`
//! does not match the directory itself, a leading `**` needs no `/` behind it, `\d`, `\s` and `\w`
//! are classes. One deviation: inside `[…]`, `*` and `?` stand for themselves.

use std::iter::Peekable;
use std::str::Chars;

use gantry_model::{Fault, FaultKind};

use crate::glob::{self, Class, Places, Token};
use crate::wildcard;

/// A line that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// `!` with nothing behind it.
    #[error("illegal exclusion pattern: \"!\"")]
    LoneExclamation,
    /// An open `[`, a `\` at the end, an escape that means nothing.
    #[error("syntax error in pattern '{pattern}'")]
    Malformed {
        /// The pattern.
        pattern: String,
    },
}

impl Fault for IgnoreError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["correct the line of the .dockerignore file".to_owned()]
    }
}

/// The patterns of a `.dockerignore` file, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IgnoreFile {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    /// `!`: brings back.
    exception: bool,
    form: Form,
}

/// How a pattern is matched.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Exact(String),
    Prefix(String),
    /// What stands behind a leading `**`.
    Suffix(String),
    Tokens(Vec<Token>),
}

/// What the patterns say about a directory, kept while its entries are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    matched: Vec<bool>,
    ignored: bool,
}

impl Verdict {
    /// Whether the path is ignored.
    pub fn is_ignored(&self) -> bool {
        self.ignored
    }
}

impl IgnoreFile {
    /// Reads a file; bytes that are not UTF-8 match nothing.
    ///
    /// # Errors
    /// A line that is no pattern.
    pub fn parse(content: &[u8]) -> Result<Self, IgnoreError> {
        let content = content
            .strip_prefix("\u{feff}".as_bytes())
            .unwrap_or(content);
        let text = String::from_utf8_lossy(content);
        let lines = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        Self::from_patterns(lines.filter(|line| !line.starts_with('#')))
    }

    /// From patterns that stand alone, such as those of `--exclude`.
    ///
    /// # Errors
    /// One that is no pattern.
    pub fn from_patterns<'p>(
        patterns: impl IntoIterator<Item = &'p str>,
    ) -> Result<Self, IgnoreError> {
        let patterns = patterns
            .into_iter()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        Ok(Self {
            patterns: patterns.map(Pattern::new).collect::<Result<_, _>>()?,
        })
    }

    /// Whether nothing is ever ignored.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns as they are matched, cleaned, exceptions with their `!`.
    pub fn patterns(&self) -> impl Iterator<Item = String> {
        self.patterns.iter().map(|pattern| {
            format!(
                "{}{}",
                if pattern.exception { "!" } else { "" },
                pattern.text
            )
        })
    }

    /// Whether a path, `/` between its components and none at its start, is ignored, by itself or
    /// with a directory above it.
    pub fn is_ignored(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        let mut ignored = false;
        for pattern in self.patterns.iter() {
            // A line that could not change anything is not asked.
            if pattern.exception == ignored && pattern.matches_with_parents(path) {
                ignored = !pattern.exception;
            }
        }
        ignored
    }

    /// The verdict on the context itself, where a walk begins.
    pub fn root(&self) -> Verdict {
        Verdict {
            matched: vec![false; self.patterns.len()],
            ignored: false,
        }
    }

    /// The verdict on an entry of a directory; `path` is the entry's whole path in the context.
    ///
    /// This is how BuildKit walks a context. It differs from [`IgnoreFile::is_ignored`] in one
    /// corner: an exception for a directory that was not ignored at that point does not reach
    /// down to entries that are ignored by a line of their own.
    pub fn entry(&self, directory: &Verdict, path: impl AsRef<[u8]>) -> Verdict {
        let path = path.as_ref();
        let mut verdict = self.root();
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = directory.matched.get(index).copied().unwrap_or(false);
            if inherited || (pattern.exception == verdict.ignored && pattern.matches(path)) {
                verdict.matched[index] = true;
                verdict.ignored = !pattern.exception;
            }
        }
        verdict
    }

    /// Whether something below a directory could be brought back by an exception.
    pub fn could_keep_below(&self, directory: impl AsRef<[u8]>) -> bool {
        let directory = directory.as_ref();
        self.patterns
            .iter()
            .any(|pattern| pattern.exception && pattern.could_match_below(directory))
    }

    /// Whether a walk need not enter a directory: it is ignored and so is all that is below.
    pub fn can_skip(&self, verdict: &Verdict, directory: impl AsRef<[u8]>) -> bool {
        verdict.ignored && !self.could_keep_below(directory)
    }
}

impl Pattern {
    fn new(line: &str) -> Result<Self, IgnoreError> {
        let (exception, body) = match line.strip_prefix('!') {
            Some(body) => (true, body.trim()),
            None => (false, line),
        };
        if body.is_empty() {
            return Err(IgnoreError::LoneExclamation);
        }
        let cleaned = clean(body);
        let text = match cleaned.strip_prefix('/') {
            Some(relative) if !relative.is_empty() => relative.to_owned(),
            _ => cleaned,
        };
        let malformed = || IgnoreError::Malformed {
            pattern: line.to_owned(),
        };
        wildcard::tokens(&mut text.chars().peekable()).map_err(|_| malformed())?;
        let form = form(&text).ok_or_else(malformed)?;
        Ok(Self {
            text,
            exception,
            form,
        })
    }

    /// Whether the pattern matches just this path.
    fn matches(&self, path: &[u8]) -> bool {
        match &self.form {
            Form::Exact(text) => text.as_bytes() == path,
            Form::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
            Form::Suffix(suffix) => {
                path.ends_with(suffix.as_bytes())
                    || suffix
                        .strip_prefix('/')
                        .is_some_and(|name| name.as_bytes() == path)
            }
            Form::Tokens(tokens) => glob::matches(tokens, path),
        }
    }

    /// Whether it matches the path or a directory above it.
    fn matches_with_parents(&self, path: &[u8]) -> bool {
        let parents = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| &path[..at]);
        parents.chain([path]).any(|path| self.matches(path))
    }

    /// Whether it could match anything below a directory.
    fn could_match_below(&self, directory: &[u8]) -> bool {
        let mut below = directory.to_vec();
        if !below.is_empty() {
            below.push(b'/');
        }
        match &self.form {
            Form::Exact(text) => text.len() > below.len() && text.as_bytes().starts_with(&below),
            Form::Prefix(prefix) => {
                let prefix = prefix.as_bytes();
                below.starts_with(prefix) || prefix.starts_with(&below)
            }
            Form::Suffix(_) => true,
            Form::Tokens(tokens) => {
                let mut places = Places::new(tokens);
                places.advance_all(&below) && places.can_go_on()
            }
        }
    }
}

/// How a cleaned pattern is matched; `None` where an escape means nothing.
fn form(pattern: &str) -> Option<Form> {
    let mut letters = pattern.chars().peekable();
    let mut tokens = Vec::new();
    // Which of the simpler forms it still could be.
    let (mut plain, mut leading, mut first) = (true, false, true);
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                let _ = letters.next_if_eq(&'/');
                if letters.peek().is_none() {
                    if plain && !leading && !first {
                        let prefix = pattern.trim_end_matches('*');
                        return Some(Form::Prefix(prefix.to_owned()));
                    }
                    tokens.push(Token::Rest);
                } else {
                    tokens.extend([Token::Perhaps, Token::Directories]);
                }
                if first {
                    leading = true;
                } else {
                    plain = false;
                }
            }
            '*' => {
                tokens.push(Token::Run);
                plain = false;
            }
            '?' => {
                tokens.push(Token::One);
                plain = false;
            }
            '[' => {
                tokens.push(Token::Class(ordered(glob::class(&mut letters).ok()?)?));
                plain = false;
            }
            '\\' => {
                tokens.push(escaped(&mut letters)?);
                plain = false;
            }
            other => tokens.push(Token::Letter(other)),
        }
        first = false;
    }
    Some(match (plain, leading) {
        (true, true) => Form::Suffix(pattern.get(2..).unwrap_or_default().to_owned()),
        (true, false) => Form::Exact(pattern.to_owned()),
        (false, _) => Form::Tokens(tokens),
    })
}

/// A class whose ranges run upwards.
fn ordered(class: Class) -> Option<Class> {
    class
        .ranges
        .iter()
        .all(|(low, high)| low <= high)
        .then_some(class)
}

/// What stands behind `\`: a sign stands for itself; of the letters some mean what they mean in a
/// regular expression, because one is what the original makes of the pattern.
fn escaped(letters: &mut Peekable<Chars<'_>>) -> Option<Token> {
    const DIGITS: &[(char, char)] = &[('0', '9')];
    const SPACES: &[(char, char)] = &[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')];
    const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('a', 'z'), ('_', '_')];
    Some(match letters.next()? {
        sign if sign.is_ascii() && !sign.is_ascii_alphanumeric() => Token::Letter(sign),
        'd' => Token::Class(Class::of(false, DIGITS)),
        'D' => Token::Class(Class::of(true, DIGITS)),
        's' => Token::Class(Class::of(false, SPACES)),
        'S' => Token::Class(Class::of(true, SPACES)),
        'w' => Token::Class(Class::of(false, WORD)),
        'W' => Token::Class(Class::of(true, WORD)),
        'a' => Token::Letter('\u{7}'),
        'f' => Token::Letter('\u{c}'),
        'n' => Token::Letter('\n'),
        'r' => Token::Letter('\r'),
        't' => Token::Letter('\t'),
        'v' => Token::Letter('\u{b}'),
        // Conditions on the place, of which none holds between two names of a path.
        'A' | 'B' | 'b' | 'z' => Token::Never,
        _ => return None,
    })
}

/// The shortest path of the same meaning, as Go's `filepath.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests;
