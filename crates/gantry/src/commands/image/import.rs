//! Makes an image of a tar archive of files.

use std::fs::File;
use std::io::{self, Read};

use clap::Args;
use gantry_engine::images::ImportOptions;
use gantry_http::address::is_web;
use gantry_model::{Platform, Reference};

use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::flags::value::wrong;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    /// Apply a Dockerfile instruction to the image
    #[arg(short, long)]
    pub(crate) change: Vec<String>,
    /// Remark in the image's history
    #[arg(short, long)]
    pub(crate) message: Option<String>,
    /// Platform of the image
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// The archive and the name of the image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: ImportArgs) -> Outcome {
    let source = args.operands[0].as_str();
    let reference = match args.operands.get(1) {
        Some(name) => Some(
            name.parse::<Reference>()
                .map_err(|e| Failure::invalid(e.to_string()))?,
        ),
        None => None,
    };
    let platform = match args.platform.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(
            text.parse::<Platform>()
                .map_err(wrong("--platform", text))?,
        ),
        None => None,
    };
    let options = ImportOptions {
        reference,
        changes: args.change,
        message: args.message.filter(|text| !text.is_empty()),
        platform,
        source: source.to_owned(),
    };
    let mut tar = open(source)?;
    let id = context.engine()?.images().import(&mut *tar, &options)?;
    context.ui.line(&id.to_string())?;
    Ok(Exit::SUCCESS)
}

fn open(source: &str) -> Result<Box<dyn Read + Send>, Failure> {
    if source == "-" {
        return Ok(Box::new(io::stdin()));
    }
    if is_web(source) {
        return Err(Failure::unsupported(format!(
            "importing from {source} is not supported: an archive is a local file yet, download it first"
        )));
    }
    Ok(Box::new(
        File::open(source).map_err(CommandError::file("open", source))?,
    ))
}
