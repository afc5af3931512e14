//! Builds an image.

mod bases;
mod explain;
mod interrupt;
mod lent;
mod request;

use clap::Args;
use gantry_build::{BuildError, BuildRequest, Builder, Cancellation, Reporter, export};
use gantry_model::{Digest, Event, EventType, Reference};

use self::bases::EngineBases;
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
    /// Set build arguments
    #[arg(long)]
    pub(crate) build_arg: Vec<String>,
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
    /// Load the image into the store; it always is
    #[arg(long, hide = true)]
    pub(crate) load: bool,
    /// Network of RUN ("default", "none", "host")
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// Run every step again
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Platform of the image
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Kind of progress output ("auto", "plain", "tty", "quiet") (default "auto")
    #[arg(long)]
    pub(crate) progress: Option<String>,
    /// Look for newer base images
    #[arg(long)]
    pub(crate) pull: bool,
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
    let tags = request::tags(&args.tag)?;
    if let Some(path) = &args.iidfile {
        forget(path)?;
    }
    let engine = context.engine()?;
    let bases = EngineBases::new(engine);
    let builder = Builder {
        store: engine.store()?.clone(),
        bases: &bases,
        root: engine.root().to_owned(),
        run_root: engine.run_root().to_owned(),
        parallelism: None,
        explain: explain.is_some(),
        cancellation: Cancellation::new().map_err(CommandError::file("prepare", "the build"))?,
    };
    let display = BuildDisplay::new(mode, context.ui.color());
    let built = interrupt::guarded(&builder.cancellation, || {
        display.show(
            || make(&builder, request, &tags, &display).map_err(Box::new),
            Result::is_err,
        )
    })?;
    if let Some(explanation) = display.explanation() {
        explain::show(context, explain, mode, &explanation)?;
    }
    match built {
        Ok(id) => finish(context, &args, mode, &id),
        Err(error) => Err(failure(context, *error)),
    }
}

/// Builds and puts the image into the store.
fn make(
    builder: &Builder<'_>,
    request: BuildRequest,
    tags: &[Reference],
    display: &BuildDisplay,
) -> Result<Digest, BuildError> {
    let reporter = Reporter::new(display);
    let outcome = gantry_build::build(builder, &[request], &reporter)?;
    let target = outcome.targets.first();
    let (target, image) = target
        .and_then(|target| Some((target, target.images.first()?)))
        .expect("a request gives a target with an image");
    export::image(&builder.store, target, image, tags, &reporter)
}

fn finish(context: &Context, args: &BuildArgs, mode: Mode, id: &Digest) -> Outcome {
    let id = id.to_string();
    if let Some(path) = &args.iidfile {
        std::fs::write(path, &id).map_err(CommandError::file("write the image ID to", path))?;
    }
    let engine = context.engine()?;
    for name in &args.tag {
        let event = Event::new(EventType::Image, "tag", id.as_str());
        engine.tell(event.with("name", name.as_str()));
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
fn failure(context: &Context, error: BuildError) -> Failure {
    let Some(rendered) = error.rendered().filter(|text| !text.is_empty()) else {
        return error.into();
    };
    context.ui.status(rendered.trim_end_matches('\n'));
    if context.ui.debug() {
        return error.into();
    }
    Failure::Said(1)
}
