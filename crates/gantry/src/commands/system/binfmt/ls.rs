//! Lists how programs of other machines are run.

use clap::Args;
use gantry_engine::system::binfmt::{Emulation, RunBy};

use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::listing::{self, Format, Row, Shape};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LsArgs {
    /// Format output by a Go template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
}

const SHAPE: Shape = Shape {
    fields: &[
        ("Architecture", "ARCHITECTURE"),
        ("Status", "STATUS"),
        ("Emulator", "EMULATOR"),
        ("Flags", "FLAGS"),
    ],
    table: &["Architecture", "Status", "Emulator", "Flags"],
    raw: "",
};

pub(crate) fn run(context: &Context, args: LsArgs) -> Outcome {
    let all = context.engine()?.system().emulations()?;
    show(context, &all, args.format.as_deref())
}

/// Shows how each is run.
pub(super) fn show(context: &Context, all: &[Emulation], format: Option<&str>) -> Outcome {
    let rows: Vec<Row> = all.iter().map(row).collect();
    let text = listing::render(&SHAPE, &Format::parse(format), &rows)?;
    context.ui.data(&text)?;
    Ok(Exit::SUCCESS)
}

fn row(emulation: &Emulation) -> Row {
    let (status, emulator, flags) = match &emulation.by {
        RunBy::Processor => ("native", String::new(), ""),
        RunBy::Handler(handler) => (
            "emulated",
            handler.interpreter.display().to_string(),
            handler.flags.as_str(),
        ),
        RunBy::Installable(path) => ("not registered", path.display().to_string(), ""),
        RunBy::Nothing => ("no emulator", String::new(), ""),
    };
    Row::new([
        ("Architecture", emulation.architecture.to_owned()),
        ("Status", status.to_owned()),
        ("Emulator", emulator),
        ("Flags", flags.to_owned()),
    ])
}
