//! Lists networks.

use clap::Args;
use gantry_engine::networks::NetworkView;

use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::flags::filter::Filters;
use crate::output::listing::{self, Format, Row, Shape};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// Filter by conditions (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Do not shorten output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show only network IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const SHAPE: Shape = Shape {
    fields: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
    ],
    table: &["ID", "Name", "Driver", "Scope"],
    raw: "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
};

pub(crate) fn run(context: &Context, args: LsArgs) -> Outcome {
    let known = ["dangling", "driver", "id", "label", "name", "scope", "type"];
    let filters = Filters::parse(&args.filter, &known)?;
    let dangling = filters.truth("dangling")?;
    let mut found = context.engine()?.networks().list()?;
    found.retain(|network| {
        filters.any("name", |part| network.name.contains(part))
            && filters.any("id", |part| network.id.starts_with(part))
            && filters.any("driver", |driver| network.driver == driver)
            && filters.any("scope", |scope| network.scope == scope)
            // All are built in, and none has labels.
            && filters.any("type", |kind| kind == "builtin")
            && filters.all("label", |_| false)
            && dangling != Some(true)
    });
    if args.quiet {
        let ids: String = found
            .iter()
            .map(|n| format!("{}\n", id(n, args.no_trunc)))
            .collect();
        context.ui.data(&ids)?;
        return Ok(Exit::SUCCESS);
    }
    let rows: Vec<Row> = found
        .iter()
        .map(|network| row(network, args.no_trunc))
        .collect();
    context.ui.data(&listing::render(
        &SHAPE,
        &Format::parse(args.format.as_deref()),
        &rows,
    )?)?;
    Ok(Exit::SUCCESS)
}

fn id(network: &NetworkView, whole: bool) -> String {
    if whole {
        network.id.clone()
    } else {
        network.id.chars().take(12).collect()
    }
}

fn row(network: &NetworkView, whole: bool) -> Row {
    Row::new([
        ("ID", id(network, whole)),
        ("Name", network.name.clone()),
        ("Driver", network.driver.to_owned()),
        ("Scope", network.scope.to_owned()),
        ("IPv4", "true".to_owned()),
        ("IPv6", "false".to_owned()),
        ("Internal", "false".to_owned()),
        ("Labels", String::new()),
    ])
}
