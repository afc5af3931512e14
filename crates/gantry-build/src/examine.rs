//! A Dockerfile looked at without building it: `--call`, and the linter.

use std::collections::HashSet;
use std::sync::Arc;

use gantry_dockerfile::diagnostic::{Code, Severity};
use gantry_dockerfile::expand::expand_word;
use gantry_dockerfile::lint::{
    self, ContextView, Environment, Origin, OtherPlatform, Settings, Surroundings,
};
use gantry_dockerfile::outline::{Outline, Target};
use gantry_dockerfile::{Diagnostic, Dockerfile, SourceFile, Stage};
use gantry_model::image::ImageConfig;
use gantry_model::{Digest, FaultKind, Platform};

use crate::base::{BaseImage, BaseImages, BaseSource, PullPolicy};
use crate::build::{self, try_lowering};
use crate::contexts::{Contexts, View};
use crate::error::{BuildError, StepError};
use crate::frontend::{self, Loaded, Main};
use crate::lower::{
    ImageFailure, ImageRequest, Images, NamedImage, context_name, environment, other_platform,
    platform_arguments, target_stage,
};
use crate::remote::address::shown;
use crate::report::Reporter;
use crate::request::{BuildRequest, Builder, ContextSource, DockerfileSource, Entitlements};
use crate::rules;

/// Most stages of which is tried whether they could be built; no file has more that are wanted.
const MOST_LEAVES: usize = 200;

/// A Dockerfile with what rules ask about its surroundings.
#[derive(Debug)]
pub struct Examination {
    /// The text.
    pub source: Arc<SourceFile>,
    /// The tree, or everything that is wrong.
    pub parsed: Result<Dockerfile, Vec<Diagnostic>>,
    request: BuildRequest,
    arguments: Vec<(String, String)>,
    platform: Platform,
    check: Settings,
    context: Option<View>,
}

/// What the rules say of a file.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// What counts: BuildKit's rules, and errors of Gantry's own.
    pub warnings: Vec<Diagnostic>,
    /// What Gantry's own rules advise.
    pub advice: Vec<Diagnostic>,
    /// Why the file could not be built.
    pub error: Option<CheckError>,
}

/// Why a file that was checked could not be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckError {
    /// The sentence.
    pub message: String,
    /// First and last line, from 1, where there are any.
    pub lines: Option<(usize, usize)>,
}

/// Reads the Dockerfile of a request, and of its context the names and the ignore file. What is not
/// on this machine, or in an archive, is brought into the store of `builder`; without one it is
/// refused.
///
/// # Errors
/// The Dockerfile or the ignore file cannot be had, or `BUILDKIT_DOCKERFILE_CHECK` is wrong.
/// A file that does not parse is none: see [`Examination::parsed`].
pub fn examine(
    request: &BuildRequest,
    builder: Option<&Builder<'_>>,
    reporter: &Reporter<'_>,
) -> Result<Examination, BuildError> {
    let (source, context) = match builder {
        Some(builder) => build::look(builder, request, reporter)?,
        None => here(request, reporter)?,
    };
    let source = Arc::new(source);
    let parsed = gantry_dockerfile::parse(&source);
    let check = match &parsed {
        Ok(file) => rules::settings(file, &source, &request.build_args)?,
        Err(_) => Settings::default(),
    };
    let host = Platform::host();
    let platform = request.platforms.first().unwrap_or(&host).clone();
    let stage = match &parsed {
        Ok(file) => target_stage(file, request.target.as_deref()),
        Err(_) => String::new(),
    };
    let own = platform_arguments(&host, &platform, &stage)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let given = request.build_args.clone();
    Ok(Examination {
        source,
        parsed,
        arguments: own.chain(given).collect(),
        platform,
        request: request.clone(),
        check,
        context,
    })
}

/// The Dockerfile and the context of a request that is on this machine as files.
fn here(
    request: &BuildRequest,
    reporter: &Reporter<'_>,
) -> Result<(SourceFile, Option<View>), BuildError> {
    let refused = |address: &str| {
        let reason = "only files and folders of this machine are looked at: clone or unpack it \
                      first";
        let source = StepError::Fetch {
            address: shown(address),
            reason: reason.to_owned(),
            kind: FaultKind::Unsupported,
            hints: Vec::new(),
        };
        BuildError::Step {
            step: "[internal] load build definition".to_owned(),
            source: Box::new(source),
            rendered: String::new(),
        }
    };
    let main = match (&request.dockerfile, &request.context) {
        (Some(DockerfileSource::Remote(url)), _) => return Err(refused(url)),
        (Some(DockerfileSource::Inline { .. }), _) | (_, None) => Main::Nothing,
        (_, Some(ContextSource::Remote(address))) => return Err(refused(address)),
        (_, Some(ContextSource::Input(input))) => return Err(refused(&input.name)),
        (_, Some(ContextSource::Folder(path))) => Main::Folder(path),
        (_, Some(ContextSource::Fetched(path))) => Main::Foreign(path),
    };
    let source = frontend::source(request, &main, reporter)?;
    let mut contexts = Contexts::default();
    let id = contexts.of(request, 0, None);
    Ok((source, contexts.view(id)?))
}

impl Examination {
    /// Every complaint of every rule, where the file parses. Of base images the environment is
    /// known where `bases` has them without asking anybody.
    pub fn complaints(&self, bases: Option<&dyn BaseImages>) -> Vec<Diagnostic> {
        let Ok(file) = &self.parsed else {
            return Vec::new();
        };
        let known = bases
            .map(|bases| self.base_images(file, bases))
            .unwrap_or_default();
        let environment = |name: &str| {
            let mut bases = known.iter().flatten();
            bases
                .find(|base| base.name == name)
                .map(|base| base.environment.clone())
        };
        let other_platform = |stage: usize, _: &str| known.get(stage)?.as_ref()?.other.clone();
        let view = self.context.as_ref();
        let ignored = |path: &str| view.is_some_and(|view| view.ignore.is_ignored(path));
        let contexts: HashSet<String> = self
            .request
            .named_contexts
            .keys()
            .map(|name| context_name(name))
            .collect();
        let surroundings = Surroundings {
            environment: &environment,
            named_context: &|name| contexts.contains(&context_name(name)),
            other_platform: &other_platform,
            context: view.map(|view| ContextView {
                names: &view.names,
                ignored: &ignored,
            }),
            ..Surroundings::of(&self.arguments)
        };
        lint::check(file, &self.source, &surroundings, &self.check)
    }

    /// `--call=check`.
    pub fn check(&self, bases: &dyn BaseImages) -> Check {
        let mut check = Check::default();
        for complaint in self.complaints(Some(bases)) {
            let counts = match complaint.code {
                Code::Lint(rule) if rule.origin() == Origin::Gantry => {
                    complaint.severity == Severity::Error
                }
                _ => true,
            };
            if counts {
                check.warnings.push(complaint);
            } else if complaint.severity > Severity::Info {
                check.advice.push(complaint);
            }
        }
        check.error = self.error(&check.warnings, bases);
        check
    }

    fn error(&self, warnings: &[Diagnostic], bases: &dyn BaseImages) -> Option<CheckError> {
        let file = match &self.parsed {
            Ok(file) => file,
            Err(errors) => {
                let first = errors.first()?;
                let lines = self.source.lines(first.span);
                return Some(CheckError {
                    message: format!(
                        "dockerfile parse error on line {}: {}",
                        lines.0, first.message
                    ),
                    lines: Some(lines),
                });
            }
        };
        let wrong = self.leaves(file).into_iter().find_map(|stage| {
            let error = self.lower(file, Some(stage), bases).err()?;
            let lines = match &error {
                BuildError::Dockerfile { lines, .. } => *lines,
                _ => None,
            };
            let message = error.to_string();
            Some(CheckError { message, lines })
        });
        let is_violated = self.check.error && !warnings.is_empty();
        wrong.or_else(|| {
            is_violated.then(|| CheckError {
                message: rules::violated(warnings),
                lines: None,
            })
        })
    }

    /// The stages that no other is made from, by index: with them everything is looked at.
    fn leaves(&self, file: &Dockerfile) -> Vec<usize> {
        let scope = lint::global_scope(file, &self.arguments);
        let base = |index: usize| {
            let stage: &Stage = file.stages.get(index)?;
            let base = expand_word(&stage.base, &scope, file.directives.escape);
            Some(base.ok()?.word.value)
        };
        let mut seen = vec![false; file.stages.len()];
        let mut leaves = Vec::new();
        for stage in (0..file.stages.len()).rev() {
            if seen[stage] {
                continue;
            }
            leaves.push(stage);
            let needed = file.needed_stages(stage, &base);
            seen.iter_mut()
                .zip(needed)
                .for_each(|(seen, needed)| *seen |= needed);
        }
        leaves.truncate(MOST_LEAVES);
        leaves.reverse();
        leaves
    }

    /// Does what a build does before it builds; of images that are not there it knows nothing.
    fn lower(
        &self,
        file: &Dockerfile,
        stage: Option<usize>,
        bases: &dyn BaseImages,
    ) -> Result<(), BuildError> {
        let mut request = self.request.clone();
        request.target = stage.map(|stage| stage.to_string()).or(request.target);
        // The rules are asked apart from this.
        let silent = "skip=all".to_owned();
        request
            .build_args
            .insert(rules::ARGUMENT.to_owned(), silent);
        // Nothing is run: what a build would have to allow is of no matter.
        request.allow = Entitlements {
            network_host: true,
            security_insecure: true,
            ..Entitlements::default()
        };
        let loaded = Loaded {
            source: Arc::clone(&self.source),
            dockerfile: file.clone(),
        };
        try_lowering(&request, &loaded, &Offline(bases))
    }

    /// `--call=targets`.
    ///
    /// # Errors
    /// The file does not parse.
    pub fn targets(&self) -> Result<Vec<Target>, BuildError> {
        Ok(self.file()?.targets())
    }

    /// `--call=outline`.
    ///
    /// # Errors
    /// The file does not parse, there is no such target, or it could not be built.
    pub fn outline(&self, bases: &dyn BaseImages) -> Result<Outline, BuildError> {
        let file = self.file()?;
        self.lower(file, None, bases)?;
        let target = file
            .target(self.request.target.as_deref())
            .map_err(BuildError::Target)?;
        file.outline(target, &self.arguments)
            .map_err(|error| BuildError::dockerfile(&self.source, &[error]))
    }

    fn file(&self) -> Result<&Dockerfile, BuildError> {
        self.parsed
            .as_ref()
            .map_err(|errors| BuildError::dockerfile(&self.source, errors))
    }

    /// What is known of the base image of each stage, where it is there already.
    fn base_images(&self, file: &Dockerfile, bases: &dyn BaseImages) -> Vec<Option<KnownBase>> {
        let scope = lint::global_scope(file, &self.arguments);
        let expanded = |word| {
            let expanded = expand_word(word, &scope, file.directives.escape);
            expanded.ok().map(|word| word.word.value)
        };
        let known = file.stages.iter().map(|stage| {
            let name = expanded(&stage.base)?;
            let written = stage.platform.as_ref().and_then(expanded);
            let platform = match written.map(|text| text.parse::<Platform>()) {
                Some(platform) => platform.ok()?,
                None => self.platform.clone(),
            };
            let source = BaseSource::Named(name.parse().ok()?);
            let image = bases.resolve(&source, &platform, PullPolicy::Never, &|_| {});
            let config = image.ok()?.config;
            Some(KnownBase {
                name,
                environment: environment(&config),
                other: other_platform(&config.platform(), &platform),
            })
        });
        known.collect()
    }
}

/// What the rules ask of a base image.
struct KnownBase {
    name: String,
    environment: Environment,
    other: Option<OtherPlatform>,
}

/// The images that are there already; of others the name alone.
struct Offline<'b>(&'b dyn BaseImages);

impl Images for Offline<'_> {
    fn prefetch(&self, _requests: &[ImageRequest]) {}

    fn image(&self, request: &ImageRequest) -> Result<NamedImage, ImageFailure> {
        let source = request.name.source()?;
        let found = self
            .0
            .resolve(&source, &request.platform, PullPolicy::Never, &|_| {});
        let found = match (&source, found) {
            (BaseSource::Layout(_), found) => Some(found.map_err(ImageFailure::Fetch)?),
            (BaseSource::Named(_), found) => found.ok(),
        };
        Ok(NamedImage {
            reference: source.to_string(),
            image: found.unwrap_or_else(|| BaseImage {
                id: Digest::from_bytes([0; 32]),
                manifest: None,
                config: ImageConfig::default(),
            }),
        })
    }
}

#[cfg(test)]
mod tests;
