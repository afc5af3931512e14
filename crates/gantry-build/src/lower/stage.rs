//! One stage: its base, the triggers of the base, its instructions in order.

use std::sync::Arc;

use gantry_dockerfile::argument::Scope;
use gantry_dockerfile::lint::OtherPlatform;
use gantry_dockerfile::mask::masked;
use gantry_dockerfile::resolve::Base;
use gantry_dockerfile::{
    Instruction, InstructionKind, SourceFile, Span, Variables, expand_instruction, parse_trigger,
};
use gantry_model::Platform;
use gantry_model::image::{History, ImageConfig};

use super::display::{self, Numbering};
use super::{Lowering, Stop, history};
use crate::error::BuildError;
use crate::graph::{ImageSource, Label, NodeId, Operation, Position};

/// The path that an image without one gets.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a stage stands after some of its instructions.
#[derive(Debug, Clone)]
pub(super) struct StageState {
    pub(super) index: usize,
    pub(super) config: ImageConfig,
    pub(super) history: Vec<History>,
    pub(super) scope: Scope,
    pub(super) rootfs: NodeId,
    /// Whether this stage has a `CMD` of its own.
    pub(super) has_command: bool,
    pub(super) numbering: Numbering,
    /// What the stage is run on.
    pub(super) platform: Platform,
    /// Order of display of the next node.
    position: usize,
}

/// An instruction, variables replaced, and where it stands.
pub(super) struct Place<'p> {
    pub(super) instruction: &'p Instruction,
    /// What a step is called.
    pub(super) text: String,
    pub(super) source: &'p Arc<SourceFile>,
}

impl Place<'_> {
    /// The instruction and its file.
    pub(super) fn of(&self) -> (Arc<SourceFile>, Span) {
        (Arc::clone(self.source), self.instruction.span)
    }

    /// The instruction is wrong.
    pub(super) fn error(&self, message: impl Into<String>) -> Stop {
        BuildError::at(self.source, self.instruction.span, message).into()
    }

    /// A part of the instruction is wrong.
    pub(super) fn error_at(&self, span: Span, message: impl Into<String>) -> Stop {
        BuildError::at(self.source, span, message).into()
    }

    /// The instruction asks for what Gantry cannot do.
    pub(super) fn unsupported(&self, span: Span, message: impl Into<String>) -> Stop {
        BuildError::unsupported(self.source, span, message).into()
    }
}

impl Lowering<'_> {
    /// How the next step of a stage is labelled.
    pub(super) fn label(&self, state: &mut StageState, place: &Place<'_>) -> Label {
        state.position += 1;
        let name = state.numbering.next(&place.text);
        Label {
            name: self.shown(&name, &state.platform, made_for(state).as_ref()),
            place: Some(place.of()),
            position: self.position(state.index, state.position),
            request: self.settings.request,
            fresh: self.is_fresh(state.index),
        }
    }

    /// The label of what stands before the steps of a stage.
    pub(super) fn label_before(
        &self,
        stage: usize,
        name: &str,
        platform: &Platform,
        place: (Arc<SourceFile>, Span),
    ) -> Label {
        Label {
            name: self.shown(name, platform, None),
            place: Some(place),
            position: self.position(stage, 0),
            request: self.settings.request,
            fresh: self.is_fresh(stage),
        }
    }

    /// Whether the steps of a stage are run whatever the cache has.
    fn is_fresh(&self, stage: usize) -> bool {
        let asked = |name: &String| self.dockerfile.target(Some(name)).ok() == Some(stage);
        self.settings.no_cache || self.settings.no_cache_stages.iter().any(asked)
    }

    fn position(&self, stage: usize, step: usize) -> Position {
        Position {
            subject: self.subject,
            stage,
            step,
        }
    }

    /// Lowers a stage whose dependencies are lowered.
    pub(super) fn stage(&mut self, index: usize) -> Result<StageState, Stop> {
        let mut state = self.base_state(index)?;
        let triggers = std::mem::take(&mut state.config.config.on_build);
        let instructions = self.instructions(index);
        let external = usize::from(self.has_image(index));
        let steps = instructions
            .iter()
            .filter(|instruction| display::is_step(instruction))
            .count();
        state.numbering = Numbering {
            stage: self.stage_title(index),
            number: state.numbering.number,
            total: external + steps + triggers.len(),
        };
        self.label_base(&mut state, index);
        for (number, trigger) in triggers.iter().enumerate() {
            self.trigger(&mut state, number, trigger)?;
        }
        let source = self.source;
        for instruction in instructions {
            self.instruction(&mut state, instruction, source, false)?;
        }
        Ok(state)
    }

    /// Whether a stage stands on an image that is fetched.
    fn has_image(&self, index: usize) -> bool {
        let base = &self.bases[index];
        base.base == Base::External && base.link.is_none()
    }

    fn stage_title(&self, index: usize) -> Option<String> {
        if self.dockerfile.stages.len() == 1 {
            return None;
        }
        let name = self.dockerfile.stages[index]
            .name
            .as_ref()
            .map(|name| name.value.clone());
        Some(name.unwrap_or_else(|| format!("stage-{index}")))
    }

    fn base_state(&mut self, index: usize) -> Result<StageState, Stop> {
        let numbering = Numbering::default();
        match self.bases[index].base {
            Base::Stage(base) => {
                let below = self.stages[base].as_ref().ok_or(Stop::Needs(base))?;
                let mut state = below.clone();
                for (name, value) in environment(&state.config) {
                    state.scope.set_environment(name, value);
                }
                Ok(StageState {
                    index,
                    has_command: false,
                    numbering,
                    position: 0,
                    ..state
                })
            }
            Base::Scratch => {
                let platform = self.platform(index).clone();
                let mut config = ImageConfig {
                    architecture: platform.architecture.clone(),
                    os: platform.os.clone(),
                    variant: platform.variant.clone(),
                    ..ImageConfig::default()
                };
                config.config.working_dir = "/".to_owned();
                let rootfs = match self.bases[index].files {
                    Some(context) => {
                        let span = self.dockerfile.stages[index].span;
                        let name = format!("[context {}] load", self.bases[index].name);
                        let place = (Arc::clone(self.source), span);
                        let label = self.label_before(index, &name, &platform, place);
                        self.rootfs_of(context, "/", label)
                    }
                    None => self
                        .graph
                        .add(Operation::Scratch, Vec::new(), Label::default()),
                };
                Ok(Self::begin(index, platform, config, rootfs))
            }
            Base::External => match self.bases[index].link {
                Some(subject) => Ok(self.linked_state(index, subject)),
                None => self.image_state(index),
            },
        }
    }

    /// A stage on an image.
    fn image_state(&mut self, index: usize) -> Result<StageState, Stop> {
        let span = self.dockerfile.stages[index].span;
        let hints = self.hints_on_base(index);
        let named = self.image(&self.base_request(index), (self.source, span), &hints)?;
        let mut config = named.image.config;
        let layers = std::mem::take(&mut config.rootfs.diff_ids);
        // What Docker's engine writes into configurations of containers has no place in an image.
        config.other.clear();
        config.config.other.clear();
        config.created = None;
        complete_history(&mut config.history, layers.len());
        let written = self.bases[index].written.clone();
        self.environments.insert(written, environment(&config));
        let other = other_platform(&config.platform(), self.platform(index));
        self.other_platforms
            .extend(other.map(|other| (index, other)));
        // The label is set when the numbering is known.
        let operation = Operation::Image(ImageSource {
            reference: named.reference.clone(),
            layers,
            platform: self.platform(index).clone(),
        });
        let platform = self.platform(index).clone();
        let name = format!("FROM {}", named.reference);
        let place = (Arc::clone(self.source), span);
        let label = self.label_before(index, &name, &platform, place);
        let rootfs = self.graph.add(operation, Vec::new(), label);
        Ok(Self::begin(index, platform, config, rootfs))
    }

    /// `[build 1/4] FROM …`
    fn label_base(&mut self, state: &mut StageState, index: usize) {
        if !self.has_image(index) {
            return;
        }
        let Operation::Image(image) = &self.graph.node(state.rootfs).operation else {
            return;
        };
        let name = state.numbering.next(&format!("FROM {}", image.reference));
        // Two stages on one image share its node: the first one gives the name.
        let name = self.shown(&name, &state.platform, None);
        let position = self.position(index, 0);
        self.graph.rename(state.rootfs, position, name);
    }

    pub(super) fn begin(
        index: usize,
        platform: Platform,
        mut config: ImageConfig,
        rootfs: NodeId,
    ) -> StageState {
        let has_path = config
            .config
            .env
            .iter()
            .any(|entry| entry.starts_with("PATH="));
        if !has_path {
            config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        let history = std::mem::take(&mut config.history);
        let scope = Scope::new(environment(&config));
        StageState {
            index,
            config,
            history,
            scope,
            rootfs,
            has_command: false,
            numbering: Numbering::default(),
            platform,
            position: 0,
        }
    }

    /// An `ONBUILD` of the base.
    fn trigger(&mut self, state: &mut StageState, number: usize, text: &str) -> Result<(), Stop> {
        let base = &self.bases[state.index].name;
        let name = format!("ONBUILD trigger {} of {base}", number + 1);
        let source = Arc::new(SourceFile::new(name, text));
        let parsed = parse_trigger(&source, self.dockerfile.directives.escape);
        let instruction = parsed.map_err(|errors| BuildError::dockerfile(&source, &errors))?;
        self.instruction(state, &instruction, &source, true)
    }

    fn instruction(
        &mut self,
        state: &mut StageState,
        written: &Instruction,
        source: &Arc<SourceFile>,
        trigger: bool,
    ) -> Result<(), Stop> {
        let escape = self.dockerfile.directives.escape;
        let text = masked(&display::text(written, &state.scope, escape, trigger)).into_owned();
        // The names of one `ARG` see each other, so they are expanded one by one.
        if let InstructionKind::Arg(declarations) = &written.kind {
            return self.arguments(state, declarations, source);
        }
        let expanded = expand_instruction(written, &state.scope, escape);
        let expanded =
            expanded.map_err(|diagnostic| BuildError::dockerfile(source, &[diagnostic]))?;
        let place = Place {
            instruction: &expanded.instruction,
            text,
            source,
        };
        let rootfs = state.rootfs;
        match &expanded.instruction.kind {
            InstructionKind::Run(run) => self.run(state, run, &place)?,
            InstructionKind::Copy(copy) => self.copy(state, copy, &place)?,
            InstructionKind::Add(add) => self.add(state, add, &place)?,
            InstructionKind::Workdir(path) => self.workdir(state, path, &place),
            kind => self.metadata(state, kind, &place)?,
        }
        debug_assert!(state.rootfs >= rootfs, "inputs have smaller numbers");
        Ok(())
    }

    /// Records an instruction without a layer.
    pub(super) fn record(&self, state: &mut StageState, text: String) {
        state
            .history
            .push(history::metadata(text, self.settings.epoch.as_deref()));
    }

    /// Records an instruction with a layer.
    pub(super) fn record_layer(&self, state: &mut StageState, text: String) {
        state
            .history
            .push(history::layer(text, self.settings.epoch.as_deref()));
    }
}

/// What a stage builds for, as far as it asks for that.
fn made_for(state: &StageState) -> Option<Platform> {
    let value = |name| state.scope.value(name).filter(|value| !value.is_empty());
    if let Some(platform) = value("TARGETPLATFORM").and_then(|text| text.parse().ok()) {
        return Some(platform);
    }
    let os = value("TARGETOS").unwrap_or(&state.platform.os);
    let architecture = value("TARGETARCH")?;
    Some(Platform::normalized(
        os,
        architecture,
        value("TARGETVARIANT"),
    ))
}

/// That an image is for another system or processor than it is wanted for.
pub(crate) fn other_platform(actual: &Platform, expected: &Platform) -> Option<OtherPlatform> {
    let same = (&actual.os, &actual.architecture) == (&expected.os, &expected.architecture);
    (!same).then(|| OtherPlatform {
        actual: actual.to_string(),
        expected: expected.to_string(),
    })
}

/// The environment that an image gives its containers.
pub(crate) fn environment(config: &ImageConfig) -> Vec<(String, String)> {
    let pair = |entry: &String| {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        (name.to_owned(), value.to_owned())
    };
    config.config.env.iter().map(pair).collect()
}

/// A history that has an entry for each layer: some tools write none, or too few.
fn complete_history(history: &mut Vec<History>, layers: usize) {
    let mut described = history.iter().filter(|entry| !entry.empty_layer).count();
    if described > layers {
        // It does not speak of these layers.
        for entry in history.iter_mut() {
            entry.empty_layer = true;
        }
        described = 0;
    }
    for _ in described..layers {
        history.push(History {
            comment: "layer without a history".to_owned(),
            ..History::default()
        });
    }
}
