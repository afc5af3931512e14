//! Shows how much disk is used.

use clap::Args;
use gantry_engine::containers::ListOptions;
use gantry_engine::system::DiskUsage;
use gantry_engine::system::usage::Group;
use jiff::Timestamp;

use crate::commands::container::row as container_row;
use crate::commands::image::row as image_row;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::listing::{self, Format, Row, Shape};
use crate::output::size;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct DfArgs {
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Show each image, container and volume
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

const SHAPE: Shape = Shape {
    fields: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    table: &["Type", "TotalCount", "Active", "Size", "Reclaimable"],
};

const IMAGES: Shape = Shape {
    table: &[
        "Repository",
        "Tag",
        "ID",
        "CreatedSince",
        "Size",
        "SharedSize",
        "UniqueSize",
        "Containers",
    ],
    ..image_row::SHAPE
};

const CONTAINERS: Shape = Shape {
    table: &[
        "ID",
        "Image",
        "Command",
        "LocalVolumes",
        "Size",
        "RunningFor",
        "Status",
        "Names",
    ],
    ..container_row::SHAPE
};

const VOLUMES: Shape = Shape {
    fields: &[
        ("Name", "VOLUME NAME"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
    ],
    table: &["Name", "Links", "Size"],
};

pub(crate) fn run(context: &Context, args: DfArgs) -> Outcome {
    if args.verbose && args.format.is_some() {
        return Err(Failure::unsupported(
            "flag --format with --verbose is not supported: use one of them",
        ));
    }
    let usage = context.engine()?.system().disk_usage()?;
    let text = match args.verbose {
        true => details(context, &usage)?,
        false => listing::render(
            &SHAPE,
            &Format::parse(args.format.as_deref()),
            &groups(&usage),
        )?,
    };
    context.ui.data(&text)?;
    Ok(Exit::SUCCESS)
}

fn groups(usage: &DiskUsage) -> Vec<Row> {
    [
        ("Images", usage.images),
        ("Containers", usage.containers),
        ("Local Volumes", usage.volumes),
        ("Build Cache", usage.build_cache),
    ]
    .map(|(name, group)| {
        Row::new([
            ("Type", name.to_owned()),
            ("TotalCount", group.count.to_string()),
            ("Active", group.active.to_string()),
            ("Size", size::long(group.size)),
            ("Reclaimable", reclaimable(group)),
        ])
    })
    .into()
}

fn reclaimable(group: Group) -> String {
    let text = size::long(group.reclaimable);
    match (u128::from(group.reclaimable) * 100).checked_div(u128::from(group.size)) {
        Some(percent) => format!("{text} ({percent}%)"),
        None => text,
    }
}

fn details(context: &Context, usage: &DiskUsage) -> Result<String, Failure> {
    let now = Timestamp::now();
    let images: Vec<Row> = usage
        .each_image
        .iter()
        .map(|share| {
            image_row::row(&share.row, false, now)
                .with("SharedSize", size::long(share.shared))
                .with("UniqueSize", size::long(share.unique))
        })
        .collect();
    let manner = container_row::Manner { now, whole: false };
    let views = context.engine()?.containers().list(ListOptions {
        all: true,
        sizes: true,
    })?;
    let containers: Vec<Row> = views
        .iter()
        .map(|view| {
            container_row::row(&view.record, &view.state, None, manner)
                .with("Size", size::short(view.size.unwrap_or(0)))
        })
        .collect();
    let volumes: Vec<Row> = usage
        .each_volume
        .iter()
        .map(|volume| {
            Row::new([
                ("Name", volume.name.clone()),
                ("Links", volume.links.to_string()),
                ("Size", size::long(volume.size)),
            ])
        })
        .collect();
    let table = |shape: &Shape, rows: &[Row]| listing::render(shape, &Format::Table, rows);
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage: {}\n",
        table(&IMAGES, &images)?,
        table(&CONTAINERS, &containers)?,
        table(&VOLUMES, &volumes)?,
        size::long(usage.build_cache.size),
    ))
}
