//! From the trees of Dockerfiles to one graph of operations and the images' configurations.
//!
//! Pure but for the base images, which come through [`Images`]: the environment and the triggers
//! of a base image decide what the instructions after `FROM` mean.

mod add;
mod display;
mod healthcheck;
mod history;
mod links;
mod metadata;
mod mounts;
mod named;
mod scope;
mod stage;
mod steps;
mod warnings;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use gantry_dockerfile::ast::InstructionKind;
use gantry_dockerfile::lint::{Environment, OtherPlatform};
use gantry_dockerfile::resolve::Base;
use gantry_dockerfile::suggest::nearest;
use gantry_dockerfile::{Dockerfile, SourceFile, Span};
use gantry_model::Platform;
use gantry_model::image::{History, ImageConfig};
use gantry_model::layout::LayoutReference;
use gantry_model::ulimit::Ulimit;

use crate::base::{BaseImage, BaseImageError, PullPolicy};
use crate::contexts::View;
use crate::error::BuildError;
use crate::graph::{ContextId, Graph, NodeId};
use crate::host_address::HostAddress;
use crate::report::titled;
use crate::request::{Entitlements, RunNetwork};
use crate::spelling::Spelling;
use links::Linked;
use named::Origin;
pub(crate) use named::{ImageName, Named, context_name};
pub(crate) use scope::{Globals, platform_arguments, target_stage};
use stage::StageState;
pub(crate) use stage::{environment, other_platform};

/// What is lowered: a Dockerfile for one request and one platform.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    pub(crate) dockerfile: &'a Dockerfile,
    pub(crate) source: &'a Arc<SourceFile>,
    pub(crate) settings: Settings,
}

/// What the client says about a subject, as far as lowering needs it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Number of the request.
    pub(crate) request: usize,
    /// Its name, where it is not the only one.
    pub(crate) title: Option<String>,
    /// How it is given what it lacks.
    pub(crate) spelling: Spelling,
    /// Whether steps are shown with their platform.
    pub(crate) multi_platform: bool,
    pub(crate) context: ContextId,
    /// What stands before stages and images of these names.
    pub(crate) named: BTreeMap<String, Named>,
    pub(crate) build_args: BTreeMap<String, String>,
    pub(crate) proxy_args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) target: Option<String>,
    pub(crate) network: RunNetwork,
    pub(crate) allow: Entitlements,
    pub(crate) shm_size: Option<u64>,
    pub(crate) ulimits: Vec<Ulimit>,
    /// What confines steps otherwise than usual.
    pub(crate) confinement: Vec<String>,
    pub(crate) extra_hosts: Vec<(String, HostAddress)>,
    pub(crate) pull: PullPolicy,
    /// Whether every step is run again.
    pub(crate) no_cache: bool,
    /// Stages of which every step is, by name or number.
    pub(crate) no_cache_stages: Vec<String>,
    /// What the image is made for.
    pub(crate) target_platform: Platform,
    /// What this machine is.
    pub(crate) build_platform: Platform,
    /// `SOURCE_DATE_EPOCH`, as a time of the image configuration.
    pub(crate) epoch: Option<String>,
    /// What the context looks like, where a rule asks for that.
    pub(crate) view: Option<Arc<View>>,
}

/// An image that a Dockerfile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageRequest {
    /// Its name, variables replaced.
    pub(crate) name: ImageName,
    /// For which platform.
    pub(crate) platform: Platform,
    /// Whether it is looked for again.
    pub(crate) policy: PullPolicy,
    /// What stands in front of the name when it is looked for: `[linux/arm64 internal]`.
    pub(crate) frame: String,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Warning {
    pub(crate) message: String,
    pub(crate) rendered: Option<String>,
    /// Whether it is advice of Gantry's own rules.
    pub(crate) is_advice: bool,
}

/// What a subject comes to.
#[derive(Debug)]
pub(crate) struct Lowered {
    /// The root file system of the image.
    pub(crate) target: NodeId,
    /// The configuration, without diff IDs and times.
    pub(crate) config: ImageConfig,
    /// The history; entries of this build have no time yet.
    pub(crate) history: Vec<History>,
    pub(crate) warnings: Vec<Warning>,
}

/// Lowers all subjects into one graph.
pub(crate) fn lower(
    subjects: &[Subject<'_>],
    images: &dyn Images,
) -> Result<(Graph, Vec<Lowered>), BuildError> {
    let mut lowerings = Vec::new();
    let mut wanted = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        let told = |error| subject.settings.spelling.told(error);
        let lowering = Lowering::new(number, subject, images).map_err(told)?;
        for request in lowering.wanted() {
            if !wanted.contains(&request) {
                wanted.push(request);
            }
        }
        lowerings.push(lowering);
    }
    images.prefetch(&wanted);
    let mut graph = Graph::default();
    let mut done: BTreeMap<usize, Lowered> = BTreeMap::new();
    let mut waiting: Vec<Option<Lowering<'_>>> = lowerings.into_iter().map(Some).collect();
    for number in links::order(subjects)? {
        let Some(mut lowering) = waiting[number].take() else {
            continue;
        };
        lowering.linked = links::links(&subjects[number])
            .filter_map(|link| Some((link, Linked::of(done.get(&link)?))))
            .collect();
        let lowered;
        let spelling = &subjects[number].settings.spelling;
        (graph, lowered) = lowering
            .into_graph(graph)
            .map_err(|error| spelling.told(error))?;
        done.insert(number, lowered);
    }
    Ok((graph, done.into_values().collect()))
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
    /// Number of the subject.
    subject: usize,
    dockerfile: &'a Dockerfile,
    source: &'a Arc<SourceFile>,
    settings: &'a Settings,
    images: &'a dyn Images,
    globals: Globals,
    /// The base and platform of each stage, variables replaced.
    bases: Vec<StageBase>,
    /// The stage that is wanted in the end.
    target: usize,
    needed: Vec<bool>,
    /// The operations of this subject and of those before it.
    graph: Graph,
    stages: Vec<Option<StageState>>,
    /// What the subjects make that names stand for.
    linked: BTreeMap<usize, Linked>,
    /// Environments of base images by name, for the rules.
    environments: HashMap<String, Environment>,
    /// The base images of stages, by number, that are for another platform.
    other_platforms: HashMap<usize, OtherPlatform>,
    /// Names of build arguments that some `ARG` declared.
    declared: BTreeSet<String>,
    /// Named contexts that something stood for.
    used_names: RefCell<BTreeSet<String>>,
}

#[derive(Debug, Clone)]
struct StageBase {
    /// How it stands in the file, variables replaced.
    written: String,
    /// What it is called.
    name: String,
    platform: Option<Platform>,
    base: Base,
    /// The named context whose files it begins with.
    files: Option<ContextId>,
    /// The subject whose image it stands on.
    link: Option<usize>,
    /// Where its image is, if that is not told by its name.
    layout: Option<LayoutReference>,
    /// Whether a named context stands for the whole stage.
    is_replaced: bool,
}

impl<'a> Lowering<'a> {
    fn new(
        number: usize,
        subject: &'a Subject<'a>,
        images: &'a dyn Images,
    ) -> Result<Self, BuildError> {
        let Subject {
            dockerfile,
            source,
            settings,
        } = subject;
        let (globals, declared) = Globals::new(dockerfile, source, settings)?;
        let mut lowering = Self {
            subject: number,
            dockerfile,
            source,
            settings,
            images,
            globals,
            bases: Vec::new(),
            target: 0,
            needed: vec![false; dockerfile.stages.len()],
            graph: Graph::default(),
            stages: vec![None; dockerfile.stages.len()],
            linked: BTreeMap::new(),
            environments: HashMap::new(),
            other_platforms: HashMap::new(),
            declared,
            used_names: RefCell::default(),
        };
        for index in 0..dockerfile.stages.len() {
            let base = lowering.stage_base(index)?;
            lowering.bases.push(base);
        }
        lowering.target = dockerfile
            .target(settings.target.as_deref())
            .map_err(BuildError::Target)?;
        lowering.need(lowering.target);
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
            let hints = self.hints_on_base(index);
            return Err(BuildError::hinted(
                self.source,
                stage.base.span,
                message,
                &hints,
            ));
        }
        let platform = match &stage.platform {
            None => None,
            Some(word) => Some(self.stage_platform(word)?),
        };
        Ok(self.named_base(index, base.value, platform))
    }

    /// What to do about the variables in a `FROM` that are empty.
    fn hints_on_base(&self, index: usize) -> Vec<String> {
        let (word, escape) = (
            &self.dockerfile.stages[index].base,
            self.dockerfile.directives.escape,
        );
        let names = self.globals.empty_variables(&word.value, escape);
        let hint = |name: &String| match self.declared.contains(name) {
            true => format!(
                "ARG {name} is empty: {}, or a default (ARG {name}=…)",
                self.settings.spelling.argument(name)
            ),
            false => format!(
                "{name} is no ARG before the first FROM, where alone FROM sees it: declare it \
                 there (ARG {name})"
            ),
        };
        names.iter().map(hint).collect()
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
                if let Ok(Origin::Stage(source)) = self.origin_of(stage, from) {
                    open.push(source);
                }
            }
        }
    }

    /// Every `--from` of a stage.
    fn named_sources(&self, stage: usize) -> impl Iterator<Item = &'a str> + use<'a> {
        self.instructions(stage)
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

    /// The images that the needed stages name.
    fn wanted(&self) -> Vec<ImageRequest> {
        let mut wanted = Vec::new();
        for stage in (0..=self.target).filter(|stage| self.needed[*stage]) {
            let base = &self.bases[stage];
            if base.base == Base::External && base.link.is_none() {
                wanted.push(self.base_request(stage));
            }
            for from in self.named_sources(stage) {
                if let Ok(Origin::Image(name)) = self.origin_of(stage, from) {
                    wanted.push(self.source_request(name));
                }
            }
        }
        wanted
    }

    /// What a stage is run on.
    fn platform(&self, stage: usize) -> &Platform {
        let own = self.bases[stage].platform.as_ref();
        own.unwrap_or(&self.settings.target_platform)
    }

    fn base_request(&self, stage: usize) -> ImageRequest {
        let base = &self.bases[stage];
        let name = match &base.layout {
            Some(layout) => ImageName::Layout(layout.clone()),
            None => ImageName::Written(base.name.clone()),
        };
        self.image_request(name, self.platform(stage))
    }

    fn source_request(&self, from: ImageName) -> ImageRequest {
        self.image_request(from, &self.settings.target_platform)
    }

    fn image_request(&self, name: ImageName, platform: &Platform) -> ImageRequest {
        ImageRequest {
            name,
            platform: platform.clone(),
            policy: self.settings.pull,
            frame: self.shown("[internal]", platform, None),
        }
    }

    /// A name with the platform and the target it belongs to, where there are several of these.
    fn shown(&self, name: &str, platform: &Platform, made_for: Option<&Platform>) -> String {
        let platform = self
            .settings
            .multi_platform
            .then(|| display::platform(platform, made_for));
        let name = titled(platform.as_deref(), name);
        titled(self.settings.title.as_deref(), &name)
    }

    /// Lowers the target into the graph of those before it.
    fn into_graph(mut self, graph: Graph) -> Result<(Graph, Lowered), BuildError> {
        self.graph = graph;
        loop {
            match self.needed_stages() {
                Ok(()) => return self.finish(),
                Err(Stop::Error(error)) => return Err(*error),
                // A trigger of a base image copies from a stage that nothing else needs. What is
                // in the graph already is found there again.
                Err(Stop::Needs(stage)) => {
                    self.need(stage);
                    self.stages = vec![None; self.dockerfile.stages.len()];
                }
            }
        }
    }

    fn needed_stages(&mut self) -> Result<(), Stop> {
        for stage in 0..=self.target {
            if self.needed[stage] {
                let state = self.stage(stage)?;
                self.stages[stage] = Some(state);
            }
        }
        Ok(())
    }

    /// The image `request` for a place; the hints are on a name that is none.
    fn image(
        &self,
        request: &ImageRequest,
        (source, span): (&SourceFile, Span),
        hints: &[String],
    ) -> Result<NamedImage, BuildError> {
        self.images.image(request).map_err(|failure| match failure {
            ImageFailure::Name(error) => {
                let message = format!("failed to parse image name \"{}\": {error}", request.name);
                BuildError::hinted(source, span, message, hints)
            }
            ImageFailure::Fetch(error) => {
                let name = request.name.to_string();
                let stages = self.dockerfile.stages.len();
                let stage = self.dockerfile.similar_stage(&name, stages);
                let stage =
                    stage.map(|stage| format!("a stage of this Dockerfile is called {stage}"));
                let contexts = self.settings.named.keys().map(String::as_str);
                let context = nearest(&context_name(&name), contexts);
                let context = context.map(|context| format!("a build context is called {context}"));
                let similar = stage.into_iter().chain(context).collect();
                BuildError::base_image(source, span, name, similar, error)
            }
        })
    }

    fn finish(mut self) -> Result<(Graph, Lowered), BuildError> {
        let warnings = self.warnings()?;
        let state = self.stages[self.target]
            .take()
            .expect("the target is lowered last");
        let mut config = state.config;
        config.config.labels.extend(self.settings.labels.clone());
        if let Some(epoch) = &self.settings.epoch {
            config.created = Some(epoch.clone());
        }
        let lowered = Lowered {
            target: state.rootfs,
            config,
            history: state.history,
            warnings,
        };
        Ok((self.graph, lowered))
    }
}
