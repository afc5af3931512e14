//! Instructions that make a layer: `RUN`, `COPY`, `ADD`, `WORKDIR`.

use std::collections::BTreeMap;

use gantry_dockerfile::argument::PROXY_ARGUMENTS;
use gantry_dockerfile::ast::{self, Copy, CopySource, Run, RunProgram};
use gantry_dockerfile::mask::masked;
use gantry_dockerfile::{Span, Word, mode, owner};
use gantry_model::Platform;
use gantry_model::ulimit::Ulimit;
use gantry_runtime::defaults::SHARED_MEMORY;

use super::named::Origin;
use super::stage::{Place, StageState};
use super::{Lowering, Stop, history, metadata};
use crate::graph::{
    FileOperation, FileSource, ImageSource, Label, MakeDirectory, Network, NodeId, Operation,
    RunOperation, Script, WantedDevice,
};
use crate::request::RunNetwork;
use crate::tree::clean;

impl Lowering<'_> {
    pub(super) fn run(
        &mut self,
        state: &mut StageState,
        run: &Run,
        place: &Place<'_>,
    ) -> Result<(), Stop> {
        self.check_entitlements(run, place)?;
        let shell = metadata::shell(state.config.config.shell.as_deref());
        let in_shell = |script: String| shell.iter().cloned().chain([script]).collect();
        let (arguments, script): (Vec<String>, Option<Script>) = match run.program() {
            RunProgram::Shell(script) => (in_shell(script), None),
            RunProgram::Exec(arguments) => (arguments, None),
            RunProgram::Script { name, content } => (
                in_shell(format!("/dev/pipes/{name}")),
                Some(Script { name, content }),
            ),
        };
        if arguments.is_empty() {
            return Err(place.error("RUN requires a command"));
        }
        let mut inputs = vec![state.rootfs];
        let mounts = self.mounts(state, &run.mounts, &mut inputs, place)?;
        let text = history::run(&arguments, &state.scope);
        let environment = state.scope.variables();
        let operation = RunOperation {
            arguments,
            shell: shell.first().cloned().unwrap_or_default(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            by_age: state
                .scope
                .by_age()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            declared: state
                .scope
                .arguments()
                .map(|(name, _)| name.to_owned())
                .collect(),
            directory: clean(&absolute(&state.config.config.working_dir, "/")),
            user: state.config.config.user.clone(),
            network: self.network(run),
            insecure: run.security == ast::Security::Insecure,
            confinement: self.settings.confinement.clone(),
            shm_size: self.settings.shm_size.filter(|size| *size != SHARED_MEMORY),
            ulimits: self.ulimits(),
            devices: self.devices(run),
            script,
            mounts,
            extra_hosts: self.settings.extra_hosts.clone(),
            proxies: self.proxies(),
            platform: state.platform.clone(),
            foreign: self.foreign(&state.platform),
        };
        let label = self.label(state, place);
        state.rootfs = self
            .graph
            .add(Operation::Run(Box::new(operation)), inputs, label);
        self.record_layer(state, text);
        Ok(())
    }

    /// What a Dockerfile must not give itself: the machine, and what listens on its loopback.
    fn check_entitlements(&self, run: &Run, place: &Place<'_>) -> Result<(), Stop> {
        let settings = self.settings;
        let is_insecure = run.security == ast::Security::Insecure;
        let is_on_host = run.network == ast::Network::Host;
        let grant = |name| settings.spelling.entitlement(name);
        let refused = if is_insecure && !settings.allow.security_insecure {
            format!(
                "RUN --security=insecure is not allowed unless the build itself is given {}",
                grant("security.insecure")
            )
        } else if is_on_host && settings.network != RunNetwork::Host && !settings.allow.network_host
        {
            let whole = match settings.spelling.is_target() {
                true => "",
                false => "--network=host or ",
            };
            format!(
                "RUN --network=host is not allowed unless the build itself is given {whole}{}",
                grant("network.host")
            )
        } else {
            return Ok(());
        };
        Err(place.unsupported(place.instruction.span, refused))
    }

    fn network(&self, run: &Run) -> Network {
        match (run.network, self.settings.network) {
            (ast::Network::None, _) | (ast::Network::Default, RunNetwork::None) => Network::None,
            (ast::Network::Host, _) | (ast::Network::Default, RunNetwork::Host) => Network::Host,
            (ast::Network::Default, RunNetwork::Default) => Network::Bridge,
        }
    }

    /// Devices by the names that the client gives them.
    fn devices(&self, run: &Run) -> Vec<WantedDevice> {
        let aliases = &self.settings.allow.devices.aliases;
        let device = |device: &ast::Device| WantedDevice {
            name: aliases.get(&device.name).unwrap_or(&device.name).clone(),
            required: device.required,
        };
        run.devices.iter().map(device).collect()
    }

    /// Limits by name, of several for the same the last.
    fn ulimits(&self) -> Vec<Ulimit> {
        let all = self.settings.ulimits.iter();
        let by_name: BTreeMap<&str, &Ulimit> =
            all.map(|limit| (limit.name.as_str(), limit)).collect();
        by_name.into_values().cloned().collect()
    }

    /// A platform that this machine has no processor for.
    fn foreign(&self, platform: &Platform) -> Option<Platform> {
        let own = &self.settings.build_platform;
        own.rank(platform).is_none().then(|| platform.clone())
    }

    /// Proxy variables that reach every process without an `ARG`.
    fn proxies(&self) -> Vec<(String, String)> {
        let value = |name: &str| {
            self.settings
                .build_args
                .get(name)
                .or_else(|| self.settings.proxy_args.get(name))
                .cloned()
        };
        PROXY_ARGUMENTS
            .iter()
            .filter_map(|name| value(name).map(|value| ((*name).to_owned(), value)))
            .collect()
    }

    pub(super) fn copy(
        &mut self,
        state: &mut StageState,
        copy: &Copy,
        place: &Place<'_>,
    ) -> Result<(), Stop> {
        let from = match &copy.from {
            Some(from) => Some(self.source_node(state, &from.value, from.span, place)?),
            None => None,
        };
        let sources = ordered(&copy.sources);
        let operation = FileOperation {
            sources: sources.iter().copied().map(file_source).collect(),
            destination: destination(state, &copy.destination),
            owner: checked_owner(copy.chown.as_ref(), place)?,
            mode: checked_mode(copy.chmod.as_ref(), place)?,
            unpack: false,
            exclude: copy.exclude.iter().map(|word| word.value.clone()).collect(),
            parents: copy.parents,
            link: copy.link,
        };
        let flag = if copy.parents { " --parents" } else { "" };
        let keyword = format!("COPY{flag}");
        let text = file_history(&keyword, &operation, &sources, &copy.destination.value);
        self.file(state, operation, from, Vec::new(), text, place);
        Ok(())
    }

    /// `COPY` and `ADD` once their flags are understood. `fetched` are the inputs from 2 on.
    pub(super) fn file(
        &mut self,
        state: &mut StageState,
        mut operation: FileOperation,
        from: Option<NodeId>,
        fetched: Vec<NodeId>,
        text: String,
        place: &Place<'_>,
    ) {
        let mut inputs = vec![state.rootfs];
        let copies = |source: &FileSource| source.input() == Some(1);
        if operation.sources.iter().any(copies) {
            inputs.push(from.unwrap_or_else(|| self.context()));
        } else {
            operation.without_first_input();
        }
        inputs.extend(fetched);
        let label = self.label(state, place);
        state.rootfs = self
            .graph
            .add(Operation::File(Box::new(operation)), inputs, label);
        self.record_layer(state, text);
    }

    /// The context of the request.
    pub(super) fn context(&mut self) -> NodeId {
        let operation = Operation::Context(self.settings.context);
        self.graph.add(operation, Vec::new(), Label::default())
    }

    /// What `--from` means: the root file system of a stage or of an image, or a named context.
    pub(super) fn source_node(
        &mut self,
        state: &StageState,
        from: &str,
        span: Span,
        place: &Place<'_>,
    ) -> Result<NodeId, Stop> {
        let origin = self.origin(state, from, span, place)?;
        self.origin_node(state, origin, span, place)
    }

    pub(super) fn origin(
        &self,
        state: &StageState,
        from: &str,
        span: Span,
        place: &Place<'_>,
    ) -> Result<Origin, Stop> {
        self.origin_of(state.index, from)
            .map_err(|error| place.error_at(span, error.to_string()))
    }

    pub(super) fn origin_node(
        &mut self,
        state: &StageState,
        origin: Origin,
        span: Span,
        place: &Place<'_>,
    ) -> Result<NodeId, Stop> {
        match origin {
            Origin::Stage(stage) => {
                let below = self.stages[stage].as_ref().ok_or(Stop::Needs(stage))?;
                Ok(below.rootfs)
            }
            Origin::Scratch => Ok(self
                .graph
                .add(Operation::Scratch, Vec::new(), Label::default())),
            Origin::Target(subject) => Ok(self.linked(subject).rootfs),
            Origin::Files(context) => {
                let operation = Operation::Context(context);
                Ok(self.graph.add(operation, Vec::new(), Label::default()))
            }
            Origin::Image(image) => {
                let request = self.source_request(image);
                let named = self.image(&request, (place.source, span), &[])?;
                let name = format!("FROM {}", named.reference);
                let layers = named.image.config.rootfs.diff_ids;
                let operation = Operation::Image(ImageSource {
                    reference: named.reference,
                    layers,
                    platform: request.platform.clone(),
                });
                let label = self.label_before(state.index, &name, &request.platform, place.of());
                Ok(self.graph.add(operation, Vec::new(), label))
            }
        }
    }

    pub(super) fn workdir(&mut self, state: &mut StageState, path: &Word, place: &Place<'_>) {
        // An absolute path stays as it is written, as in BuildKit.
        let path = if path.value.starts_with('/') {
            path.value.clone()
        } else {
            clean(&absolute(&path.value, &state.config.config.working_dir))
        };
        state.config.config.working_dir.clone_from(&path);
        let text = format!("WORKDIR {path}");
        if path == "/" {
            return self.record(state, text);
        }
        let user = state.config.config.user.clone();
        let label = self.label(state, place);
        let operation = Operation::MakeDirectory(MakeDirectory { path, user });
        state.rootfs = self.graph.add(operation, vec![state.rootfs], label);
        self.record_layer(state, text);
    }
}

/// Where files are copied to: an absolute path, with a slash behind that of a folder.
pub(super) fn destination(state: &StageState, word: &Word) -> String {
    // Variables without a value leave the working directory, as in BuildKit.
    let written = match word.as_str() {
        "" => ".",
        some => some,
    };
    let mut path = clean(&absolute(written, &state.config.config.working_dir));
    let directory = written.ends_with('/') || written == "." || written.ends_with("/.");
    if directory && path != "/" {
        path.push('/');
    }
    path
}

/// What is copied, in the order of BuildKit: files before what stands in the Dockerfile.
pub(super) fn ordered(sources: &[CopySource]) -> Vec<&CopySource> {
    let mut sources: Vec<&CopySource> = sources.iter().collect();
    sources.sort_by_key(|source| matches!(source, CopySource::Inline(_)));
    sources
}

pub(super) fn file_source(source: &CopySource) -> FileSource {
    match source {
        CopySource::Path(path) => FileSource::Path(path.value.clone()),
        CopySource::Inline(heredoc) => FileSource::Inline {
            name: heredoc.name.clone(),
            content: heredoc.content.clone(),
        },
    }
}

/// `COPY --chown=a --chmod=b x y # buildkit`
pub(super) fn file_history(
    keyword: &str,
    operation: &FileOperation,
    sources: &[&CopySource],
    destination: &str,
) -> String {
    let mut text = keyword.to_owned();
    for (flag, value) in [("chown", &operation.owner), ("chmod", &operation.mode)] {
        if let Some(value) = value {
            text.push_str(&format!(" --{flag}={value}"));
        }
    }
    for source in sources {
        match source {
            CopySource::Path(path) => text.push_str(&format!(" {}", masked(&path.value))),
            CopySource::Inline(heredoc) => text.push_str(&format!(" <<{}", heredoc.name)),
        }
    }
    format!("{text} {destination} # buildkit")
}

pub(super) fn checked_owner(
    word: Option<&Word>,
    place: &Place<'_>,
) -> Result<Option<String>, Stop> {
    let Some(word) = word.filter(|word| !word.value.is_empty()) else {
        return Ok(None);
    };
    owner::parse(&word.value).map_err(|error| place.error_at(word.span, error.to_string()))?;
    Ok(Some(word.value.clone()))
}

pub(super) fn checked_mode(word: Option<&Word>, place: &Place<'_>) -> Result<Option<String>, Stop> {
    let Some(word) = word.filter(|word| !word.value.is_empty()) else {
        return Ok(None);
    };
    mode::parse(&word.value).map_err(|error| place.error_at(word.span, error.to_string()))?;
    Ok(Some(word.value.clone()))
}

/// A path made absolute.
pub(super) fn absolute(path: &str, directory: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{directory}/{path}")
    }
}
