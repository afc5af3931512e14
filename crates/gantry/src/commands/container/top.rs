//! Shows the processes of a container.

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::columns;
use crate::output::progress::screen::harmless;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArgs {
    /// The container and options of ps.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: TopArgs) -> Outcome {
    let name = &args.operands[0];
    let options = &args.operands[1..];
    let processes = context.engine()?.containers().top(name, options)?;
    let mut text = processes.titles.join("\t");
    text.push('\n');
    for row in &processes.rows {
        let cells: Vec<String> = row.iter().map(|cell| harmless(cell)).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    context.ui.data(&columns::align_with(&text, 20, 1))?;
    Ok(Exit::SUCCESS)
}
