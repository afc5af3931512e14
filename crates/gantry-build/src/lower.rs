//! From the tree of a Dockerfile to the graph of operations and the image's configuration.
//!
//! Pure but for the base images, which come through [`Images`]: the environment and the triggers
//! of a base image decide what the instructions after `FROM` mean.

mod display;
mod healthcheck;
mod history;
mod metadata;
mod mounts;
mod scope;
mod stage;
mod steps;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use gantry_dockerfile::argument::is_predefined;
use gantry_dockerfile::ast::InstructionKind;
use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::lint::{self, Environment, SettingsError, Surroundings};
use gantry_dockerfile::resolve::{Base, SCRATCH, Source};
use gantry_dockerfile::{Diagnostic, Dockerfile, SourceFile, Span};
use gantry_model::Platform;
use gantry_model::image::{History, ImageConfig};

use crate::base::{BaseImage, BaseImageError};
use crate::error::BuildError;
use crate::graph::{Graph, NodeId};
use crate::request::RunNetwork;
pub(crate) use scope::Globals;
use stage::StageState;

/// What the client says about a build, as far as lowering needs it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) build_args: BTreeMap<String, String>,
    pub(crate) proxy_args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) target: Option<String>,
    pub(crate) network: RunNetwork,
    pub(crate) extra_hosts: Vec<(String, IpAddr)>,
    /// What the image is made for.
    pub(crate) target_platform: Platform,
    /// What this machine is.
    pub(crate) build_platform: Platform,
    /// `SOURCE_DATE_EPOCH`, as a time of the image configuration.
    pub(crate) epoch: Option<String>,
}

/// An image that a Dockerfile names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ImageRequest {
    /// The name as written, variables replaced.
    pub(crate) name: String,
    /// For which platform.
    pub(crate) platform: Platform,
}

/// Where lowering gets images from.
pub(crate) trait Images {
    /// These will be asked for: fetch them at once.
    fn prefetch(&self, requests: &[ImageRequest]);

    /// One of them.
    fn image(&self, request: &ImageRequest) -> Result<NamedImage, ImageFailure>;
}

/// An image with the name people see.
#[derive(Debug, Clone)]
pub(crate) struct NamedImage {
    /// Canonical reference with the digest it was resolved to, where known.
    pub(crate) reference: String,
    pub(crate) image: BaseImage,
}

/// Why an image cannot be had.
#[derive(Debug)]
pub(crate) enum ImageFailure {
    /// The name is no reference.
    Name(gantry_model::reference::ReferenceError),
    /// It cannot be fetched.
    Fetch(BaseImageError),
}

/// A complaint that does not stop a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) message: String,
    pub(crate) rendered: Option<String>,
}

/// What a Dockerfile comes to.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) graph: Graph,
    /// The root file system of the image.
    pub(crate) target: NodeId,
    /// The configuration, without diff IDs and times.
    pub(crate) config: ImageConfig,
    /// The history; entries of this build have no time yet.
    pub(crate) history: Vec<History>,
    pub(crate) warnings: Vec<Warning>,
}

/// Lowers a Dockerfile.
pub(crate) fn lower(
    dockerfile: &Dockerfile,
    source: &SourceFile,
    settings: &Settings,
    images: &dyn Images,
) -> Result<Lowered, BuildError> {
    let mut lowering = Lowering::new(dockerfile, source, settings, images)?;
    let target = dockerfile
        .target(settings.target.as_deref())
        .map_err(BuildError::Target)?;
    lowering.need(target);
    lowering.prefetch(target);
    loop {
        match lowering.stages_up_to(target) {
            Ok(()) => break,
            Err(Stop::Error(error)) => return Err(*error),
            // A trigger of a base image copies from a stage that nothing else needs.
            Err(Stop::Needs(stage)) => {
                lowering.need(stage);
                lowering.start_again();
            }
        }
    }
    lowering.finish(target)
}

/// Why the lowering of a stage stops.
enum Stop {
    /// The build fails.
    Error(Box<BuildError>),
    /// This earlier stage must be lowered before.
    Needs(usize),
}

impl From<BuildError> for Stop {
    fn from(error: BuildError) -> Self {
        Self::Error(Box::new(error))
    }
}

struct Lowering<'a> {
    dockerfile: &'a Dockerfile,
    source: &'a SourceFile,
    settings: &'a Settings,
    images: &'a dyn Images,
    globals: Globals,
    /// The base and platform of each stage, variables replaced.
    bases: Vec<StageBase>,
    needed: Vec<bool>,
    graph: Graph,
    stages: Vec<Option<StageState>>,
    /// Environments of base images by name, for the rules.
    environments: HashMap<String, Environment>,
    /// Names of build arguments that some `ARG` declared.
    declared: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct StageBase {
    name: String,
    platform: Option<Platform>,
    base: Base,
}

impl<'a> Lowering<'a> {
    fn new(
        dockerfile: &'a Dockerfile,
        source: &'a SourceFile,
        settings: &'a Settings,
        images: &'a dyn Images,
    ) -> Result<Self, BuildError> {
        let (globals, declared) = Globals::new(dockerfile, source, settings)?;
        let mut lowering = Self {
            dockerfile,
            source,
            settings,
            images,
            globals,
            bases: Vec::new(),
            needed: vec![false; dockerfile.stages.len()],
            graph: Graph::default(),
            stages: vec![None; dockerfile.stages.len()],
            environments: HashMap::new(),
            declared,
        };
        for index in 0..dockerfile.stages.len() {
            let base = lowering.stage_base(index)?;
            lowering.bases.push(base);
        }
        Ok(lowering)
    }

    fn stage_base(&mut self, index: usize) -> Result<StageBase, BuildError> {
        let stage = &self.dockerfile.stages[index];
        let base = self
            .globals
            .word(&stage.base, self.dockerfile.directives.escape);
        let base = base.map_err(|diagnostic| BuildError::dockerfile(self.source, &[diagnostic]))?;
        if base.value.is_empty() {
            let message = format!("base name ({}) should not be blank", stage.base.value);
            return Err(BuildError::at(self.source, stage.base.span, message));
        }
        let platform = match &stage.platform {
            None => None,
            Some(word) => Some(self.stage_platform(word)?),
        };
        let name = base.value;
        let base = self.dockerfile.base_of(index, &name);
        Ok(StageBase {
            name,
            platform,
            base,
        })
    }

    fn stage_platform(&mut self, word: &gantry_dockerfile::Word) -> Result<Platform, BuildError> {
        let expanded = self.globals.word(word, self.dockerfile.directives.escape);
        let expanded =
            expanded.map_err(|diagnostic| BuildError::dockerfile(self.source, &[diagnostic]))?;
        expanded.value.parse().map_err(|error| {
            BuildError::at(
                self.source,
                word.span,
                format!("failed to parse platform {}: {error}", expanded.value),
            )
        })
    }

    /// Marks a stage and all it stands on.
    fn need(&mut self, stage: usize) {
        let mut open = vec![stage];
        while let Some(stage) = open.pop() {
            if std::mem::replace(&mut self.needed[stage], true) {
                continue;
            }
            if let Base::Stage(base) = self.bases[stage].base {
                open.push(base);
            }
            for from in self.named_sources(stage) {
                // What cannot be resolved is complained about when its instruction is reached.
                if let Ok(Source::Stage(source)) = self.dockerfile.source_of(stage, from) {
                    open.push(source);
                }
            }
        }
    }

    /// Every `--from` of a stage.
    fn named_sources(&self, stage: usize) -> impl Iterator<Item = &'a str> + use<'a> {
        let dockerfile = self.dockerfile;
        dockerfile.stages[stage]
            .instructions
            .iter()
            .flat_map(|instruction| match &instruction.kind {
                InstructionKind::Copy(copy) => {
                    copy.from.iter().map(|word| word.value.as_str()).collect()
                }
                InstructionKind::Run(run) => run
                    .mounts
                    .iter()
                    .filter_map(|mount| mount.spec.from())
                    .collect(),
                _ => Vec::new(),
            })
    }

    /// The images that the needed stages name, fetched at once.
    fn prefetch(&self, target: usize) {
        let mut requests: Vec<ImageRequest> = Vec::new();
        for stage in (0..=target).filter(|stage| self.needed[*stage]) {
            let base = &self.bases[stage];
            let mut wanted = Vec::new();
            if base.base == Base::External {
                wanted.push(self.base_request(stage));
            }
            for from in self.named_sources(stage) {
                if from != SCRATCH
                    && matches!(self.dockerfile.source_of(stage, from), Ok(Source::External))
                {
                    wanted.push(self.source_request(from));
                }
            }
            for request in wanted {
                if !requests.contains(&request) {
                    requests.push(request);
                }
            }
        }
        self.images.prefetch(&requests);
    }

    fn base_request(&self, stage: usize) -> ImageRequest {
        let base = &self.bases[stage];
        let platform = base
            .platform
            .as_ref()
            .unwrap_or(&self.settings.target_platform);
        ImageRequest {
            name: base.name.clone(),
            platform: platform.clone(),
        }
    }

    fn source_request(&self, from: &str) -> ImageRequest {
        ImageRequest {
            name: from.to_owned(),
            platform: self.settings.target_platform.clone(),
        }
    }

    fn start_again(&mut self) {
        self.graph = Graph::default();
        self.stages = vec![None; self.dockerfile.stages.len()];
    }

    fn stages_up_to(&mut self, target: usize) -> Result<(), Stop> {
        for stage in 0..=target {
            if self.needed[stage] {
                let state = self.stage(stage)?;
                self.stages[stage] = Some(state);
            }
        }
        Ok(())
    }

    /// The image `request` for the place `span`.
    fn image(
        &self,
        request: &ImageRequest,
        source: &SourceFile,
        span: Span,
    ) -> Result<NamedImage, BuildError> {
        self.images.image(request).map_err(|failure| match failure {
            ImageFailure::Name(error) => BuildError::at(
                source,
                span,
                format!("failed to parse image name \"{}\": {error}", request.name),
            ),
            ImageFailure::Fetch(error) => {
                let similar = self
                    .dockerfile
                    .similar_stage(&request.name, self.dockerfile.stages.len());
                BuildError::base_image(source, span, request.name.clone(), similar, error)
            }
        })
    }

    /// What the rules say about the file, and what the client gave for nothing.
    fn warnings(&self) -> Result<Vec<Warning>, BuildError> {
        let invalid =
            |span: Span, error: SettingsError| BuildError::at(self.source, span, error.to_string());
        let rules = match &self.dockerfile.directives.check {
            Some(check) => {
                lint::Settings::parse(&check.value).map_err(|error| invalid(check.span, error))?
            }
            None => lint::Settings::default(),
        };
        let surroundings = Surroundings {
            environment: &|name| self.environments.get(name).cloned(),
            arguments: &self.globals.arguments(self.settings),
        };
        let complaints = lint::check(self.dockerfile, &surroundings, &rules);
        if rules.error && !complaints.is_empty() {
            return Err(BuildError::dockerfile(self.source, &complaints));
        }
        let mut warnings: Vec<Warning> = complaints
            .iter()
            .map(|complaint| self.warning(complaint))
            .collect();
        let unused: Vec<&str> = self
            .settings
            .build_args
            .keys()
            .map(String::as_str)
            .filter(|name| !self.declared.contains(*name) && !is_predefined(name))
            .collect();
        if !unused.is_empty() {
            let message = format!(
                "one or more build-args [{}] were not consumed",
                unused.join(" ")
            );
            warnings.push(Warning {
                message,
                rendered: None,
            });
        }
        Ok(warnings)
    }

    fn warning(&self, complaint: &Diagnostic) -> Warning {
        let (line, _) = self.source.lines(complaint.span);
        let rule = match complaint.code {
            Code::Lint(rule) => format!("{rule}: "),
            _ => String::new(),
        };
        Warning {
            message: format!("{rule}{} (line {line})", complaint.message),
            rendered: Some(complaint.render(self.source)),
        }
    }

    fn finish(mut self, target: usize) -> Result<Lowered, BuildError> {
        let warnings = self.warnings()?;
        let state = self.stages[target]
            .take()
            .expect("the target is lowered last");
        let mut config = state.config;
        config.config.labels.extend(self.settings.labels.clone());
        if let Some(epoch) = &self.settings.epoch {
            config.created = Some(epoch.clone());
        }
        Ok(Lowered {
            graph: self.graph,
            target: state.rootfs,
            config,
            history: state.history,
            warnings,
        })
    }
}
