//! Rules over the tree: what builds but is probably not meant.
//!
//! Every rule is a function from the tree to warnings, with BuildKit's names and words. The rules
//! on variables walk each stage with the variables it would have; of a base image they know only
//! what the caller tells.

mod casing;
mod from;
mod settings;
mod stage;

use std::fmt;

use crate::ast::Dockerfile;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

pub use settings::{Settings, SettingsError, Skip};

/// A rule, by BuildKit's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Keywords of one file are in capitals, or all of them are not.
    ConsistentInstructionCasing,
    /// Two stages of one name.
    DuplicateStageName,
    /// `EXPOSE` of a mapping or an address.
    ExposeInvalidFormat,
    /// `EXPOSE` of a protocol in capitals.
    ExposeProtoCasing,
    /// `AS` is written as `FROM` is.
    FromAsCasing,
    /// `--platform` with a value that does not change.
    FromPlatformFlagConstDisallowed,
    /// The defaults of the arguments give no base.
    InvalidDefaultArgInFrom,
    /// `CMD` and `ENTRYPOINT` in shell form, where signals do not arrive.
    JSONArgsRecommended,
    /// `ENV` and `LABEL` without `=`.
    LegacyKeyValueFormat,
    /// `MAINTAINER`
    MaintainerDeprecated,
    /// Of several `CMD`, `ENTRYPOINT` or `HEALTHCHECK` of a stage only the last one counts.
    MultipleInstructionsDisallowed,
    /// Empty lines inside a continued instruction.
    NoEmptyContinuation,
    /// `--platform=$TARGETPLATFORM` is what happens anyhow.
    RedundantTargetPlatform,
    /// A stage called `scratch` or `context`.
    ReservedStageName,
    /// A variable whose name sounds like a secret.
    SecretsUsedInArgOrEnv,
    /// The name of a stage in capitals.
    StageNameCasing,
    /// `FROM` with a variable that no `ARG` above declares.
    UndefinedArgInFrom,
    /// A variable that is not set.
    UndefinedVar,
    /// A relative `WORKDIR` before any absolute one.
    WorkdirRelativePath,
}

impl Rule {
    /// Every rule, in the order of their names.
    pub const ALL: [Self; 19] = [
        Self::ConsistentInstructionCasing,
        Self::DuplicateStageName,
        Self::ExposeInvalidFormat,
        Self::ExposeProtoCasing,
        Self::FromAsCasing,
        Self::FromPlatformFlagConstDisallowed,
        Self::InvalidDefaultArgInFrom,
        Self::JSONArgsRecommended,
        Self::LegacyKeyValueFormat,
        Self::MaintainerDeprecated,
        Self::MultipleInstructionsDisallowed,
        Self::NoEmptyContinuation,
        Self::RedundantTargetPlatform,
        Self::ReservedStageName,
        Self::SecretsUsedInArgOrEnv,
        Self::StageNameCasing,
        Self::UndefinedArgInFrom,
        Self::UndefinedVar,
        Self::WorkdirRelativePath,
    ];

    /// The name, as `# check=skip=` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConsistentInstructionCasing => "ConsistentInstructionCasing",
            Self::DuplicateStageName => "DuplicateStageName",
            Self::ExposeInvalidFormat => "ExposeInvalidFormat",
            Self::ExposeProtoCasing => "ExposeProtoCasing",
            Self::FromAsCasing => "FromAsCasing",
            Self::FromPlatformFlagConstDisallowed => "FromPlatformFlagConstDisallowed",
            Self::InvalidDefaultArgInFrom => "InvalidDefaultArgInFrom",
            Self::JSONArgsRecommended => "JSONArgsRecommended",
            Self::LegacyKeyValueFormat => "LegacyKeyValueFormat",
            Self::MaintainerDeprecated => "MaintainerDeprecated",
            Self::MultipleInstructionsDisallowed => "MultipleInstructionsDisallowed",
            Self::NoEmptyContinuation => "NoEmptyContinuation",
            Self::RedundantTargetPlatform => "RedundantTargetPlatform",
            Self::ReservedStageName => "ReservedStageName",
            Self::SecretsUsedInArgOrEnv => "SecretsUsedInArgOrEnv",
            Self::StageNameCasing => "StageNameCasing",
            Self::UndefinedArgInFrom => "UndefinedArgInFrom",
            Self::UndefinedVar => "UndefinedVar",
            Self::WorkdirRelativePath => "WorkdirRelativePath",
        }
    }

    /// A warning of this rule.
    pub(crate) fn at(self, message: impl Into<String>, span: Span) -> Diagnostic {
        Diagnostic::warning(Code::Lint(self), message, span)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Most warnings about one file; looking for near names takes its time.
const MOST_WARNINGS: usize = 1000;

/// Variables and their values.
pub type Environment = Vec<(String, String)>;

/// What the rules know of the world outside the file.
pub struct Surroundings<'a> {
    /// The environment of a base image, by its name with variables replaced; `None` where it is
    /// not known: then nothing is said about variables that it may set.
    pub environment: &'a dyn Fn(&str) -> Option<Environment>,
    /// `--build-arg`, and the arguments that the builder sets (`TARGETPLATFORM` and its like).
    pub arguments: &'a [(String, String)],
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Surroundings")
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

/// All warnings about a file, in its order, the parser's among them, but those that the file's
/// own `# check=` or the caller skips.
pub fn check(
    file: &Dockerfile,
    surroundings: &Surroundings<'_>,
    settings: &Settings,
) -> Vec<Diagnostic> {
    let mut warnings = file.warnings.clone();
    casing::check(file, &mut warnings);
    from::check(file, surroundings, &mut warnings);
    stage::check(file, surroundings, &mut warnings);
    warnings.retain(|warning| match warning.code {
        Code::Lint(rule) => !settings.skips(rule),
        _ => true,
    });
    warnings.sort_by_key(|warning| warning.span.start);
    warnings
}

#[cfg(test)]
mod tests;
