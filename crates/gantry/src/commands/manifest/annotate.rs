//! Says something else of the platform of an image of a list.

use clap::Args;
use gantry_engine::images::PlatformChange;

use super::reference;
use crate::context::Context;
use crate::failure::{Exit, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnnotateArgs {
    /// Set architecture
    #[arg(long)]
    pub(crate) arch: Option<String>,
    /// Set operating system
    #[arg(long)]
    pub(crate) os: Option<String>,
    /// Set operating system feature
    #[arg(long)]
    pub(crate) os_features: Vec<String>,
    /// Set operating system version
    #[arg(long)]
    pub(crate) os_version: Option<String>,
    /// Set architecture variant
    #[arg(long)]
    pub(crate) variant: Option<String>,
    /// The list and the image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: AnnotateArgs) -> Outcome {
    let [list, image] = args.operands.as_slice() else {
        unreachable!("the command takes two words")
    };
    let change = PlatformChange {
        architecture: args.arch,
        os: args.os,
        os_version: args.os_version,
        os_features: args.os_features,
        variant: args.variant,
    };
    let images = context.engine()?.images();
    images.annotate_list(&reference(list)?, image, &change)?;
    Ok(Exit::SUCCESS)
}
