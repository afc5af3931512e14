//! Lists images.

use clap::Args;
use jiff::Timestamp;

use super::{row, tree};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::filter::of_images;
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
    /// Show images with all their names and what they take
    #[arg(long)]
    pub(crate) tree: bool,
    /// A repository, or an image.
    pub(crate) operands: Vec<String>,
}

/// What a tree cannot be shown with, as with Docker.
fn refuse_with_tree(args: &LsArgs) -> Result<(), Failure> {
    let given = [
        (args.quiet, "--quiet"),
        (args.no_trunc, "--no-trunc"),
        (args.digests, "--digests"),
        (args.format.is_some(), "--format"),
    ];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(Failure::invalid(format!(
            "{flag} is not supported with --tree"
        ))),
        None => Ok(()),
    }
}

pub(crate) fn run(context: &Context, args: LsArgs) -> Outcome {
    let now = Timestamp::now();
    let mut filters = of_images(&args.filter, now)?;
    filters.reference.extend(args.operands.iter().cloned());
    if args.tree {
        refuse_with_tree(&args)?;
        return tree::show(context, &filters);
    }
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
