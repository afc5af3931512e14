//! Reads images from a tar archive.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use clap::Args;
use gantry_engine::images::Loaded;
use gantry_engine::images::load::LoadOptions;

use super::fetch::{Heading, Shown, platform};
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// Read from a file instead of STDIN
    #[arg(short, long)]
    pub(crate) input: Option<String>,
    /// Platform to take out of an index
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Print no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

pub(crate) fn run(context: &Context, args: LoadArgs) -> Outcome {
    let input = match args
        .input
        .as_deref()
        .filter(|path| !path.is_empty() && *path != "-")
    {
        Some(path) => File::open(path).map_err(CommandError::file("open", path))?,
        None if io::stdin().is_terminal() => {
            return Err(Failure::invalid(
                "requested load from stdin, but stdin is empty",
            ));
        }
        None => {
            let own = io::stdin().as_fd().try_clone_to_owned();
            File::from(own.map_err(CommandError::file("read", "STDIN"))?)
        }
    };
    let options = LoadOptions {
        platform: platform(args.platform.as_deref())?,
    };
    let shown = Shown::new(args.quiet, Heading::Nothing);
    let loaded = context.engine()?.images().load(input, &options, &shown);
    shown.display.finish();
    context.ui.data(&text(&loaded?))?;
    Ok(Exit::SUCCESS)
}

/// What was loaded, in Docker's words.
fn text(loaded: &[Loaded]) -> String {
    let mut text = String::new();
    for image in loaded {
        for (name, id) in &image.taken {
            text.push_str(&format!(
                "The image {} already exists, renaming the old one with ID {id} to empty string\n",
                name.familiar()
            ));
        }
        for name in &image.references {
            text.push_str(&format!("Loaded image: {}\n", name.familiar()));
        }
        if image.references.is_empty() {
            text.push_str(&format!("Loaded image ID: {}\n", image.id));
        }
    }
    text
}
