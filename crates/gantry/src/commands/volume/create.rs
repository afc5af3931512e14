//! Makes a volume.

use std::collections::BTreeMap;

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::flags::environment;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// Volume driver (default "local")
    #[arg(short, long)]
    pub(crate) driver: Option<String>,
    /// Set labels
    #[arg(long)]
    pub(crate) label: Vec<String>,
    /// Set options of the driver
    #[arg(short, long, value_name = "map")]
    pub(crate) opt: Vec<String>,
    /// The name.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: CreateArgs) -> Outcome {
    let driver = args.driver.unwrap_or_default();
    let options: BTreeMap<String, String> = environment::labels(&[], &args.opt)?;
    let labels: BTreeMap<String, String> = environment::labels(&[], &args.label)?;
    let name = args.operands.first().map(String::as_str);
    let volume = context
        .engine()?
        .volumes()
        .create(name, &driver, &labels, &options)?;
    context.ui.line(&volume.name)?;
    Ok(Exit::SUCCESS)
}
