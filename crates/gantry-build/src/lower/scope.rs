//! What can be used before the first `FROM`: platforms and global arguments.

use std::collections::BTreeSet;

use gantry_dockerfile::argument::Scope;
use gantry_dockerfile::ast::{ArgDeclaration, Escape, InstructionKind};
use gantry_dockerfile::expand::{expand_declaration, expand_word, process_word};
use gantry_dockerfile::{Diagnostic, Dockerfile, SourceFile, Variables, Word};
use gantry_model::Platform;

use super::Settings;
use crate::error::BuildError;

/// The global scope: an `ARG` without a default in a stage takes its value from here.
#[derive(Debug)]
pub(crate) struct Globals {
    scope: Scope,
    /// The stage that is built, as `TARGETSTAGE` names it.
    stage: String,
}

impl Globals {
    /// The scope before the first `FROM`, and the names its `ARG`s declare.
    pub(super) fn new(
        dockerfile: &Dockerfile,
        source: &SourceFile,
        settings: &Settings,
    ) -> Result<(Self, BTreeSet<String>), BuildError> {
        let mut scope = Scope::default();
        let stage = target_stage(dockerfile, settings.target.as_deref());
        for (name, value) in own_arguments(settings, &stage) {
            let value = settings.build_args.get(name).cloned().unwrap_or(value);
            scope.set_environment(name, value);
        }
        let mut declared = BTreeSet::new();
        for instruction in &dockerfile.meta_args {
            let InstructionKind::Arg(declarations) = &instruction.kind else {
                continue;
            };
            for declaration in declarations {
                let name = declaration.name.value.clone();
                let value = match settings.build_args.get(&name) {
                    Some(given) => Some(given.clone()),
                    None => default(declaration, &scope, dockerfile.directives.escape)
                        .map_err(|diagnostic| BuildError::dockerfile(source, &[diagnostic]))?,
                };
                if let Some(value) = value {
                    scope.set_environment(name.clone(), value);
                }
                declared.insert(name);
            }
        }
        Ok((Self { scope, stage }, declared))
    }

    /// The variables of a word that have no value, or an empty one.
    pub(super) fn empty_variables(&self, word: &str, escape: Escape) -> Vec<String> {
        let processed = process_word(word, &self.scope, escape).unwrap_or_default();
        let names = processed.used.into_iter().chain(processed.unset);
        names
            .filter(|name| self.scope.value(name).is_none_or(str::is_empty))
            .collect()
    }

    /// The value of a global argument.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.scope.value(name)
    }

    /// What the client gives and the builder sets.
    pub(super) fn arguments(&self, settings: &Settings) -> Vec<(String, String)> {
        let given = settings
            .build_args
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        let own = own_arguments(settings, &self.stage)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        own.chain(given).collect()
    }

    /// A word of a `FROM`, variables replaced.
    pub(super) fn word(&self, word: &Word, escape: Escape) -> Result<Word, Diagnostic> {
        expand_word(word, &self.scope, escape).map(|expanded| expanded.word)
    }
}

/// The default of an `ARG`, variables replaced.
pub(super) fn default(
    declaration: &ArgDeclaration,
    variables: &dyn Variables,
    escape: Escape,
) -> Result<Option<String>, Diagnostic> {
    let (expanded, _unset) = expand_declaration(declaration, variables, escape)?;
    Ok(expanded.default.map(|default| default.value))
}

fn own_arguments(settings: &Settings, stage: &str) -> Vec<(&'static str, String)> {
    platform_arguments(&settings.build_platform, &settings.target_platform, stage)
}

/// The value of `TARGETSTAGE`: what is asked for, else the name of the last stage.
pub(crate) fn target_stage(dockerfile: &Dockerfile, target: Option<&str>) -> String {
    let last = || Some(dockerfile.stages.last()?.name.as_ref()?.as_str());
    target.or_else(last).unwrap_or("default").to_owned()
}

/// The arguments that the builder sets itself.
pub(crate) fn platform_arguments(
    build: &Platform,
    target: &Platform,
    stage: &str,
) -> Vec<(&'static str, String)> {
    let variant = |platform: &Platform| platform.variant.clone().unwrap_or_default();
    vec![
        ("BUILDPLATFORM", build.to_string()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", variant(build)),
        ("TARGETPLATFORM", target.to_string()),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", variant(target)),
        ("TARGETSTAGE", stage.to_owned()),
    ]
}
