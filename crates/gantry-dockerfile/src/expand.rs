//! `$variables` in words and instructions.
//!
//! What the forms mean: `$v` and `${v}` the value; `${v:-w}` the value, or `w` where it is unset
//! or empty; `${v-w}` where it is unset; `${v:+w}` and `${v+w}` the other way round; `${v:?w}` and
//! `${v?w}` fail with `w`; `${v#p}` and `${v##p}` without the shortest or longest beginning that
//! matches the pattern `p`; `${v%p}` and `${v%%p}` the same at the end; `${v/p/r}` the first match
//! replaced by `r`; `${v//p/r}` every match.

mod instruction;
mod pattern;
mod split;
pub(crate) mod word;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gantry_model::{Fault, FaultKind};

use crate::ast::Escape;
pub use instruction::{
    Expanded, ExpandedWord, expand_declaration, expand_instruction, expand_word, step_text,
};
use word::Options;

/// Where the values of variables come from.
pub trait Variables {
    /// The value of a variable; `None` where it is not set.
    fn value(&self, name: &str) -> Option<&str>;

    /// The names of all variables, for suggestions.
    fn names(&self) -> Vec<&str>;
}

impl Variables for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }

    fn names(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }
}

impl<S: std::hash::BuildHasher> Variables for HashMap<String, String, S> {
    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }

    fn names(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }
}

/// A list as in an image configuration; the last pair of a name counts.
impl Variables for [(String, String)] {
    fn value(&self, name: &str) -> Option<&str> {
        self.iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn names(&self) -> Vec<&str> {
        self.iter().map(|(key, _)| key.as_str()).collect()
    }
}

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// `${` without `}`.
    #[error("syntax error: missing '}}'")]
    MissingBrace,
    /// `${v/pattern` without a second `/`.
    #[error("syntax error: missing '/' in ${{}}")]
    MissingSlash,
    /// `${}`, `${:x}`, `${{`.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// `${v=w}` and other forms that do not exist here.
    #[error("unsupported modifier ({modifier}) in substitution")]
    UnsupportedModifier {
        /// What stands behind the name.
        modifier: String,
    },
    /// A quote without its partner.
    #[error("unexpected end of statement while looking for matching {quote}")]
    OpenQuote {
        /// `single-quote` or `double-quote`.
        quote: &'static str,
    },
    /// `${v:?message}` and the variable is not set or empty.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message of the file, or a plain one.
        message: String,
    },
    /// A pattern with an escape that escapes nothing.
    #[error("invalid pattern ({pattern}) in substitution: invalid escape")]
    InvalidPattern {
        /// The pattern.
        pattern: String,
    },
    /// Substitutions in substitutions, deeper than anyone means.
    #[error("substitutions are nested more than {limit} levels deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The result is too large.
    #[error("the expanded text is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The pattern takes too long.
    #[error("the pattern of a substitution takes too long on its value")]
    TooSlow,
}

impl Fault for ExpandError {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }
}

/// A word with its variables replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processed {
    /// The whole, white space kept.
    pub text: String,
    /// Variables that were used and set.
    pub used: BTreeSet<String>,
    /// Variables that were used without being set, save where the form asks whether they are
    /// (`${v:-w}`, `${v:+w}`).
    pub unset: BTreeSet<String>,
}

/// Replaces variables, and takes quotes and escapes away.
///
/// # Errors
/// See [`ExpandError`].
pub fn process_word(
    word: &str,
    variables: &dyn Variables,
    escape: Escape,
) -> Result<Processed, ExpandError> {
    let processed = word::process(word, variables, Options::new(escape))?;
    Ok(Processed {
        text: processed.text,
        used: processed.used,
        unset: processed.unset,
    })
}

/// The same, split into words at white space that is neither quoted nor escaped; white space
/// that comes out of variables splits too.
///
/// # Errors
/// See [`ExpandError`].
pub fn process_words(
    word: &str,
    variables: &dyn Variables,
    escape: Escape,
) -> Result<Vec<String>, ExpandError> {
    let processed = word::process(word, variables, Options::new(escape))?;
    Ok(processed.words.into_iter().map(|word| word.text).collect())
}

/// A text as a step shows it: variables replaced where they are set, quotes kept; text that cannot
/// be expanded as it stands. [`step_text`] does this for a whole instruction.
pub fn process_display(text: &str, variables: &dyn Variables, escape: Escape) -> String {
    let options = Options {
        raw_quotes: true,
        keep_unset: true,
        ..Options::new(escape)
    };
    word::process(text, variables, options)
        .map_or_else(|_| text.to_owned(), |processed| processed.text)
}

/// Replaces variables in the body of a heredoc: quotes stay, and `\` is the escape character
/// whatever the file says.
///
/// # Errors
/// See [`ExpandError`].
pub fn process_heredoc(body: &str, variables: &dyn Variables) -> Result<Processed, ExpandError> {
    let options = Options {
        quotes_are_text: true,
        ..Options::new(Escape::Backslash)
    };
    let processed = word::process(body, variables, options)?;
    Ok(Processed {
        text: processed.text,
        used: processed.used,
        unset: processed.unset,
    })
}

#[cfg(test)]
mod tests;
