//! Makes one layer of the layers of an image.

use clap::Args;
use gantry_engine::images::{SquashOnto, SquashOptions};
use gantry_model::Reference;

use super::fetch::platform;
use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::flags::value::wrong;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct SquashArgs {
    /// How many layers stay below the one, or an image whose layers do (default 0)
    #[arg(long, value_name = "number|image")]
    pub(crate) from: Option<String>,
    /// Platform that the image must be for (e.g. "linux/amd64")
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Name of the image that is made, with a tag after a colon
    #[arg(short, long)]
    pub(crate) tag: Vec<String>,
    /// The image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: SquashArgs) -> Outcome {
    let tags: Result<Vec<Reference>, _> = args
        .tag
        .iter()
        .map(|text| text.parse::<Reference>().map_err(wrong("--tag", text)))
        .collect();
    let options = SquashOptions {
        onto: match args.from {
            None => SquashOnto::Layers(0),
            Some(text) => match text.parse() {
                Ok(number) => SquashOnto::Layers(number),
                Err(_) => SquashOnto::Image(text),
            },
        },
        platform: platform(args.platform.as_deref())?,
        tags: tags?,
    };
    let id = context
        .engine()?
        .images()
        .squash(&args.operands[0], &options)?;
    context.ui.line(&id.to_string())?;
    Ok(Exit::SUCCESS)
}
