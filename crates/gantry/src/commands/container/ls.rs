//! Lists containers.

use clap::Args;
use gantry_engine::containers::{ContainerView, Containers, ListOptions};
use jiff::Timestamp;

use super::row::{self, Manner, Sizes};
use super::select::{self, Bounds};
use crate::commands::system::unit;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::filter::Filters;
use crate::output::listing::{self, Format, Row};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter by conditions (e.g. "status=exited")
    #[arg(short, long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Show the n containers created last, in any state
    #[arg(short = 'n', long, value_name = "int")]
    pub(crate) last: Option<i64>,
    /// Show the container created last, in any state
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Do not shorten output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show only container IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show sizes
    #[arg(short, long)]
    pub(crate) size: bool,
}

pub(crate) fn run(context: &Context, args: LsArgs) -> Outcome {
    let filters = Filters::parse(&args.filter, select::FILTERS)?;
    select::check(&filters)?;
    let format = Format::parse(args.format.as_deref());
    let shape = if args.size {
        &row::SHAPE_WITH_SIZE
    } else {
        &row::SHAPE
    };
    let sizes = !args.quiet && (args.size || format.shows("Size", shape));
    let last = if args.latest {
        Some(1)
    } else {
        args.last
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n > 0)
    };
    let engine = context.engine()?;
    let containers = engine.containers();
    let all = args.all || last.is_some() || select::reaches_stopped(&filters);
    let bounds = bounds(&containers, &filters)?;
    let mut views = containers.list(ListOptions { all, sizes })?;
    views.retain(|view| select::fits(&filters, &bounds, &view.record, &view.state));
    views.truncate(last.unwrap_or(usize::MAX));
    if args.quiet {
        if args.format.is_some() {
            context
                .ui
                .warning("Ignoring custom format, because both --format and --quiet are set.");
        }
        let id = |view: &ContainerView| match args.no_trunc {
            true => format!("{}\n", view.record.id),
            false => format!("{}\n", view.record.id.short()),
        };
        context.ui.data(&views.iter().map(id).collect::<String>())?;
        return Ok(Exit::SUCCESS);
    }
    let manner = Manner {
        now: Timestamp::now(),
        whole: args.no_trunc,
    };
    let rows: Vec<Row> = views
        .iter()
        .map(|view| row::row(&view.record, &view.state, sizes_of(context, view), manner))
        .collect();
    context.ui.data(&listing::render(shape, &format, &rows)?)?;
    if context.ui.is_conversation()
        && let Some(advice) = unit::advice(context, &views)
    {
        context.ui.hint(&advice);
    }
    Ok(Exit::SUCCESS)
}

/// When the containers were created that `before` and `since` name.
fn bounds(containers: &Containers<'_>, filters: &Filters) -> Result<Bounds, Failure> {
    let created = |name: &str| -> Result<Option<Timestamp>, Failure> {
        let Some(container) = filters.values(name).last() else {
            return Ok(None);
        };
        let (record, _) = containers.look(container)?;
        Ok(crate::output::time::parse(&record.created))
    };
    Ok(Bounds {
        before: created("before")?,
        since: created("since")?,
    })
}

/// The sizes of a container, its image's included; that of an image that is gone is nothing.
fn sizes_of(context: &Context, view: &ContainerView) -> Option<Sizes> {
    let own = view.size?;
    let images = context.engine().ok()?.images();
    let image = images
        .inspect(&view.record.image_id.to_string(), None)
        .map_or(0, |image| image.size);
    Some(Sizes {
        own,
        whole: own + image,
    })
}
