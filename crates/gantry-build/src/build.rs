//! A build from beginning to end: all requests lowered into one graph, the graph solved once.

mod links;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gantry_dockerfile::SourceFile;
use gantry_dockerfile::lint::Rule;
use gantry_model::Platform;
use gantry_model::layout::LayoutReference;

use crate::cache::Cache;
use crate::contexts::{Contexts, View};
use crate::devices;
use crate::error::BuildError;
use crate::frontend::{self, Loaded, Main};
use crate::graph::{ContextId, Graph, NodeId, Operation};
use crate::lower::{self, ImageName, Images, Lowered, Named, Settings, Subject};
use crate::outcome::{BuiltImage, BuiltTarget, Outcome};
use crate::provenance;
use crate::remote::Remote;
use crate::report::Reporter;
use crate::request::{BuildRequest, Builder, DockerfileSource, NamedContext};
use crate::rules;
use crate::run_folder;
use crate::run_step;
use crate::secrets::Secrets;
use crate::setting::{Origin, Setting};
use crate::solve::{self, Room, Solver};
use crate::sources::Sources;
use crate::spelling::Spelling;
use crate::stop::Stop;
use crate::syncing::Syncing;

/// A build that takes so long is explained, asked or not.
const LONG: Duration = Duration::from_secs(30);

/// Builds what is asked for: work that several requests or platforms have in common is done once,
/// and what does not depend on each other at the same time. Nothing gets a name here: see
/// [`crate::export`].
///
/// # Errors
/// See [`BuildError`]; the first failure stops all requests. What was begun is removed; what was
/// finished stays in the cache.
pub fn build(
    builder: &Builder<'_>,
    requests: &[BuildRequest],
    reporter: &Reporter<'_>,
) -> Result<Outcome, BuildError> {
    // What a killed build left is in nobody's way: the next one or a prune tries again.
    drop(run_folder::sweep(&builder.run_root));
    let stop = stop(builder)?;
    let orders = orders(requests)?;
    let project = solve::project(requests);
    let setting = setting(builder, &orders, project, &stop)?;
    let mut contexts = Contexts::default();
    let files = files(&orders, &mut contexts, &setting, reporter)?;
    let asked = &builder.confinement.asked;
    let mut subjects = subjects(&orders, &files, &mut contexts, asked);
    links::connect(requests, &mut subjects)?;
    show_contexts(&orders, &contexts, &mut subjects)?;
    let sources = Sources::new(builder.bases, reporter);
    let (graph, lowered) = lower::lower(&subjects, &sources)?;
    warn(&lowered, reporter);
    let targets: Vec<NodeId> = lowered.iter().map(|lowered| lowered.target).collect();
    let granted = requests.iter().zip(&setting.origins);
    let granted = granted.map(|(request, origin)| (&origin.spelling, &request.allow.devices));
    let granted: Vec<_> = granted.collect();
    devices::check(&graph, &targets, &granted, &*builder.devices, reporter)?;
    note_layouts(&graph, &targets, &setting)?;
    let needed = needed_contexts(&graph, &targets);
    let open = contexts.open(&needed, &setting, reporter)?;
    let room = Room::new(&builder.store, &builder.root, builder.housekeeping);
    let mut solver = Solver::new(&setting, &graph, reporter, stop, &contexts, open, room);
    solver.borrow_from(builder.borrowed);
    solver.show_failures_to(builder.failure_shell);
    let solved = solver.solve(&targets);
    if builder.explain || reporter.at() >= LONG {
        reporter.explained(&solver.explain());
    }
    if !builder.unrecorded {
        solver.remember();
    }
    if setting.bridge_used.load(Ordering::Relaxed) {
        // If it fails, whoever uses the bridge next sees to it.
        let _started = run_step::start_teardown(&setting.run_root);
    }
    solved?;
    for lowered in &lowered {
        solver.search_leaks(lowered.target, &lowered.config, &lowered.history)?;
    }
    tell_unnamed(&solver, reporter);
    setting.syncing.finish();
    let tally = solver.tally();
    let images: Vec<BuiltImage> = lowered
        .into_iter()
        .zip(&subjects)
        .map(|(lowered, subject)| {
            let layers = solver.layers(lowered.target);
            let platform = subject.settings.target_platform.clone();
            let made_of = provenance::materials(&graph, lowered.target, &setting.remote);
            BuiltImage::new(platform, lowered.config, lowered.history, layers, made_of)
        })
        .collect();
    let records = if builder.named {
        solver.step_records()
    } else {
        Vec::new()
    };
    let (steps, mounts) = (solver.steps(), solver.cache_mounts());
    let of_steps = steps.iter().flat_map(|step| &step.layers);
    let kept: HashSet<_> = images
        .iter()
        .flat_map(BuiltImage::layers)
        .chain(of_steps)
        .collect();
    for layer in kept {
        setting.lease.layer(layer)?;
    }
    Ok(Outcome {
        steps,
        records,
        mounts,
        targets: targets_of(&orders, &files, images, &setting.remote),
        executed: tally.executed,
        cached: tally.cached,
        lease: setting.lease,
    })
}

fn stop(builder: &Builder<'_>) -> Result<Stop, BuildError> {
    Stop::new(builder.cancellation.clone()).map_err(|source| BuildError::Io {
        action: "make",
        path: PathBuf::from("an eventfd"),
        source,
    })
}

/// A request with what follows from it.
pub(crate) struct Order<'r> {
    request: &'r BuildRequest,
    /// Its name, where it is not the only one.
    title: Option<&'r str>,
    platforms: Vec<Platform>,
    multi_platform: bool,
    /// `SOURCE_DATE_EPOCH`, in seconds.
    epoch: Option<i64>,
}

impl Order<'_> {
    /// The same as a time of the image configuration.
    fn epoch_text(&self) -> Option<String> {
        self.epoch
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .map(|time| time.to_string())
    }
}

pub(crate) fn orders(requests: &[BuildRequest]) -> Result<Vec<Order<'_>>, BuildError> {
    let mut orders = Vec::new();
    for request in requests {
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in &request.platforms {
            if !platforms.contains(platform) {
                platforms.push(platform.clone());
            }
        }
        if platforms.is_empty() {
            platforms.push(Platform::host());
        }
        orders.push(Order {
            request,
            title: request.name.as_deref().filter(|_| requests.len() > 1),
            multi_platform: platforms.len() > 1 || request.is_on("BUILDKIT_MULTI_PLATFORM"),
            platforms,
            epoch: epoch(request)?,
        });
    }
    Ok(orders)
}

/// The Dockerfiles of all requests.
fn files(
    orders: &[Order<'_>],
    contexts: &mut Contexts,
    setting: &Setting,
    reporter: &Reporter<'_>,
) -> Result<Vec<Loaded>, BuildError> {
    let mut files = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let id = contexts.of(order.request, number, order.title);
        let origin = (setting, number);
        let file = main_of(order.request, id, contexts, setting, reporter)
            .and_then(|main| frontend::load(order.request, order.title, &main, origin, reporter));
        files.push(file.map_err(|error| setting.origins[number].spelling.told(error))?);
    }
    Ok(files)
}

/// What the Dockerfile of a request is looked for in.
fn main_of<'c>(
    request: &BuildRequest,
    id: ContextId,
    contexts: &'c mut Contexts,
    setting: &Setting,
    reporter: &Reporter<'_>,
) -> Result<Main<'c>, BuildError> {
    match request.dockerfile {
        // What is not in the context needs none.
        Some(DockerfileSource::Inline { .. } | DockerfileSource::Remote(_)) => Ok(Main::Nothing),
        _ => contexts.main(id, setting, reporter),
    }
}

/// The Dockerfile of a request and how its context looks, brought here if need be.
pub(crate) fn look(
    builder: &Builder<'_>,
    request: &BuildRequest,
    reporter: &Reporter<'_>,
) -> Result<(SourceFile, Option<View>), BuildError> {
    let orders = orders(std::slice::from_ref(request))?;
    let stop = stop(builder)?;
    let project = solve::project(std::slice::from_ref(request));
    let setting = setting(builder, &orders, project, &stop)?;
    let mut contexts = Contexts::default();
    let id = contexts.of(request, 0, None);
    let main = main_of(request, id, &mut contexts, &setting, reporter)?;
    let source = frontend::source_from(request, &main, &setting, reporter)?;
    Ok((source, contexts.view(id)?))
}

/// Shows the subjects how their contexts look, where a rule asks for it.
fn show_contexts(
    orders: &[Order<'_>],
    contexts: &Contexts,
    subjects: &mut [Subject<'_>],
) -> Result<(), BuildError> {
    for subject in subjects {
        let arguments = &orders[subject.settings.request].request.build_args;
        let rules = rules::settings(subject.dockerfile, subject.source, arguments)?;
        if rules.looks_for(Rule::CopyIgnoredFile) {
            subject.settings.view = contexts.view(subject.settings.context)?.map(Arc::new);
        }
    }
    Ok(())
}

/// Lowers one file for a request, to see whether that goes well.
pub(crate) fn try_lowering(
    request: &BuildRequest,
    file: &Loaded,
    images: &dyn Images,
) -> Result<(), BuildError> {
    let orders = orders(std::slice::from_ref(request))?;
    let files = std::slice::from_ref(file);
    let subjects = subjects(&orders, files, &mut Contexts::default(), &[]);
    lower::lower(&subjects, images).map(drop)
}

/// What is lowered: each platform of each request.
fn subjects<'f>(
    orders: &[Order<'_>],
    files: &'f [Loaded],
    contexts: &mut Contexts,
    confinement: &[String],
) -> Vec<Subject<'f>> {
    let mut subjects = Vec::new();
    for (number, (order, file)) in orders.iter().zip(files).enumerate() {
        let context = contexts.of(order.request, number, order.title);
        let named = order.request.named_contexts.iter();
        let named: BTreeMap<String, Named> = named
            .filter_map(|(name, named)| {
                let named = match named {
                    // These are connected when all subjects are known.
                    NamedContext::Target(_) => return None,
                    NamedContext::Image(name) => Named::Image(ImageName::Written(name.clone())),
                    NamedContext::Layout(layout) => Named::Image(ImageName::Layout(layout.clone())),
                    NamedContext::Files(source) => Named::Files(contexts.named(
                        order.request,
                        number,
                        order.title,
                        name,
                        source,
                    )),
                };
                Some((lower::context_name(name), named))
            })
            .collect();
        for platform in &order.platforms {
            subjects.push(Subject {
                dockerfile: &file.dockerfile,
                source: &file.source,
                settings: Settings {
                    named: named.clone(),
                    confinement: confinement.to_vec(),
                    ..settings(order, number, platform, context)
                },
            });
        }
    }
    subjects
}

fn settings(order: &Order<'_>, number: usize, platform: &Platform, context: ContextId) -> Settings {
    let request = order.request;
    Settings {
        request: number,
        title: order.title.map(str::to_owned),
        spelling: Spelling::of(request.name.as_ref()),
        multi_platform: order.multi_platform,
        context,
        named: BTreeMap::new(),
        build_args: request.build_args.clone(),
        proxy_args: request.proxy_args.clone(),
        labels: request.labels.clone(),
        target: request.target.clone(),
        network: request.network,
        allow: request.allow.clone(),
        shm_size: request.shm_size,
        ulimits: request.ulimits.clone(),
        confinement: Vec::new(),
        extra_hosts: request.extra_hosts.clone(),
        pull: request.pull,
        no_cache: request.no_cache,
        no_cache_stages: request.no_cache_stages.clone(),
        target_platform: platform.clone(),
        build_platform: Platform::host(),
        epoch: order.epoch_text(),
        view: None,
    }
}

pub(crate) fn setting(
    builder: &Builder<'_>,
    orders: &[Order<'_>],
    project: crate::explain::trace::Project,
    stop: &Stop,
) -> Result<Setting, BuildError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let origin = |order: &Order<'_>| Origin {
        spelling: Spelling::of(order.request.name.as_ref()),
        epoch: order.epoch.map(|seconds| (seconds, 0)),
        epoch_text: order.epoch_text(),
        secrets: Secrets::new(order.request.secrets.clone()),
        ssh: order.request.ssh.clone(),
    };
    let fresh = orders.iter().all(|order| order.request.no_cache);
    Ok(Setting {
        store: builder.store.clone(),
        lease: builder.store.lease()?,
        root: builder.root.clone(),
        run_root: builder.run_root.clone(),
        devices: Arc::clone(&builder.devices),
        confinement: builder.confinement.clone(),
        unrecorded: builder.unrecorded,
        processes: builder.processes,
        knows_nothing: !builder.named
            && (fresh || (builder.borrowed.is_none() && Cache::is_empty(&builder.store))),
        syncing: Syncing::new(builder.store.clone()),
        parallelism: builder.parallelism.unwrap_or(threads.max(2)).max(1),
        threads,
        remote: Remote::new(&builder.store, &builder.run_root, &builder.outside, stop),
        project,
        origins: orders.iter().map(origin).collect(),
        bridge_used: AtomicBool::new(false),
    })
}

/// `SOURCE_DATE_EPOCH`, in seconds.
fn epoch(request: &BuildRequest) -> Result<Option<i64>, BuildError> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    let Some(value) = request
        .build_args
        .get(NAME)
        .filter(|value| !value.is_empty())
    else {
        return Ok(None);
    };
    let seconds = value
        .parse::<i64>()
        .ok()
        .filter(|seconds| jiff::Timestamp::from_second(*seconds).is_ok());
    seconds.map(Some).ok_or_else(|| BuildError::Argument {
        name: NAME,
        value: value.clone(),
        wanted: "a number of seconds since 1970",
    })
}

/// Tells of warnings, those that all platforms give once.
fn warn(lowered: &[Lowered], reporter: &Reporter<'_>) {
    let mut told = HashSet::new();
    for warning in lowered.iter().flat_map(|lowered| &lowered.warnings) {
        if !told.insert(warning) {
            continue;
        }
        if warning.is_advice {
            reporter.advice(&warning.message);
        } else {
            reporter.warning(&warning.message, warning.rendered.as_deref());
        }
    }
}

/// Tells of steps that BuildKit's caches may have, under names that are not known.
fn tell_unnamed(solver: &Solver<'_>, reporter: &Reporter<'_>) {
    let names = solver.unnamed();
    if !names.is_empty() {
        let names = names.join(", ");
        reporter.warning(
            &format!("not looked for among BuildKit's steps: {names}"),
            None,
        );
    }
}

/// Images of layouts get no name: their layers are the cache's.
fn note_layouts(graph: &Graph, targets: &[NodeId], setting: &Setting) -> Result<(), BuildError> {
    for node in graph.needed(targets) {
        if let Operation::Image(image) = &graph.node(node).operation
            && LayoutReference::is_meant(&image.reference)
        {
            for layer in &image.layers {
                setting.remote.note(*layer)?;
            }
        }
    }
    Ok(())
}

fn needed_contexts(graph: &Graph, targets: &[NodeId]) -> BTreeSet<ContextId> {
    let needed = graph.needed(targets);
    let operations = needed.iter().map(|node| &graph.node(*node).operation);
    operations
        .filter_map(|operation| match operation {
            Operation::Context(context) => Some(*context),
            _ => None,
        })
        .collect()
}

/// The images of all subjects, given back to their requests.
fn targets_of(
    orders: &[Order<'_>],
    files: &[Loaded],
    images: Vec<BuiltImage>,
    remote: &Remote,
) -> Vec<BuiltTarget> {
    let mut images = images.into_iter();
    let target = |(order, file): (&Order<'_>, &Loaded)| BuiltTarget {
        dockerfile_name: file.source.name().to_owned(),
        dockerfile: file.source.text().to_owned(),
        context: provenance::of_context(order.request.context.as_ref(), remote),
        name: order.request.name.clone(),
        title: order.title.map(str::to_owned),
        multi_platform: order.multi_platform,
        images: images.by_ref().take(order.platforms.len()).collect(),
    };
    orders.iter().zip(files).map(target).collect()
}
