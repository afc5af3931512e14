//! Writes a container's files as a tar archive.

use std::io::Write;

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::sink;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    /// Write to a file, instead of STDOUT
    #[arg(short, long)]
    pub(crate) output: Option<String>,
    /// The container.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: ExportArgs) -> Outcome {
    let containers = context.engine()?.containers();
    let export = |out: &mut (dyn Write + Send)| -> Result<(), Failure> {
        Ok(containers.export(&args.operands[0], out)?)
    };
    match args
        .output
        .as_deref()
        .filter(|path| !path.is_empty() && *path != "-")
    {
        Some(path) => sink::to_file(path, export)?,
        None if sink::stdout_is_terminal() => return Err(Failure::invalid(sink::COWARDLY)),
        None => sink::to_stdout(export)?,
    }
    Ok(Exit::SUCCESS)
}
