//! One build from beginning to end.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_dockerfile::ignore::IgnoreFile;
use gantry_dockerfile::{Dockerfile, SourceFile};
use gantry_model::Platform;

use crate::cache::Cache;
use crate::error::BuildError;
use crate::export;
use crate::graph::{Graph, NodeId, Operation};
use crate::lower::{self, Settings};
use crate::progress::Progress;
use crate::report::Reporter;
use crate::request::{BuildRequest, BuildResult, Builder, DockerfileSource};
use crate::run_folder;
use crate::run_step;
use crate::secrets::Secrets;
use crate::solve::{Setting, Solver, Stop, Syncing};
use crate::sources::Sources;
use crate::tree::{StatCache, Tree};

/// Most bytes of a Dockerfile or an ignore file.
const LARGEST: u64 = 8 << 20;

/// Builds an image.
///
/// # Errors
/// See [`BuildError`]. What was begun is removed; what was finished stays in the cache.
pub fn build(
    builder: &Builder<'_>,
    request: &BuildRequest,
    progress: &dyn Progress,
) -> Result<BuildResult, BuildError> {
    let reporter = Reporter::new(progress);
    // What a killed build left is in nobody's way: the next one or a prune tries again.
    drop(run_folder::sweep(&builder.run_root));
    let (source, dockerfile) = load_dockerfile(request, &reporter)?;
    let epoch = epoch(request)?;
    let settings = settings(request, epoch);
    let sources = Sources::new(builder.bases, request.pull, &reporter);
    let lowered = lower::lower(&dockerfile, &source, &settings, &sources)?;
    for warning in &lowered.warnings {
        reporter.warning(&warning.message, warning.rendered.as_deref());
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let setting = Setting {
        store: builder.store.clone(),
        lease: builder.store.lease()?,
        root: builder.root.clone(),
        run_root: builder.run_root.clone(),
        no_cache: request.no_cache,
        knows_nothing: request.no_cache || Cache::is_empty(&builder.store),
        syncing: Syncing::new(builder.store.clone()),
        parallelism: request.parallelism.unwrap_or(threads.max(2)).max(1),
        threads,
        epoch: epoch.map(|seconds| (seconds, 0)),
        epoch_text: settings.epoch.clone(),
        secrets: Secrets::new(request.secrets.clone()),
        ssh: request.ssh.clone(),
        bridge_used: AtomicBool::new(false),
    };
    let context = match (
        &request.context,
        needs_context(&lowered.graph, lowered.target),
    ) {
        (Some(path), true) => Some(open_context(path, request, &setting, &reporter)?),
        _ => None,
    };
    let stop = Stop::new(request.cancellation.clone()).map_err(|source| BuildError::Io {
        action: "make",
        path: PathBuf::from("an eventfd"),
        source,
    })?;
    let mut solver = Solver::new(&setting, &lowered.graph, &reporter, &source, stop, context);
    let solved = solver.solve(lowered.target);
    if setting.bridge_used.load(Ordering::Relaxed) {
        // If it fails, whoever uses the bridge next sees to it.
        let _started = run_step::start_teardown(&setting.run_root);
    }
    let layers = solved?;
    solver.search_leaks(lowered.target, &lowered.config, &lowered.history)?;
    setting.syncing.finish();
    let tally = solver.tally();
    let image_id = export::export(
        &builder.store,
        lowered.config,
        lowered.history,
        &layers,
        &request.tags,
        &reporter,
    )?;
    Ok(BuildResult {
        image_id,
        tags: request.tags.clone(),
        layers: layers.iter().map(|layer| layer.diff_id).collect(),
        executed: tally.executed,
        cached: tally.cached,
    })
}

fn settings(request: &BuildRequest, epoch: Option<i64>) -> Settings {
    let build_platform = Platform::host();
    Settings {
        build_args: request.build_args.clone(),
        proxy_args: request.proxy_args.clone(),
        labels: request.labels.clone(),
        target: request.target.clone(),
        network: request.network,
        extra_hosts: request.extra_hosts.clone(),
        target_platform: request
            .platform
            .clone()
            .unwrap_or_else(|| build_platform.clone()),
        build_platform,
        epoch: epoch
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .map(|time| time.to_string()),
    }
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

fn needs_context(graph: &Graph, target: NodeId) -> bool {
    graph
        .needed(target)
        .iter()
        .any(|node| graph.node(*node).operation == Operation::Context)
}

/// Reads and parses the Dockerfile.
fn load_dockerfile(
    request: &BuildRequest,
    reporter: &Reporter<'_>,
) -> Result<(SourceFile, Dockerfile), BuildError> {
    let (name, bytes) = dockerfile_bytes(request)?;
    let vertex = reporter.begin(&format!("[internal] load build definition from {name}"));
    reporter.bytes(
        vertex,
        "transferring dockerfile:",
        bytes.len() as u64,
        None,
        true,
    );
    let parse = || -> Result<(SourceFile, Dockerfile), BuildError> {
        let source = SourceFile::from_bytes(name, bytes)
            .map_err(|invalid| BuildError::dockerfile(&invalid.source, &[invalid.diagnostic]))?;
        let dockerfile = gantry_dockerfile::parse(&source)
            .map_err(|errors| BuildError::dockerfile(&source, &errors))?;
        check_syntax(&source, &dockerfile)?;
        Ok((source, dockerfile))
    };
    let parsed = parse();
    match &parsed {
        Ok(_) => reporter.done(vertex),
        Err(error) => reporter.failed(vertex, &error.to_string()),
    }
    parsed
}

/// Front ends of Docker's own line are this one; another would have to be run.
fn check_syntax(source: &SourceFile, dockerfile: &Dockerfile) -> Result<(), BuildError> {
    let Some(syntax) = &dockerfile.directives.syntax else {
        return Ok(());
    };
    let name = syntax.value.trim();
    let own = name
        .parse::<gantry_model::Reference>()
        .is_ok_and(|reference| {
            reference.registry() == "docker.io"
                && matches!(
                    reference.repository(),
                    "docker/dockerfile" | "docker/dockerfile-upstream"
                )
                && reference.tag().is_none_or(|tag| {
                    tag == "latest" || tag == "labs" || tag.split(['.', '-']).next() == Some("1")
                })
        });
    if own {
        return Ok(());
    }
    let message =
        format!("the front end {name} is not supported, only docker/dockerfile up to 1.x is");
    Err(BuildError::unsupported(source, syntax.span, message))
}

/// The Dockerfile's name and bytes.
fn dockerfile_bytes(request: &BuildRequest) -> Result<(String, Vec<u8>), BuildError> {
    let path = match (&request.dockerfile, &request.context) {
        (Some(DockerfileSource::Inline { name, bytes }), _) => {
            return Ok((name.clone(), bytes.clone()));
        }
        (Some(DockerfileSource::File(path)), _) => path.clone(),
        (None, Some(context)) => {
            if !context.is_dir() {
                return Err(BuildError::NoContext {
                    path: context.clone(),
                });
            }
            let usual = context.join("Dockerfile");
            let lower = context.join("dockerfile");
            if !usual.exists() && lower.exists() {
                lower
            } else {
                usual
            }
        }
        (None, None) => PathBuf::from("Dockerfile"),
    };
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    match read(&path)? {
        Some(bytes) => Ok((name, bytes)),
        None => Err(BuildError::NoDockerfile { path }),
    }
}

/// A small file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    let failed = |source| BuildError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        other => other.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(BuildError::DockerfileTooLarge {
            path: path.display().to_string(),
            limit: LARGEST,
        });
    }
    Ok(Some(bytes))
}

/// Opens the context with its ignore file: that of the Dockerfile, else that of the context.
fn open_context(
    path: &Path,
    request: &BuildRequest,
    setting: &Setting,
    reporter: &Reporter<'_>,
) -> Result<Tree, BuildError> {
    let vertex = reporter.begin("[internal] load .dockerignore");
    let dockerfile = match &request.dockerfile {
        Some(DockerfileSource::File(path)) => Some(path.clone()),
        Some(DockerfileSource::Inline { .. }) => None,
        None => Some(path.join("Dockerfile")),
    };
    let own = dockerfile.map(|mut path| {
        path.as_mut_os_string().push(".dockerignore");
        path
    });
    let mut found = None;
    for candidate in own.into_iter().chain([path.join(".dockerignore")]) {
        if let Some(bytes) = read(&candidate)? {
            found = Some((candidate, bytes));
            break;
        }
    }
    let (name, bytes) = found.unwrap_or_else(|| (path.join(".dockerignore"), Vec::new()));
    reporter.bytes(
        vertex,
        "transferring context:",
        bytes.len() as u64,
        None,
        true,
    );
    let ignore = IgnoreFile::parse(&bytes).map_err(|source| BuildError::IgnoreFile {
        path: name.display().to_string(),
        source,
    })?;
    reporter.done(vertex);
    let absolute = std::fs::canonicalize(path).map_err(|_| BuildError::NoContext {
        path: path.to_owned(),
    })?;
    let cache = StatCache::open(&setting.root.join("build/stat"), &absolute);
    let tree = Tree::context(&absolute, ignore, cache, setting.threads);
    let tree = tree.map_err(|_| BuildError::NoContext {
        path: path.to_owned(),
    })?;
    Ok(if setting.knows_nothing {
        tree.unread()
    } else {
        tree
    })
}
