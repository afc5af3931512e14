//! Lists images.

use clap::Args;
use gantry_engine::images::ImageFilters;
use jiff::Timestamp;

use super::row;
use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::listing::{self, Format, Row};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// Show all images (none are hidden)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Show digests
    #[arg(long)]
    pub(crate) digests: bool,
    /// Filter by conditions (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Do not shorten output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show only image IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// A repository, or an image.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: LsArgs) -> Outcome {
    let now = Timestamp::now();
    let mut filters = ImageFilters::parse(&args.filter, now)?;
    filters.reference.extend(args.operands.iter().cloned());
    let found = context.engine()?.images().list(&filters)?;
    if args.quiet {
        let mut ids: Vec<String> = found
            .iter()
            .map(|image| row::id(&image.id.to_string(), args.no_trunc))
            .collect();
        ids.dedup();
        let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
        context.ui.data(&text)?;
        return Ok(Exit::SUCCESS);
    }
    let rows: Vec<Row> = found
        .iter()
        .map(|image| row::row(image, args.no_trunc, now))
        .collect();
    let shape = if args.digests {
        &row::SHAPE_WITH_DIGEST
    } else {
        &row::SHAPE
    };
    context.ui.data(&listing::render(
        shape,
        &Format::parse(args.format.as_deref()),
        &rows,
    )?)?;
    Ok(Exit::SUCCESS)
}
