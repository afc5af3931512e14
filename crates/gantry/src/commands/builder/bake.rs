//! Builds the targets of a Bake file.

mod allowed;
mod files;
mod list;
mod order;
mod origin;
mod words;

use clap::Args;
use gantry_bake::{BakeError, Baked, Request, Surroundings};
use gantry_model::Platform;

use self::order::Spelt;
use self::origin::{HERE, Origin, Place};
use super::build::make::{self, Order, Way};
use super::build::{call, forget, metadata};
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::flags::environment;
use crate::output::go_json;
use crate::output::progress::build::Mode;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct BakeArgs {
    /// Grant what targets ask for (network.host, security.insecure, device[=NAME], ssh, fs=PATH,
    /// fs.read=PATH, fs.write=PATH)
    #[arg(long)]
    pub(crate) allow: Vec<String>,
    /// Tell about the targets instead of building them ("check", "outline", "targets")
    #[arg(long)]
    pub(crate) call: Option<String>,
    /// The same as --call=check
    #[arg(long)]
    pub(crate) check: bool,
    /// File with the definitions, "-" for STDIN (default docker-bake.hcl and others)
    #[arg(short, long)]
    pub(crate) file: Vec<String>,
    /// List targets or variables ("targets", "variables", "type=…,format=json")
    #[arg(long)]
    pub(crate) list: Option<String>,
    /// Put images into the store, beside other outputs
    #[arg(long)]
    pub(crate) load: bool,
    /// Write what was made, as JSON by target, to the file
    #[arg(long)]
    pub(crate) metadata_file: Option<String>,
    /// Run every step again
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) no_cache: Option<bool>,
    /// Print the definitions instead of building
    #[arg(long)]
    pub(crate) print: bool,
    /// Kind of progress output ("auto", "plain", "tty", "quiet", "rawjson", "none") (default
    /// "auto")
    #[arg(long)]
    pub(crate) progress: Option<String>,
    /// Shorthand for --set=*.attest=type=provenance
    #[arg(long)]
    pub(crate) provenance: Option<String>,
    /// Look for newer base images
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) pull: Option<bool>,
    /// Upload images
    #[arg(long)]
    pub(crate) push: bool,
    /// Shorthand for --set=*.attest=type=sbom
    #[arg(long)]
    pub(crate) sbom: Option<String>,
    /// Set a value of targets (TARGETS.KEY=VALUE)
    #[arg(long)]
    pub(crate) set: Vec<String>,
    /// Set a variable (NAME=VALUE)
    #[arg(long)]
    pub(crate) var: Vec<String>,
    /// Targets and groups.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: BakeArgs) -> Outcome {
    let mode = Mode::choose(args.progress.as_deref(), false)?;
    if args.print && args.list.is_some() {
        let message = "conflicting options: --print and --list cannot be given together";
        return Err(Failure::invalid(message));
    }
    let (addresses, targets) = addresses(&args.operands);
    let origin = match addresses.first() {
        Some(address) => Origin::fetch(context, mode, address)?,
        None => Origin::Here,
    };
    let surroundings = surroundings(&args, addresses.get(1))?;
    let files = files::read(&args.file, &origin)?;
    if let Some(wanted) = &args.list {
        let definition = gantry_bake::define(&files, &surroundings);
        return list::show(
            context,
            wanted,
            &definition.map_err(|e| failure(context, e))?,
        );
    }
    let request = Request {
        files,
        targets: targets.to_vec(),
        overrides: overrides(&args),
    };
    let baked = gantry_bake::evaluate(&request, &surroundings);
    let baked = baked.map_err(|error| failure(context, error))?;
    if args.print {
        context
            .ui
            .line(&go_json::indented_by_two(&shown(baked, &origin)))?;
        return Ok(Exit::SUCCESS);
    }
    build(context, &args, mode, &origin, &baked)
}

/// The addresses before the targets: that of the definition, and that of the folder of the command.
fn addresses(operands: &[String]) -> (&[String], &[String]) {
    let is_target = |word: &String| !files::is_remote(word);
    let first = operands.iter().take(2).position(is_target);
    operands.split_at(first.unwrap_or(operands.len().min(2)))
}

/// Targets with the contexts that a build has for them, as far as these can be said.
fn shown(mut baked: Baked, origin: &Origin) -> Baked {
    for target in baked.targets.values_mut() {
        if let Some(context) = &target.context
            && let Place::Elsewhere(place) = origin.place(context)
        {
            target.context = Some(place.to_owned());
        }
    }
    baked
}

fn build(
    context: &Context,
    args: &BakeArgs,
    mode: Mode,
    origin: &Origin,
    baked: &Baked,
) -> Outcome {
    let known = allowed::check(&args.allow, origin, baked)?;
    let proxies = context.proxies()?;
    let mut builds = Vec::new();
    for (name, target) in &baked.targets {
        let spelt = Spelt::of(name, target, origin, &proxies);
        builds.push((name, target, spelt.map_err(words::of_target(baked, name))?));
    }
    let spelt = builds.iter().map(|(.., spelt)| spelt);
    let bounds = allowed::check_builds(&args.allow, spelt, &known, origin, baked)?;
    let mut names = Vec::new();
    let mut orders = Vec::new();
    let mut calls = Vec::new();
    for ((name, target, Spelt { args, request }), bounds) in builds.into_iter().zip(bounds) {
        let told = words::of_target(baked, name);
        match call::chosen(&args).map_err(&told)? {
            Some(_) if target.linked => {}
            Some(call) => calls.push((name, call, request)),
            None => {
                let order = Order::of(&args, request).map_err(&told)?;
                orders.push(order.within(bounds));
                names.push(name.clone());
            }
        }
    }
    if let Some(path) = &args.metadata_file {
        forget(path)?;
    }
    let mut exit = Ok(Exit::SUCCESS);
    for (name, call, request) in &calls {
        context.ui.status(&format!("{name}:"));
        match call::run(context, mode, call, request, None) {
            Err(Failure::Said(code)) => exit = Err(Failure::Said(code)),
            other => drop(other?),
        }
    }
    if orders.is_empty() {
        return exit;
    }
    let delivered = make::all(context, Way::shown(mode), orders)?;
    if let Some(path) = &args.metadata_file {
        let documents = names
            .into_iter()
            .zip(delivered.iter().map(metadata::document));
        let all: serde_json::Map<String, serde_json::Value> = documents.collect();
        std::fs::write(path, format!("{:#}", serde_json::Value::Object(all)))
            .map_err(CommandError::file("write the metadata to", path))?;
    }
    exit
}

/// What an evaluation is told of this process.
fn surroundings(args: &BakeArgs, folder: Option<&String>) -> Result<Surroundings, Failure> {
    let mut surroundings = Surroundings {
        environment: environment::all(),
        dotenv: files::dotenv()?,
        command_context: folder.map_or_else(|| HERE.to_owned(), String::clone),
        local_platform: Platform::host().to_string(),
        home: environment::caller("HOME"),
        now: jiff::Timestamp::now().as_second(),
        ..Surroundings::default()
    };
    rustix::rand::getrandom(
        &mut surroundings.seed,
        rustix::rand::GetRandomFlags::empty(),
    )
    .map_err(|errno| CommandError::file("read", "random bytes")(errno.into()))?;
    for text in args.var.iter().filter(|text| !text.is_empty()) {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                surroundings
                    .variables
                    .insert(name.to_owned(), value.to_owned());
            }
            _ => {
                let message = format!("invalid variable {text:?}, expected NAME=VALUE");
                return Err(Failure::invalid(message));
            }
        }
    }
    Ok(surroundings)
}

/// `--set`, and the flags that are short for it.
fn overrides(args: &BakeArgs) -> Vec<String> {
    let mut all = args.set.clone();
    all.extend(args.push.then(|| "*.push=true".to_owned()));
    all.extend(args.load.then(|| "*.load=true".to_owned()));
    let call = args.call.clone().or(args.check.then(|| "check".to_owned()));
    all.extend(call.map(|call| format!("*.call={call}")));
    all.extend(args.no_cache.map(|on| format!("*.no-cache={on}")));
    all.extend(args.pull.map(|on| format!("*.pull={on}")));
    for (kind, value) in [("sbom", &args.sbom), ("provenance", &args.provenance)] {
        all.extend(value.as_ref().map(|value| match value.as_str() {
            "true" | "1" => format!("*.attest=type={kind},disabled=false"),
            "false" | "0" => format!("*.attest=type={kind},disabled=true"),
            attributes => format!("*.attest=type={kind},{attributes}"),
        }));
    }
    all
}

/// An error with a place in a file is shown with its lines.
fn failure(context: &Context, error: BakeError) -> Failure {
    let Some(rendered) = error.rendered() else {
        return error.into();
    };
    context.ui.status(rendered.trim_end_matches('\n'));
    if context.ui.debug() {
        return error.into();
    }
    Failure::Said(1)
}
