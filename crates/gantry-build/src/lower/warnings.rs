//! What the rules say of a file that is built, and what the client gave for nothing.

use gantry_dockerfile::argument::is_predefined;
use gantry_dockerfile::diagnostic::{Code, Severity};
use gantry_dockerfile::lint::{self, ContextView, Origin, Rule, Surroundings};
use gantry_dockerfile::suggest::nearest;
use gantry_dockerfile::{Diagnostic, Dockerfile, SourceFile};

use super::{Lowering, Warning, context_name};
use crate::error::BuildError;
use crate::rules;

impl Lowering<'_> {
    /// All warnings; an error where the file wants warnings to be errors.
    pub(super) fn warnings(&self) -> Result<Vec<Warning>, BuildError> {
        let settings = rules::settings(self.dockerfile, self.source, &self.settings.build_args)?;
        let arguments = self.globals.arguments(self.settings);
        let view = self.settings.view.as_deref();
        let ignored = |path: &str| view.is_some_and(|view| view.ignore.is_ignored(path));
        let surroundings = Surroundings {
            environment: &|name| self.environments.get(name).cloned(),
            other_platform: &|stage, _| self.other_platforms.get(&stage).cloned(),
            named_context: &|name| self.settings.named.contains_key(&context_name(name)),
            context: view.map(|view| ContextView {
                names: &view.names,
                ignored: &ignored,
            }),
            needed: Some(&self.needed),
            ..Surroundings::of(&arguments)
        };
        let complaints = lint::check(self.dockerfile, self.source, &surroundings, &settings);
        let (own, complaints): (Vec<Diagnostic>, Vec<Diagnostic>) = complaints
            .into_iter()
            .partition(|complaint| origin(complaint) == Origin::Gantry);
        if settings.error && !complaints.is_empty() {
            return Err(rules::violation(self.source, &complaints));
        }
        let mut warnings: Vec<Warning> = complaints
            .iter()
            .map(|complaint| warning(self.dockerfile, self.source, complaint))
            .collect();
        warnings.extend(self.unused_arguments());
        warnings.extend(self.strange_stages());
        warnings.extend(self.unused_contexts());
        warnings.extend(advice(&own));
        Ok(warnings)
    }

    fn unused_arguments(&self) -> Option<Warning> {
        let unused: Vec<&str> = self
            .settings
            .build_args
            .keys()
            .map(String::as_str)
            .filter(|name| !self.declared.contains(*name) && !is_predefined(name))
            .collect();
        (!unused.is_empty()).then(|| Warning {
            message: format!(
                "one or more build-args [{}] were not consumed",
                unused.join(" ")
            ),
            rendered: None,
            is_advice: false,
        })
    }

    /// Named contexts that no stage asks for, needed or not. Targets have what they inherit, so that
    /// of theirs only those count that are nearly the name of something.
    fn unused_contexts(&self) -> Vec<Warning> {
        let mut asked = self.used_names.borrow().clone();
        for (number, stage) in self.dockerfile.stages.iter().enumerate() {
            let own = stage.name.iter().map(|name| name.value.as_str());
            let written = self.bases[number].written.as_str();
            let names = own.chain([written]).chain(self.named_sources(number));
            asked.extend(names.map(context_name));
        }
        let unused = self.settings.named.keys();
        let unused = unused.filter(|name| !asked.contains(*name));
        let warn = |name: &String| {
            let near = nearest(name, asked.iter().map(String::as_str));
            if near.is_none() && self.settings.spelling.is_target() {
                return None;
            }
            let near = near.map(|near| format!(" (did you mean {near}?)"));
            Some(Warning {
                message: format!(
                    "the build context {name:?} is not used: no FROM, --from or stage has this \
                     name{}",
                    near.unwrap_or_default()
                ),
                rendered: None,
                is_advice: false,
            })
        };
        unused.filter_map(warn).collect()
    }

    /// Stages that were to be run anew, of which there are none.
    fn strange_stages(&self) -> impl Iterator<Item = Warning> {
        let names = self.settings.no_cache_stages.iter();
        let strange = names.filter(|name| self.dockerfile.target(Some(name)).is_err());
        strange.map(|name| Warning {
            message: format!("there is no stage {name:?} to run without the cache"),
            rendered: None,
            is_advice: false,
        })
    }
}

fn origin(complaint: &Diagnostic) -> Origin {
    match complaint.code {
        Code::Lint(rule) => rule.origin(),
        _ => Origin::BuildKit,
    }
}

fn warning(file: &Dockerfile, source: &SourceFile, complaint: &Diagnostic) -> Warning {
    let (first, last) = lint::lines(file, source, complaint);
    let mut rendered = String::new();
    let mut name = String::new();
    if let Code::Lint(rule) = complaint.code {
        name = format!("{rule}: ");
        rendered = format!("{}\n", rule.summary());
        if let Some(url) = rule.url() {
            rendered.push_str(&format!("More info: {url}\n"));
        }
    }
    rendered.push_str(&source.excerpt(source.name(), first, last));
    Warning {
        message: format!("{name}{} (line {first})", complaint.message),
        rendered: Some(rendered),
        is_advice: false,
    }
}

/// One line on what Gantry's own rules found.
fn advice(own: &[Diagnostic]) -> Option<Warning> {
    let mut rules: Vec<Rule> = own
        .iter()
        .filter(|complaint| complaint.severity > Severity::Info)
        .filter_map(|complaint| match complaint.code {
            Code::Lint(rule) => Some(rule),
            _ => None,
        })
        .collect();
    let count = rules.len();
    rules.sort_unstable();
    rules.dedup();
    let names: Vec<&str> = rules.into_iter().map(Rule::name).collect();
    (count > 0).then(|| Warning {
        message: format!(
            "{count} more found by own rules ({}): --check shows where",
            names.join(", ")
        ),
        rendered: None,
        is_advice: true,
    })
}
