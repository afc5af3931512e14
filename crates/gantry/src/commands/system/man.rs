//! Writes the manual pages into a folder; for the installer.

use std::path::Path;

use clap::Args;

use crate::cli::tree;
use crate::context::Context;
use crate::failure::{CommandError, Exit, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// The folder.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(_context: &Context, args: ManArgs) -> Outcome {
    let folder = args
        .operands
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    std::fs::create_dir_all(folder).map_err(CommandError::file("make the folder", folder))?;
    let mut whole = tree::whole();
    whole.build();
    write(&whole, "gantry", Path::new(folder))?;
    Ok(Exit::SUCCESS)
}

fn write(command: &clap::Command, name: &str, folder: &Path) -> Result<(), CommandError> {
    let mut page = Vec::new();
    let path = folder.join(format!("{name}.1"));
    let shown = path.display().to_string();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut page)
        .map_err(CommandError::file("render", &shown))?;
    std::fs::write(&path, page).map_err(CommandError::file("write", &shown))?;
    for below in command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
    {
        write(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(())
}
