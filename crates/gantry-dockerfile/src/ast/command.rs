//! Command lines and heredocs.

use super::Word;
use crate::source::Span;

/// A command line in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// Shell form: one string for the shell, never expanded by the builder.
    Shell(Word),
    /// Exec form, a JSON array: the arguments as they are.
    Exec(Vec<Word>),
}

impl CommandLine {
    /// Whether nothing is to be run.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Shell(script) => script.value.is_empty(),
            Self::Exec(arguments) => arguments.is_empty(),
        }
    }

    /// The arguments to run: the exec form as it is, the shell form as the last argument of
    /// `shell`.
    pub fn arguments<S: AsRef<str>>(&self, shell: &[S]) -> Vec<String> {
        match self {
            Self::Exec(arguments) => arguments.iter().map(|word| word.value.clone()).collect(),
            Self::Shell(script) => shell
                .iter()
                .map(|word| word.as_ref().to_owned())
                .chain([script.value.clone()])
                .collect(),
        }
    }
}

/// A heredoc: `<<EOF` and the lines up to `EOF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes; for `COPY` and `ADD` also the file name.
    pub name: String,
    /// The number before `<<`, 0 without one.
    pub descriptor: u32,
    /// `<<-`: leading tabs are taken off every line.
    pub strip_tabs: bool,
    /// Whether variables in the body are expanded (`COPY` and `ADD` only): the delimiter is not
    /// quoted.
    pub expand: bool,
    /// The body as written, with its line ends and leading tabs.
    pub content: String,
    /// The marker, `<<EOF`.
    pub span: Span,
    /// The body.
    pub content_span: Span,
    /// The line that ends it.
    pub end_span: Span,
}

impl Heredoc {
    /// The body, without leading tabs where `<<-` asked for that.
    pub fn body(&self) -> String {
        if !self.strip_tabs {
            return self.content.clone();
        }
        self.content
            .split_inclusive('\n')
            .map(|line| line.trim_start_matches('\t'))
            .collect()
    }
}
