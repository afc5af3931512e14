//! Builds an image again, from what it says of its build, and shows what differs.

mod bases;
mod document;
mod plan;
mod text;
mod verdict;

use clap::Args;
use gantry_build::provenance::{PREDICATE_TYPE, Recipe};
use gantry_build::{BuiltImage, Reporter};
use gantry_engine::images::{Attestation, ImageError, Images};
use gantry_model::{Digest, Platform, Reference};
use gantry_store::{CollectPolicy, Image};

use self::bases::PinnedBases;
use self::plan::Plan;
use self::verdict::Verdict;
use super::build::make::{self, Unmade, Way};
use super::build::{request, squash};
use super::cache;
use crate::commands::image::fetch::{self, Wanted};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::build::BuildFlags;
use crate::flags::environment;
use crate::flags::limits::LimitFlags;
use crate::output::progress::build::Mode;

/// The words behind the command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct VerifyArgs {
    /// What everything that builds is told.
    #[command(flatten)]
    pub(crate) flags: BuildFlags,
    /// Set build arguments, beside those that the image names
    #[arg(long)]
    pub(crate) build_arg: Vec<String>,
    /// Name of the Dockerfile (default the one that the image names)
    #[arg(short, long)]
    pub(crate) file: Option<String>,
    /// Format of the output: "text" or "json" (default "text")
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Set labels of the image, beside those that the image names
    #[arg(long)]
    pub(crate) label: Vec<String>,
    /// How many files are listed (default 20, with --format=json 1000)
    #[arg(long, value_name = "int")]
    pub(crate) limit: Option<usize>,
    /// Limits and confinement of RUN.
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
    /// Platform of the image (default that of this machine)
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Count times that the build took from the clock, too: all must be the same to the byte
    #[arg(long)]
    pub(crate) strict: bool,
    /// Stage to build (default the one that the image names, else the last one)
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// The image, and the context.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: VerifyArgs) -> Outcome {
    let as_json = match args.format.as_deref() {
        None | Some("" | "text") => false,
        Some("json") => true,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "invalid --format {other:?}, the formats are text and json"
            )));
        }
    };
    let mode = Mode::choose(args.flags.progress.as_deref(), args.quiet)?;
    let platform = fetch::platform(args.platform.as_deref())?;
    let name = &args.operands[0];
    let image = found(context, name, platform.as_ref(), mode == Mode::Quiet)?;
    let recipe = recipe(context, &args, name, &image.config.platform())?;
    let plan = plan::plan(
        &args,
        &image.config,
        recipe,
        context.proxies()?,
        &environment::caller,
    )?;
    for note in &plan.notes {
        context.ui.warning(note);
    }
    let verdict = rebuild(context, &args, mode, &image, plan)?;
    sweep(context)?;
    if as_json {
        let limit = args.limit.unwrap_or(1000);
        context
            .ui
            .line(&document::of(&verdict, limit).to_string())?;
    } else {
        let limit = args.limit.unwrap_or(20);
        context.ui.data(&text::of(&verdict, limit))?;
    }
    match verdict.is_verified() {
        true => Ok(Exit::SUCCESS),
        false => Err(Failure::Said(1)),
    }
}

/// The image, from its registry if it is not here.
fn found(
    context: &Context,
    name: &str,
    platform: Option<&Platform>,
    quiet: bool,
) -> Result<Image, Failure> {
    let images = context.engine()?.images();
    let missing = match images.resolve_for(name, platform) {
        Err(
            error @ (ImageError::NotFound { .. }
            | ImageError::OtherPlatform { .. }
            | ImageError::NoPlatform { .. }),
        ) => error,
        other => return Ok(other?),
    };
    let Ok(reference) = name.parse::<Reference>() else {
        return Err(missing.into());
    };
    let text = platform.map(ToString::to_string);
    let fetched = fetch::fetch(
        context,
        Wanted {
            reference: &reference,
            platform: text.as_deref(),
            all_platforms: false,
            quiet,
        },
    );
    match (fetched, missing) {
        // What is here and cannot be had elsewhere is what the person means.
        (Err(_), ImageError::OtherPlatform { .. } | ImageError::NoPlatform { .. }) => {}
        (fetched, _) => {
            fetched?;
        }
    }
    Ok(images.resolve_for(name, platform)?)
}

/// What the image says of its build.
fn recipe(
    context: &Context,
    args: &VerifyArgs,
    name: &str,
    platform: &Platform,
) -> Result<Option<Recipe>, Failure> {
    let said = context
        .engine()?
        .images()
        .attestations(name, Some(platform));
    let said = match said {
        Ok(said) => said,
        // Who names the context may know the rest as well.
        Err(error) if args.operands.len() > 1 => {
            context.ui.warning(&format!(
                "what {name} says of its build cannot be read, so that the flags alone count: {error}"
            ));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let is_provenance = |one: &&Attestation| {
        one.predicate_type == PREDICATE_TYPE
            || one
                .predicate_type
                .starts_with("https://slsa.dev/provenance/v0.2")
    };
    let mut provenance = said.iter().filter(is_provenance);
    Ok(provenance.find_map(|one| Recipe::read(&one.predicate)))
}

/// Builds the image again and compares; what was built is nobody's afterwards.
fn rebuild(
    context: &Context,
    args: &VerifyArgs,
    mode: Mode,
    image: &Image,
    plan: Plan,
) -> Result<Verdict, Failure> {
    let engine = context.engine()?;
    let bases = PinnedBases::new(engine, plan.recipe.as_ref());
    let way = Way {
        trusted: args.flags.ca_certificates.as_deref(),
        confinement: request::confinement(&args.limits)?,
        unrecorded: true,
        ..Way::shown(mode)
    };
    make::watched(context, way, &bases, |builder, display| {
        let reporter = Reporter::new(display);
        let requests = std::slice::from_ref(&plan.request);
        let outcome = gantry_build::build(&builder, requests, &reporter)
            .map_err(|error| Unmade::Build(Box::new(error)))?;
        let target = &outcome.targets[0];
        let mut steps = verdict::steps(&target.images[0], &outcome.steps);
        if plan.squash {
            steps.truncate(target.images[0].base_layers);
            steps.push("all steps (--squash)".to_owned());
        }
        let judge = || -> Result<Verdict, Failure> {
            let mut built = match plan.squash {
                true => squash::target(engine, target, &reporter)?.images[0].clone(),
                false => target.images[0].clone(),
            };
            let rewritten = retime(&engine.images(), image, &mut built, plan.epoch)?;
            Ok(Verdict {
                name: args.operands[0].clone(),
                id: image.id,
                rebuilt: built.id(),
                platform: image.config.platform(),
                base_layers: built.base_layers,
                steps,
                comparison: engine.images().compare(&image.config, &built.config)?,
                epoch: plan.epoch,
                has_provenance: plan.recipe.is_some(),
                fields_have_times: args.strict || plan.epoch.is_some(),
                files_have_times: args.strict || rewritten,
            })
        };
        judge().map_err(Unmade::Delivery)
    })
}

/// Where no file of the image is newer than the time of its build, that is so by intention: then
/// none of the rebuild is, either. Says whether it is so.
fn retime(
    images: &Images<'_>,
    image: &Image,
    built: &mut BuiltImage,
    epoch: Option<i64>,
) -> Result<bool, Failure> {
    let own: Vec<Digest> = image
        .layers
        .iter()
        .skip(built.base_layers)
        .copied()
        .collect();
    let Some(epoch) = epoch.filter(|_| !own.is_empty()) else {
        return Ok(false);
    };
    let newest = images.newest(&own)?;
    let later = |time: gantry_store::tar::Timestamp| (time.seconds, time.nanoseconds) > (epoch, 0);
    if newest.is_some_and(later) {
        return Ok(false);
    }
    built.config.rootfs.diff_ids =
        images.retimed(built.layers(), built.base_layers, epoch, false)?;
    Ok(true)
}

/// Takes away what the rebuild left in the store and nothing refers to.
fn sweep(context: &Context) -> Result<(), Failure> {
    let engine = context.engine()?;
    let store = engine.store()?;
    store.let_go();
    store.collect(&cache::roots(engine)?, &CollectPolicy::default())?;
    Ok(())
}
