//! Lists builders, of which there is one.

use clap::Args;

use super::platforms;
use crate::commands::system::version::VERSION;
use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::columns;
use crate::output::listing::{self, Format, Row, Shape};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Do not shorten output; it never is
    #[arg(long, hide = true)]
    pub(crate) no_trunc: bool,
}

const SHAPE: Shape = Shape {
    fields: &[
        ("Name", "NAME/NODE"),
        ("DriverEndpoint", "DRIVER/ENDPOINT"),
        ("Status", "STATUS"),
        ("Buildkit", "BUILDKIT"),
        ("Platforms", "PLATFORMS"),
    ],
    table: &["Name", "DriverEndpoint", "Status", "Buildkit", "Platforms"],
    raw: "",
};

pub(crate) fn run(context: &Context, args: LsArgs) -> Outcome {
    let platforms = platforms(context)?.join(", ");
    let version = format!("v{VERSION}");
    if args
        .format
        .as_deref()
        .is_none_or(|format| format.is_empty() || format == "table")
    {
        let text = format!(
            "NAME/NODE\tDRIVER/ENDPOINT\tSTATUS\tBUILDKIT\tPLATFORMS\n\
             default*\tgantry\t\t\t\n \\_ default\t \\_ default\trunning\t{version}\t{platforms}\n"
        );
        let aligned = columns::align(&text);
        let lines = aligned
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n");
        context.ui.data(&lines.collect::<String>())?;
        return Ok(Exit::SUCCESS);
    }
    let row = Row::new([
        ("Name", "default".to_owned()),
        ("DriverEndpoint", "gantry".to_owned()),
        ("Status", "running".to_owned()),
        ("Buildkit", version),
        ("Platforms", platforms),
    ]);
    let format = Format::parse(args.format.as_deref());
    context
        .ui
        .data(&listing::render(&SHAPE, &format, &[row])?)?;
    Ok(Exit::SUCCESS)
}
