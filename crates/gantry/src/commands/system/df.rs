//! Shows how much disk is used.

use clap::Args;
use gantry_build::{CacheRow, Survey};
use gantry_engine::containers::{ContainerView, ListOptions};
use gantry_engine::system::DiskUsage;
use gantry_engine::system::usage::{Group, ImageShare, VolumeShare};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::commands::builder::cache;
use crate::commands::container::row as container_row;
use crate::commands::image::row as image_row;
use crate::commands::volume::ls as volume_row;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::listing::{self, Format, Row, Shape};
use crate::output::template::{self, Subject, Template};
use crate::output::{go_json, size};

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
    raw: "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\n\
          reclaimable: {{.Reclaimable}}\n",
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
    table: &["Name", "Links", "Size"],
    ..volume_row::SHAPE
};

const CACHE: Shape = Shape {
    fields: &[
        ("ID", "CACHE ID"),
        ("CacheType", "CACHE TYPE"),
        ("Size", "SIZE"),
        ("CreatedSince", "CREATED"),
        ("LastUsedSince", "LAST USED"),
        ("UsageCount", "USAGE"),
        ("Shared", "SHARED"),
    ],
    table: &[
        "ID",
        "CacheType",
        "Size",
        "CreatedSince",
        "LastUsedSince",
        "UsageCount",
        "Shared",
    ],
    raw: "",
};

pub(crate) fn run(context: &Context, args: DfArgs) -> Outcome {
    let engine = context.engine()?;
    let usage = engine.system().disk_usage()?;
    let cache = cache::of(engine)?.survey(&cache::roots(engine)?)?;
    let format = Format::parse(args.format.as_deref());
    let text = match (args.verbose, format) {
        (false, format) => listing::render(&SHAPE, &format, &groups(&usage, &cache))?,
        (true, Format::Table) => tables(&Details::of(context, &usage, &cache, false)?, &cache)?,
        (true, Format::Json) => {
            format!(
                "{}\n",
                go_json::compact(&Details::of(context, &usage, &cache, true)?.json())
            )
        }
        (true, Format::Lines(text)) => {
            let details = Details::of(context, &usage, &cache, true)?;
            let template = Template::parse(&text, Subject::Row)?;
            let data = template::from_json(&details.json());
            format!("{}\n", template.execute(&data)?)
        }
        (true, Format::Raw | Format::TableOf(_)) => {
            return Err(Failure::unsupported(
                "a table or raw format with --verbose is not supported: use json or a template",
            ));
        }
    };
    context.ui.data(&text)?;
    Ok(Exit::SUCCESS)
}

fn groups(usage: &DiskUsage, cache: &Survey) -> Vec<Row> {
    let build_cache = Group {
        count: cache.rows.len() as u64,
        active: cache.rows.iter().filter(|row| row.in_use).count() as u64,
        size: cache.used,
        reclaimable: cache.reclaimable,
    };
    [
        ("Images", usage.images),
        ("Containers", usage.containers),
        ("Local Volumes", usage.volumes),
        ("Build Cache", build_cache),
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

fn cache_row(row: &CacheRow, whole: bool, now: Timestamp) -> Row {
    let shown = if whole { row.id.len() } else { 12 };
    Row::new([
        ("ID", row.id.chars().take(shown).collect()),
        ("Parent", row.parents.join(", ")),
        ("CacheType", row.kind.name().to_owned()),
        ("Description", row.description.clone()),
        ("Size", size::long(row.size)),
        ("CreatedAt", cache::date(row.created)),
        ("CreatedSince", cache::ago(row.created, now)),
        ("LastUsedAt", cache::date(row.last_used)),
        ("LastUsedSince", cache::ago(row.last_used, now)),
        ("UsageCount", row.uses.to_string()),
        ("InUse", row.in_use.to_string()),
        ("Shared", row.shared.to_string()),
    ])
}

/// A row for each thing.
struct Details {
    images: Vec<Row>,
    containers: Vec<Row>,
    volumes: Vec<Row>,
    cache: Vec<Row>,
}

impl Details {
    /// What there is; `whole` shortens nothing, for programs.
    fn of(
        context: &Context,
        usage: &DiskUsage,
        cache: &Survey,
        whole: bool,
    ) -> Result<Self, Failure> {
        let now = Timestamp::now();
        let image = |share: &ImageShare| {
            image_row::row(&share.row, whole, now)
                .with("Containers", share.row.containers.to_string())
                .with("SharedSize", size::long(share.shared))
                .with("UniqueSize", size::long(share.unique))
        };
        let manner = container_row::Manner { now, whole };
        let views = context.engine()?.containers().list(ListOptions {
            all: true,
            sizes: true,
        })?;
        let container = |view: &ContainerView| {
            container_row::row(&view.record, &view.state, None, manner)
                .with("Size", size::short(view.size.unwrap_or(0)))
        };
        let volume = |share: &VolumeShare| {
            volume_row::row(&share.volume)
                .with("Links", share.links.to_string())
                .with("Size", size::long(share.size))
        };
        Ok(Self {
            images: usage.each_image.iter().map(image).collect(),
            containers: views.iter().map(container).collect(),
            volumes: usage.each_volume.iter().map(volume).collect(),
            cache: cache
                .rows
                .iter()
                .map(|row| cache_row(row, whole, now))
                .collect(),
        })
    }

    /// Docker's document.
    fn json(&self) -> Value {
        let all = |rows: &[Row]| rows.iter().map(Row::json).collect::<Vec<_>>();
        json!({
            "Images": all(&self.images),
            "Containers": all(&self.containers),
            "Volumes": all(&self.volumes),
            "BuildCache": all(&self.cache),
        })
    }
}

fn tables(details: &Details, cache: &Survey) -> Result<String, Failure> {
    let table = |shape: &Shape, rows: &[Row]| listing::render(shape, &Format::Table, rows);
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage: {}\n\n{}",
        table(&IMAGES, &details.images)?,
        table(&CONTAINERS, &details.containers)?,
        table(&VOLUMES, &details.volumes)?,
        size::long(cache.used),
        table(&CACHE, &details.cache)?,
    ))
}
