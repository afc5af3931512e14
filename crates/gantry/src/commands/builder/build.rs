//! Builds an image.

mod bases;
mod caches;
mod call;
mod context;
mod deliver;
mod explain;
mod interrupt;
mod lent;
mod metadata;
mod outputs;
mod request;

use clap::Args;
use gantry_build::{BuildError, BuildRequest, Builder, Cancellation, Outside, Reporter};
use gantry_engine::Engine;
use gantry_engine::caches::CachePlace;

pub(crate) use self::bases::EngineBases;
use self::caches::{CacheTo, Imported};
pub(crate) use self::context::from_stdin as dockerfile_from_stdin;

use self::deliver::{Delivered, Delivery};
use self::outputs::{Output, Shorthands};
pub(crate) use self::request::build_args;
use super::cache;
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::flags::environment;
use crate::output::progress::build::{BuildDisplay, Mode};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct BuildArgs {
    /// Add a host-to-IP mapping for RUN (host:ip)
    #[arg(long)]
    pub(crate) add_host: Vec<String>,
    /// Annotation of the image ([manifest:|index:|…]KEY=VALUE)
    #[arg(long)]
    pub(crate) annotation: Vec<String>,
    /// Cache to look for steps in (IMAGE|type=registry|local[,KEY=VALUE…])
    #[arg(long)]
    pub(crate) cache_from: Vec<String>,
    /// Cache to write (type=inline|registry|local[,KEY=VALUE…])
    #[arg(long)]
    pub(crate) cache_to: Vec<String>,
    /// Set build arguments
    #[arg(long)]
    pub(crate) build_arg: Vec<String>,
    /// Further context (NAME=FOLDER|ARCHIVE|URL|GIT|docker-image://IMAGE)
    #[arg(long)]
    pub(crate) build_context: Vec<String>,
    /// Tell about the build instead of doing it ("build", "check", "outline", "targets", each
    /// with ",format=json")
    #[arg(long)]
    pub(crate) call: Option<String>,
    /// The same as --call=check
    #[arg(long)]
    pub(crate) check: bool,
    /// Skip image verification; content is always verified
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    /// Say why each step ran or did not, as "text" on STDERR or "json" on STDOUT
    #[arg(long, value_name = "format", num_args = 0..=1, require_equals = true,
          default_missing_value = "text")]
    pub(crate) explain: Option<String>,
    /// Name of the Dockerfile (default "PATH/Dockerfile")
    #[arg(short, long)]
    pub(crate) file: Option<String>,
    /// Remove intermediate containers; there are none
    #[arg(long, hide = true)]
    pub(crate) force_rm: bool,
    /// Write the image ID to the file
    #[arg(long)]
    pub(crate) iidfile: Option<String>,
    /// Set labels of the image
    #[arg(long)]
    pub(crate) label: Vec<String>,
    /// Put the image into the store, beside other outputs
    #[arg(long)]
    pub(crate) load: bool,
    /// Write what was made, as JSON, to the file
    #[arg(long)]
    pub(crate) metadata_file: Option<String>,
    /// Network of RUN ("default", "none", "host")
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// Run every step again
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Where the result goes ([PATH|-|type=TYPE[,KEY=VALUE…]])
    #[arg(short, long)]
    pub(crate) output: Vec<String>,
    /// Run every step of these stages again
    #[arg(long, value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// Platforms of the image, with commas between
    #[arg(long)]
    pub(crate) platform: Vec<String>,
    /// Kind of progress output ("auto", "plain", "tty", "quiet") (default "auto")
    #[arg(long)]
    pub(crate) progress: Option<String>,
    /// Look for newer base images
    #[arg(long)]
    pub(crate) pull: bool,
    /// Upload the image, as --output=type=registry does
    #[arg(long)]
    pub(crate) push: bool,
    /// Print the image ID only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Remove intermediate containers; there are none
    #[arg(long, hide = true)]
    pub(crate) rm: bool,
    /// Secret for RUN --mount=type=secret (id=NAME[,src=FILE|,env=VARIABLE])
    #[arg(long)]
    pub(crate) secret: Vec<String>,
    /// SSH agent for RUN --mount=type=ssh (default|NAME[=SOCKET])
    #[arg(long)]
    pub(crate) ssh: Vec<String>,
    /// Name of the image, with a tag after a colon
    #[arg(short, long)]
    pub(crate) tag: Vec<String>,
    /// Stage to build (default the last one)
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// The context.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: BuildArgs) -> Outcome {
    let progress = args
        .progress
        .clone()
        .or_else(|| environment::caller("BUILDKIT_PROGRESS"));
    let mode = Mode::choose(progress.as_deref(), args.quiet)?;
    let explain = explain::Format::choose(args.explain.as_deref(), mode)?;
    let request = request::translate(&args, context.proxies()?, &environment::caller)?;
    if let Some(call) = call::chosen(&args)? {
        return call::run(context, mode, &call, &request);
    }
    let tags = request::tags(&args.tag)?;
    let outputs = outputs::parse(
        &args.output,
        Shorthands {
            push: args.push,
            load: args.load,
            annotations: &args.annotation,
            tags: &tags,
        },
    )?;
    let wanted = Wanted {
        from: caches::sources(&args.cache_from)?,
        to: caches::targets(&args.cache_to)?,
        outputs,
    };
    caches::check(&wanted.to, &wanted.outputs)?;
    explain::check(explain, &wanted.outputs)?;
    for path in [&args.iidfile, &args.metadata_file].into_iter().flatten() {
        forget(path)?;
    }
    let engine = context.engine()?;
    let bases = EngineBases::new(engine);
    let roots = || engine.roots().ok();
    let builder = Builder {
        store: engine.store()?.clone(),
        bases: &bases,
        outside: Outside {
            environment: environment::all(),
            authorities: None,
        },
        borrowed: None,
        root: engine.root().to_owned(),
        run_root: engine.run_root().to_owned(),
        parallelism: None,
        explain: explain.is_some(),
        housekeeping: cache::housekeeping(engine, &roots),
        cancellation: Cancellation::new().map_err(CommandError::file("prepare", "the build"))?,
    };
    let display = BuildDisplay::new(mode, context.ui.color(), context.ui.debug());
    let cancellation = builder.cancellation.clone();
    let built = interrupt::guarded(&cancellation, || {
        display.show(
            || make(builder, engine, request, &wanted, &display),
            Result::is_err,
        )
    })?;
    if let Some(explanation) = display.explanation() {
        explain::show(context, explain, mode, &explanation)?;
    }
    match built {
        Ok(delivered) => finish(context, &args, mode, &delivered),
        Err(Unmade::Build(error)) => Err(failure(context, *error)),
        Err(Unmade::Delivery(failure)) => Err(failure),
    }
}

/// Why there is no result.
enum Unmade {
    Build(Box<BuildError>),
    Delivery(Failure),
}

/// What becomes of a build, and what it borrows.
struct Wanted {
    outputs: Vec<Output>,
    from: Vec<CachePlace>,
    to: Vec<CacheTo>,
}

/// Builds and delivers.
fn make(
    builder: Builder<'_>,
    engine: &Engine,
    request: BuildRequest,
    wanted: &Wanted,
    display: &BuildDisplay,
) -> Result<Delivered, Unmade> {
    let reporter = Reporter::new(display);
    let epoch = request.build_args.get("SOURCE_DATE_EPOCH");
    let epoch = epoch.and_then(|seconds| seconds.parse().ok());
    let imported = Imported::read(engine, &wanted.from, &reporter);
    let builder = Builder {
        borrowed: (!wanted.from.is_empty()).then_some(&imported),
        ..builder
    };
    let mut outcome = gantry_build::build(&builder, &[request], &reporter)
        .map_err(|error| Unmade::Build(Box::new(error)))?;
    let target = &mut outcome.targets[0];
    caches::write_inline(&wanted.to, &outcome.steps, target);
    let delivery = Delivery {
        engine,
        target,
        epoch,
        reporter: &reporter,
    };
    let deliver = || {
        let delivered = delivery.all(&wanted.outputs)?;
        caches::export(
            engine,
            &wanted.to,
            &outcome.steps,
            delivery.target,
            &reporter,
        )?;
        Ok(delivered)
    };
    let delivered = deliver().map_err(Unmade::Delivery)?;
    if let (Some(housekeeping), true) = (builder.housekeeping, outcome.executed > 0) {
        // What the image has does not count to the cache any more.
        let cache = cache::of(engine).map_err(Unmade::Delivery)?;
        cache.make_room(housekeeping, 0);
    }
    Ok(delivered)
}

fn finish(context: &Context, args: &BuildArgs, mode: Mode, delivered: &Delivered) -> Outcome {
    let id = delivered.id.map(|id| id.to_string()).unwrap_or_default();
    if let Some(path) = &args.iidfile {
        std::fs::write(path, &id).map_err(CommandError::file("write the image ID to", path))?;
    }
    if let Some(path) = &args.metadata_file {
        std::fs::write(path, metadata::text(delivered))
            .map_err(CommandError::file("write the metadata to", path))?;
    }
    if mode == Mode::Quiet {
        context.ui.line(&id)?;
    }
    Ok(Exit::SUCCESS)
}

/// A file left by an earlier build must not be taken for the result of this one.
fn forget(path: &str) -> Result<(), CommandError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CommandError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// A failure with a place in the Dockerfile is shown with its lines.
pub(crate) fn failure(context: &Context, error: BuildError) -> Failure {
    let Some(rendered) = error.rendered().filter(|text| !text.is_empty()) else {
        return error.into();
    };
    context.ui.status(rendered.trim_end_matches('\n'));
    if context.ui.debug() {
        return error.into();
    }
    Failure::Said(1)
}
