//! Lists volumes.

use clap::Args;
use gantry_engine::volumes::Volume;

use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::flags::filter::{Filters, has_label};
use crate::output::listing::{self, Format, Row, Shape};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// Filter by conditions (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Show only volume names
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// The fields of a volume.
pub(crate) const SHAPE: Shape = Shape {
    fields: &[
        ("Driver", "DRIVER"),
        ("Name", "VOLUME NAME"),
        ("Labels", "LABELS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
        ("Links", "LINKS"),
        ("Availability", "AVAILABILITY"),
        ("Group", "GROUP"),
        ("Status", "STATUS"),
    ],
    table: &["Driver", "Name"],
    raw: "name: {{.Name}}\ndriver: {{.Driver}}\n",
};

pub(crate) fn run(context: &Context, args: LsArgs) -> Outcome {
    let filters = Filters::parse(&args.filter, &["dangling", "driver", "label", "name"])?;
    let dangling = filters.truth("dangling")?;
    let volumes = context.engine()?.volumes();
    let mut found = volumes.list()?;
    if let Some(dangling) = dangling {
        let users = volumes.users()?;
        found.retain(|volume| users.known.contains_key(&volume.name) != dangling);
    }
    found.retain(|volume| {
        filters.any("name", |part| volume.name.contains(part))
            && filters.any("driver", |driver| driver == "local")
            && filters.all("label", |label| has_label(&volume.labels, label))
    });
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if args.quiet && args.format.is_none() {
        let names: String = found.iter().map(|v| format!("{}\n", v.name)).collect();
        context.ui.data(&names)?;
        return Ok(Exit::SUCCESS);
    }
    let rows: Vec<Row> = found.iter().map(row).collect();
    context.ui.data(&listing::render(
        &SHAPE,
        &Format::parse(args.format.as_deref()),
        &rows,
    )?)?;
    Ok(Exit::SUCCESS)
}

/// The row of a volume.
pub(crate) fn row(volume: &Volume) -> Row {
    let unknown = || "N/A".to_owned();
    Row::new([
        ("Driver", "local".to_owned()),
        ("Name", volume.name.clone()),
        ("Mountpoint", volume.mountpoint.display().to_string()),
        ("Scope", "local".to_owned()),
        ("Size", unknown()),
        ("Links", unknown()),
        ("Availability", unknown()),
        ("Group", unknown()),
        ("Status", unknown()),
    ])
    .with_labels(&volume.labels)
}
