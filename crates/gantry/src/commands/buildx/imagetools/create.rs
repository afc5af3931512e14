//! Puts an index together in a registry, out of what is there.

use clap::Args;
use gantry_engine::images::Assembly;

use crate::commands::builder::build::outputs::annotations;
use crate::commands::image::fetch::platforms;
use crate::commands::manifest::{inspect, reference};
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// Add annotation to the image
    #[arg(long)]
    pub(crate) annotation: Vec<String>,
    /// Append to existing manifest
    #[arg(long)]
    pub(crate) append: bool,
    /// Show final image instead of pushing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Read a source from a file
    #[arg(short, long)]
    pub(crate) file: Vec<String>,
    /// Only images of these platforms
    #[arg(short, long)]
    pub(crate) platform: Vec<String>,
    /// When only a single source is given, prefer an index to a copy (default true)
    #[arg(long, action = clap::ArgAction::SetFalse)]
    pub(crate) prefer_index: bool,
    /// Kind of progress output; there is none
    #[arg(long, hide = true)]
    pub(crate) progress: Option<String>,
    /// Set reference for new image
    #[arg(short, long)]
    pub(crate) tag: Vec<String>,
    /// The sources.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: CreateArgs) -> Outcome {
    let tags = args.tag.iter().map(|tag| reference(tag));
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    let mut words = args.operands.clone();
    for path in &args.file {
        let text = std::fs::read_to_string(path).map_err(CommandError::file("read", path))?;
        words.push(source_of(&text));
    }
    if words.is_empty() && !args.append {
        return Err(Failure::invalid("no sources specified"));
    }
    if tags.is_empty() && (args.append || !args.dry_run) {
        return Err(Failure::invalid("a name for the result is needed: --tag"));
    }
    let platform = (!args.platform.is_empty()).then(|| args.platform.join(","));
    let assembly = Assembly {
        sources: words
            .iter()
            .map(|word| reference(word))
            .collect::<Result<_, _>>()?,
        append: args.append,
        platforms: platforms(platform.as_deref())?,
        annotations: args
            .annotation
            .iter()
            .map(|text| annotations::of_flag(text))
            .collect::<Result<Vec<_>, _>>()?
            .concat(),
        prefer_index: args.prefer_index,
    };
    let images = context.engine()?.images();
    let assembled = images.assemble(tags.first(), &assembly)?;
    if args.dry_run {
        context.ui.line(&inspect::indented(&assembled.bytes)?)?;
        return Ok(Exit::SUCCESS);
    }
    for tag in &tags {
        images.push_assembled(&assembled, tag)?;
        context
            .ui
            .status(&format!("pushing {} to {tag}", assembled.descriptor.digest));
    }
    Ok(Exit::SUCCESS)
}

/// What a file names: a reference, or a descriptor with one.
fn source_of(text: &str) -> String {
    let descriptor: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let name = descriptor.as_ref().and_then(|d| {
        let name = d.get("annotations")?.get("image.name")?.as_str()?;
        Some(name.to_owned())
    });
    name.unwrap_or_else(|| text.trim().to_owned())
}
