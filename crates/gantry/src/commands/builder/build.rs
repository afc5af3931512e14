//! Builds an image.

mod attest;
mod authorities;
mod bases;
pub(super) mod bounds;
pub(crate) mod caches;
pub(super) mod call;
mod context;
pub(super) mod deliver;
mod devices;
mod explain;
mod interrupt;
pub(super) mod lent;
pub(super) mod make;
pub(super) mod metadata;
mod on_failure;
pub(crate) mod outputs;
pub(super) mod request;
pub(super) mod squash;

use clap::Args;
use gantry_build::BuildError;

pub(crate) use self::bases::EngineBases;
pub(crate) use self::context::from_stdin as dockerfile_from_stdin;
use self::deliver::Delivered;
use self::make::{Order, Way};
use self::on_failure::OnFailure;
pub(crate) use self::request::build_args;
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::flags::build::BuildFlags;
use crate::flags::environment;
use crate::flags::limits::LimitFlags;
use crate::output::progress::build::Mode;

/// The words behind the command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BuildArgs {
    /// What everything that builds is told.
    #[command(flatten)]
    pub(crate) flags: BuildFlags,
    /// Annotation of the image ([manifest:|index:|…]KEY=VALUE)
    #[arg(long)]
    pub(crate) annotation: Vec<String>,
    /// What to attach to the image (type=provenance|sbom[,KEY=VALUE…])
    #[arg(long)]
    pub(crate) attest: Vec<String>,
    /// Cache to look for steps in (IMAGE|type=registry|local[,KEY=VALUE…])
    #[arg(long)]
    pub(crate) cache_from: Vec<String>,
    /// Cache to write (type=inline|registry|local[,KEY=VALUE…])
    #[arg(long)]
    pub(crate) cache_to: Vec<String>,
    /// Set build arguments
    #[arg(long)]
    pub(crate) build_arg: Vec<String>,
    /// Compress the context; it is read in place, so that there is nothing to compress
    #[arg(long)]
    pub(crate) compress: bool,
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
    /// Limits and confinement of RUN.
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
    /// Run every step again
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// What is done when a RUN fails ("fail", or "shell" to look around in it) (default "fail")
    #[arg(long, value_name = "fail|shell")]
    pub(crate) on_failure: Option<String>,
    /// Where the result goes ([PATH|-|type=TYPE[,KEY=VALUE…]])
    #[arg(short, long)]
    pub(crate) output: Vec<String>,
    /// Run every step of these stages again
    #[arg(long, value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// Platforms of the image, with commas between
    #[arg(long)]
    pub(crate) platform: Vec<String>,
    /// Look for newer base images
    #[arg(long)]
    pub(crate) pull: bool,
    /// Attach how the image was made (true, false, mode=min|max)
    #[arg(long)]
    pub(crate) provenance: Option<String>,
    /// Upload the image, as --output=type=registry does
    #[arg(long)]
    pub(crate) push: bool,
    /// Print the image ID only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Remove intermediate containers; there are none
    #[arg(long, hide = true)]
    pub(crate) rm: bool,
    /// Attach what is in the image (true, false)
    #[arg(long)]
    pub(crate) sbom: Option<String>,
    /// Make one layer of those above the base image
    #[arg(long)]
    pub(crate) squash: bool,
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
    let progress = Mode::asked(args.flags.progress.as_deref());
    let mode = Mode::choose(args.flags.progress.as_deref(), args.quiet)?;
    let on_failure = OnFailure::choose(args.on_failure.as_deref(), progress.as_deref())?;
    let mode = on_failure.mode(mode);
    let explain = explain::Format::choose(args.explain.as_deref(), mode)?;
    let request = request::translate(&args, context.proxies()?, &environment::caller)?;
    if let Some(call) = call::chosen(&args)? {
        return call::run(
            context,
            mode,
            &call,
            &request,
            args.flags.ca_certificates.as_deref(),
        );
    }
    let order = Order::of(&args, request)?;
    explain::check(explain, &order.outputs)?;
    for path in [&args.iidfile, &args.metadata_file].into_iter().flatten() {
        forget(path)?;
    }
    let way = Way {
        explain,
        trusted: args.flags.ca_certificates.as_deref(),
        shell: on_failure.shell(),
        confinement: request::confinement(&args.limits)?,
        ..Way::shown(mode)
    };
    let delivered = make::all(context, way, vec![order])?;
    // Without any progress nothing is said of the result, either.
    let wants_id = mode == Mode::Quiet && progress.as_deref() != Some("none");
    finish(context, &args, wants_id, &delivered[0])
}

fn finish(context: &Context, args: &BuildArgs, wants_id: bool, delivered: &Delivered) -> Outcome {
    let id = delivered.id.map(|id| id.to_string()).unwrap_or_default();
    if let Some(path) = &args.iidfile {
        std::fs::write(path, &id).map_err(CommandError::file("write the image ID to", path))?;
    }
    if let Some(path) = &args.metadata_file {
        std::fs::write(path, metadata::text(delivered))
            .map_err(CommandError::file("write the metadata to", path))?;
    }
    if wants_id {
        context.ui.line(&id)?;
    }
    Ok(Exit::SUCCESS)
}

/// A file left by an earlier build must not be taken for the result of this one.
pub(super) fn forget(path: &str) -> Result<(), CommandError> {
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
