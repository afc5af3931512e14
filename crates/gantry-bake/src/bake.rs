//! From texts to targets.

mod config;
mod links;
mod select;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gantry_dockerfile::SourceFile;
use serde::Serialize;

use crate::compose;
use crate::definitions::Definitions;
use crate::error::{BakeError, Result};
use crate::resolver::Resolver;
use crate::surroundings::Surroundings;
use crate::syntax;
use crate::target::Target;
use crate::target::decode::Group;
use crate::target::overrides::Overrides;
use config::Config;

/// Stack of an evaluation: its depth is bounded, but not as narrowly as the stack of every thread.
const STACK: usize = 256 << 20;
/// Most bytes of a file.
const LARGEST_FILE: usize = 8 << 20;

/// A file as it was read.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path, or `-`; how it ends says what it is written in.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The files; later ones come before earlier ones.
    pub files: Vec<File>,
    /// Names of targets and groups, or patterns of such; `default` without.
    pub targets: Vec<String>,
    /// `TARGETS.KEY=VALUE`
    pub overrides: Vec<String>,
}

/// What is to be built. Serialised, it is what `--print` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Baked {
    /// The groups that were asked for; `default` has what was named.
    #[serde(rename = "group", skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Group>,
    /// The targets, and those that their contexts name.
    #[serde(rename = "target")]
    pub targets: BTreeMap<String, Target>,
    /// Where these are defined: `docker-bake.hcl:4`. Services of Compose files are not in it.
    #[serde(skip)]
    pub places: BTreeMap<String, String>,
}

/// What the files define, for `--list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Variables by name.
    pub variables: Vec<VariableRow>,
    /// Targets and groups by name: the description, and whether it is a group.
    pub targets: Vec<TargetRow>,
}

/// A variable in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariableRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its type, where it is said.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its value as a text; `None` where it is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A target or group in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetRow {
    /// Its name.
    pub name: String,
    /// What it is for; for a group with the targets.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it is a group.
    #[serde(skip_serializing_if = "is_false")]
    pub group: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(truth: &bool) -> bool {
    !truth
}

/// The targets of a request.
///
/// # Errors
/// A file is wrong, something that is asked for does not exist, or the evaluation takes too much.
pub fn evaluate(request: &Request, surroundings: &Surroundings) -> Result<Baked> {
    on_a_deep_stack(|| {
        let (config, _) = read(&request.files, surroundings)?;
        let names = select::names(&config, &request.targets)?;
        let overrides = select::overrides(&config, &request.overrides, surroundings)?;
        links::bake(&config, &names, &overrides)
    })
}

/// What the files define.
///
/// # Errors
/// As [`evaluate`].
pub fn define(files: &[File], surroundings: &Surroundings) -> Result<Definition> {
    on_a_deep_stack(|| {
        let (config, variables) = read(files, surroundings)?;
        Ok(Definition {
            variables,
            targets: config.rows(),
        })
    })
}

fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("bake".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| BakeError::new(format!("cannot start a thread: {error}")))?;
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Hcl,
    Json,
    Compose,
}

/// How the name ends decides; else the text: JSON begins with a brace, and Compose files have
/// `services` at the beginning of a line.
fn language(source: &SourceFile) -> Language {
    let name = source.name().to_lowercase();
    let ending = Path::new(&name)
        .extension()
        .and_then(|ending| ending.to_str());
    match ending {
        Some("hcl") => return Language::Hcl,
        Some("json") => return Language::Json,
        Some("yml" | "yaml") => return Language::Compose,
        _ => {}
    }
    if source.text().trim_start().starts_with('{') {
        return Language::Json;
    }
    let is_services = |line: &str| line.trim_end() == "services:";
    if source.text().lines().any(is_services) {
        return Language::Compose;
    }
    Language::Hcl
}

/// Reads and evaluates all files. Compose files come first, whatever their place.
fn read(files: &[File], surroundings: &Surroundings) -> Result<(Config, Vec<VariableRow>)> {
    let mut definitions = Definitions::default();
    let mut services = Vec::new();
    for file in files {
        if file.bytes.len() > LARGEST_FILE {
            let message = format!("{} is larger than {LARGEST_FILE} bytes", file.name);
            return Err(BakeError::new(message));
        }
        let source =
            SourceFile::from_bytes(file.name.as_str(), file.bytes.clone()).map_err(|invalid| {
                let source = Arc::new(invalid.source);
                BakeError::new(invalid.diagnostic.message).at(&source, invalid.diagnostic.span)
            })?;
        let source = Arc::new(source);
        match language(&source) {
            Language::Hcl => definitions.add(&source, syntax::parse_hcl(&source)?, false)?,
            Language::Json => definitions.add(&source, syntax::parse_json(&source)?, true)?,
            Language::Compose => services.push(source),
        }
    }
    let mut config = Config::default();
    if !services.is_empty() {
        compose::add(&services, surroundings, &mut |name, target| {
            config.add_service(name, target);
        })?;
    }
    check_settings(&definitions, &services, surroundings)?;
    let resolver = Resolver::new(definitions, surroundings);
    resolver.check_variables()?;
    config.add_blocks(&resolver)?;
    Ok((config, rows(&resolver)?))
}

/// Refuses to set a variable that no file has.
fn check_settings(
    definitions: &Definitions,
    services: &[Arc<SourceFile>],
    surroundings: &Surroundings,
) -> Result<()> {
    let known = || {
        let variables = definitions.variables.keys();
        variables
            .chain(definitions.globals.keys())
            .map(AsRef::as_ref)
    };
    let is_known = |name: &str| known().any(|known| known == name);
    for name in surroundings.variables.keys() {
        let of_json = name.strip_suffix("_JSON");
        let is_in_services = || {
            services
                .iter()
                .any(|source| source.text().contains(name.as_str()))
        };
        if !is_known(name) && !of_json.is_some_and(is_known) && !is_in_services() {
            let message = format!("there is no variable {name} that --var could set");
            return Err(BakeError::new(message)
                .suggesting(name, known())
                .with_hint("--list=variables shows those there are"));
        }
    }
    Ok(())
}

fn rows(resolver: &Resolver<'_>) -> Result<Vec<VariableRow>> {
    let mut rows = Vec::new();
    for (name, variable) in &resolver.definitions.variables {
        let value = resolver.variable(name)?;
        rows.push(VariableRow {
            name: name.to_string(),
            description: variable.description.clone(),
            kind: variable
                .constraint
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            value: config::shown(&value),
        });
    }
    Ok(rows)
}

/// Overrides by the name of the target.
type OverridesByName = BTreeMap<String, Overrides>;
