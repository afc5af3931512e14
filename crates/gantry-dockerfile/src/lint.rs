//! Rules over the tree: what builds but is probably not meant.
//!
//! Every rule is a function from the tree to complaints. BuildKit's have its names, words and
//! conditions; Gantry's own stand in the folder `own`. The rules on variables walk each stage with the variables it would
//! have; of a base image they know only what the caller tells.

mod casing;
mod description;
mod fixes;
mod from;
mod own;
mod rule;
mod settings;
mod shell;
mod stage;

use std::fmt;

use crate::ast::Dockerfile;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span};

pub use from::global_scope;
pub use rule::{Origin, Rule};
pub use settings::{Choice, Settings, SettingsError};

/// Most complaints about one file; looking for near names takes its time.
const MOST_WARNINGS: usize = 1000;

/// Variables and their values.
pub type Environment = Vec<(String, String)>;

/// What the rules know of the build context.
#[derive(Clone, Copy)]
pub struct ContextView<'a> {
    /// The names at its top, ignored ones included.
    pub names: &'a [String],
    /// Whether the ignore file takes a path out, or a folder above it; relative, `/` between.
    pub ignored: &'a dyn Fn(&str) -> bool,
}

impl fmt::Debug for ContextView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ContextView")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// A base image that was made for another platform than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherPlatform {
    /// What it is for.
    pub actual: String,
    /// What it should be for.
    pub expected: String,
}

/// What the rules know of the world outside the file.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The environment of a base image, by its name with variables replaced; `None` where it is
    /// not known: then nothing is said about variables that it may set.
    pub environment: &'a dyn Fn(&str) -> Option<Environment>,
    /// Whether the base image of a stage, by its number and the name with variables replaced, is
    /// for another platform than the stage.
    pub other_platform: &'a dyn Fn(usize, &str) -> Option<OtherPlatform>,
    /// Whether a base of this name, variables replaced, is a context that has this name.
    pub named_context: &'a dyn Fn(&str) -> bool,
    /// `--build-arg`, and the arguments that the builder sets (`TARGETPLATFORM` and its like).
    pub arguments: &'a [(String, String)],
    /// The build context, where it was looked at.
    pub context: Option<ContextView<'a>>,
    /// Which stages the build needs; all of them where nothing is said. In the others only what
    /// BuildKit sees while it parses is complained about.
    pub needed: Option<&'a [bool]>,
}

impl<'a> Surroundings<'a> {
    /// Nothing is known but the arguments.
    pub fn of(arguments: &'a [(String, String)]) -> Self {
        Self {
            environment: &|_| None,
            other_platform: &|_, _| None,
            named_context: &|_| false,
            arguments,
            context: None,
            needed: None,
        }
    }

    fn needs(&self, stage: usize) -> bool {
        self.needed
            .is_none_or(|needed| needed.get(stage).copied().unwrap_or(true))
    }
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Surroundings")
            .field("arguments", &self.arguments)
            .field("needed", &self.needed)
            .finish_non_exhaustive()
    }
}

/// All complaints about a file, in its order, the parser's among them, but those that `settings`
/// skip. `source` is what the file was parsed from.
pub fn check(
    file: &Dockerfile,
    source: &SourceFile,
    surroundings: &Surroundings<'_>,
    settings: &Settings,
) -> Vec<Diagnostic> {
    let mut warnings = file.warnings.clone();
    casing::check(file, &mut warnings);
    description::check(file, &mut warnings);
    from::check(file, source, surroundings, &mut warnings);
    stage::check(file, source, surroundings, &mut warnings);
    own::check(file, source, surroundings, &mut warnings);
    warnings.retain(|warning| match warning.code {
        Code::Lint(rule) => settings.looks_for(rule),
        _ => true,
    });
    warnings.sort_by_key(|warning| warning.span.start);
    warnings.truncate(MOST_WARNINGS);
    warnings
}

/// First and last line, from 1, of the instruction that a complaint is about, as BuildKit counts
/// them: an empty line is told at the end of its instruction.
pub fn lines(file: &Dockerfile, source: &SourceFile, complaint: &Diagnostic) -> (usize, usize) {
    let span = file
        .instruction_span(complaint.span.start)
        .unwrap_or(complaint.span);
    let (first, last) = source.lines(span);
    match complaint.code {
        Code::Lint(Rule::NoEmptyContinuation) => (last, last),
        _ => (first, last),
    }
}

impl Dockerfile {
    /// The instruction that holds the byte at `offset`, whole.
    fn instruction_span(&self, offset: usize) -> Option<Span> {
        let inner = |stage: &crate::ast::Stage| {
            let inside = stage
                .instructions
                .iter()
                .map(|instruction| instruction.span);
            std::iter::once(stage.span)
                .chain(inside)
                .collect::<Vec<_>>()
        };
        let above = self.meta_args.iter().map(|instruction| instruction.span);
        above
            .chain(self.stages.iter().flat_map(inner))
            .find(|span| (span.start..span.end.max(span.start + 1)).contains(&offset))
    }
}

#[cfg(test)]
mod tests;
