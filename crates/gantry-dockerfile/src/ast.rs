//! The tree of a Dockerfile: stages, instructions and words, all with the place they came from.

mod command;
mod copy;
mod healthcheck;
mod run;

pub use command::{CommandLine, Heredoc};
pub use copy::{Add, Copy, CopySource};
pub use healthcheck::{Healthcheck, HealthcheckCommand};
pub use run::{
    BindMount, CacheMount, CacheSharing, Device, Mount, MountSpec, Network, Run, RunProgram,
    SecretMount, Security, SshMount, TmpfsMount,
};

use crate::diagnostic::Diagnostic;
use crate::resolve::StageNames;
use crate::source::Span;

/// A piece of text and where it stands.
///
/// Before expansion the value is as written (quotes, escapes and variables included), save where
/// the grammar itself takes quotes away (exec form, flags).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word {
    /// The text.
    pub value: String,
    /// Where it stands. After expansion: where the word stood that became this one.
    pub span: Span,
}

impl Word {
    /// A word at a place.
    pub fn new(value: impl Into<String>, span: Span) -> Self {
        Self {
            value: value.into(),
            span,
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

/// A parsed Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// Parser directives at the top.
    pub directives: Directives,
    /// Every `ARG` before the first `FROM`.
    pub meta_args: Vec<Instruction>,
    /// The stages, in order; at least one.
    pub stages: Vec<Stage>,
    /// What the parser complained about without refusing.
    pub warnings: Vec<Diagnostic>,
    /// Where the names of stages are found.
    pub(crate) names: StageNames,
}

/// Parser directives at the top of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the front end the file was written for.
    pub syntax: Option<Word>,
    /// `# escape=`: the character that escapes and that continues lines.
    pub escape: Escape,
    /// `# check=`: which lints to skip.
    pub check: Option<Word>,
}

/// The character that escapes and that continues lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// `\`, the usual one.
    #[default]
    Backslash,
    /// `` ` ``, for Windows paths.
    Backtick,
}

impl Escape {
    /// The character itself.
    pub fn char(self) -> char {
        match self {
            Self::Backslash => '\\',
            Self::Backtick => '`',
        }
    }
}

/// One `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The name after `AS`, as written; names are equal whatever their case.
    pub name: Option<Word>,
    /// The image, or the name of an earlier stage, as written.
    pub base: Word,
    /// `--platform`, as written.
    pub platform: Option<Word>,
    /// The `FROM` line as a step shows it.
    pub text: String,
    /// `FROM` as it was written.
    pub keyword: Word,
    /// `AS` as it was written.
    pub as_keyword: Option<Word>,
    /// The instructions after `FROM`.
    pub instructions: Vec<Instruction>,
    /// The `FROM` instruction.
    pub span: Span,
    /// The comment lines that stand directly above.
    pub comments: Vec<String>,
}

impl Stage {
    /// The name in the form that names are compared in.
    pub fn normal_name(&self) -> Option<String> {
        self.name.as_ref().map(|name| name.value.to_lowercase())
    }
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub kind: InstructionKind,
    /// Its text as a step shows it: continuations folded, comments gone, heredoc bodies left out.
    pub text: String,
    /// Its keyword as it was written.
    pub keyword: Word,
    /// Everything from the keyword to its last byte, heredoc bodies included.
    pub span: Span,
    /// The comment lines that stand directly above.
    pub comments: Vec<String>,
}

/// What an instruction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstructionKind {
    /// `ADD`
    Add(Add),
    /// `ARG`
    Arg(Vec<ArgDeclaration>),
    /// `CMD`
    Cmd(CommandLine),
    /// `COPY`
    Copy(Copy),
    /// `ENTRYPOINT`
    Entrypoint(CommandLine),
    /// `ENV`
    Env(Vec<KeyValue>),
    /// `EXPOSE`: ports and ranges, see [`crate::port`].
    Expose(Vec<Word>),
    /// `HEALTHCHECK`
    Healthcheck(Healthcheck),
    /// `LABEL`
    Label(Vec<KeyValue>),
    /// `MAINTAINER`
    Maintainer(Word),
    /// `ONBUILD`
    Onbuild(Onbuild),
    /// `RUN`
    Run(Run),
    /// `SHELL`
    Shell(Vec<Word>),
    /// `STOPSIGNAL`
    StopSignal(Word),
    /// `USER`
    User(Word),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `WORKDIR`
    Workdir(Word),
}

impl InstructionKind {
    /// The instruction's name in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// One pair of `ENV` or `LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The name.
    pub key: Word,
    /// The value.
    pub value: Word,
    /// Written without `=`, in the old form that takes one pair only.
    pub legacy: bool,
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgDeclaration {
    /// The name.
    pub name: Word,
    /// The default, where one is given.
    pub default: Option<Word>,
}

/// `ONBUILD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The trigger as the image configuration stores it (heredoc bodies included); read it back
    /// with [`crate::parse_trigger`].
    pub trigger: String,
    /// The trigger, already parsed.
    pub instruction: Box<Instruction>,
}
