//! Shows how an image came to be.

use clap::Args;
use gantry_engine::images::HistoryRow;
use jiff::Timestamp;

use super::fetch::platform;
use super::row;
use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::listing::{self, Format, Row, Shape};
use crate::output::progress::screen::clip;
use crate::output::{size, time};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryArgs {
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Print sizes and dates for people (default true)
    #[arg(short = 'H', long, action = clap::ArgAction::SetFalse)]
    pub(crate) human: bool,
    /// Do not shorten output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show the image of this platform (e.g. "linux/amd64")
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Show only image IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The image.
    pub(crate) operands: Vec<String>,
}

const SHAPE: Shape = Shape {
    fields: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
    table: &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
    raw: "",
};

/// The same without human times.
const EXACT: Shape = Shape {
    table: &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"],
    ..SHAPE
};

pub(crate) fn run(context: &Context, args: HistoryArgs) -> Outcome {
    let wanted = platform(args.platform.as_deref())?;
    let images = context.engine()?.images();
    let steps = images.history(&args.operands[0], wanted.as_ref())?;
    if args.quiet && args.format.is_none() {
        let text: String = steps
            .iter()
            .map(|step| format!("{}\n", id(step, args.no_trunc)))
            .collect();
        context.ui.data(&text)?;
        return Ok(Exit::SUCCESS);
    }
    let now = Timestamp::now();
    let rows: Vec<Row> = steps.iter().map(|step| row(step, &args, now)).collect();
    let shape = if args.human { &SHAPE } else { &EXACT };
    context.ui.data(&listing::render(
        shape,
        &Format::parse(args.format.as_deref()),
        &rows,
    )?)?;
    Ok(Exit::SUCCESS)
}

fn id(step: &HistoryRow, whole: bool) -> String {
    step.id.as_ref().map_or_else(
        || "<missing>".to_owned(),
        |id| row::id(&id.to_string(), whole),
    )
}

fn row(step: &HistoryRow, args: &HistoryArgs, now: Timestamp) -> Row {
    let created = step.created.as_deref().unwrap_or_default();
    let by = step.created_by.replace(['\t', '\n'], " ");
    Row::new([
        ("ID", id(step, args.no_trunc)),
        ("CreatedSince", time::ago(created, now)),
        ("CreatedAt", time::rfc3339_seconds(created)),
        ("CreatedBy", if args.no_trunc { by } else { clip(&by, 45) }),
        (
            "Size",
            if args.human {
                size::short(step.size)
            } else {
                step.size.to_string()
            },
        ),
        ("Comment", step.comment.clone()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_dockers() {
        let args = HistoryArgs {
            format: None,
            human: true,
            no_trunc: false,
            platform: None,
            quiet: false,
            operands: vec![],
        };
        let step = HistoryRow {
            id: Some(
                format!("sha256:9561302b1254{}", "0".repeat(52))
                    .parse()
                    .unwrap(),
            ),
            created: Some("2026-11-21T08:18:42Z".into()),
            created_by: "RUN /bin/sh -c apt-get update && apt-get install -y something # buildkit"
                .into(),
            size: 1_984_234,
            comment: "buildkit.dockerfile.v0".into(),
            tags: vec![],
        };
        let below = HistoryRow {
            id: None,
            created_by: "CMD [\"sh\"]".into(),
            size: 0,
            ..step.clone()
        };
        let now = "2026-11-21T08:22:42Z".parse().unwrap();
        let rows = [row(&step, &args, now), row(&below, &args, now)];
        insta::assert_snapshot!(listing::render(&SHAPE, &Format::Table, &rows).unwrap());
    }
}
