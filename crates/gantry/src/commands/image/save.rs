//! Writes images to a tar archive.

use std::io::Write;

use clap::Args;
use gantry_engine::images::ArchiveKind;

use super::fetch::platform;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::sink;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct SaveArgs {
    /// Write to a file instead of STDOUT
    #[arg(short, long)]
    pub(crate) output: Option<String>,
    /// Save only the images of this platform (e.g. "linux/amd64")
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Layout of the archive ("docker" or "oci")
    #[arg(long, value_name = "string")]
    pub(crate) archive: Option<String>,
    /// The images.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: SaveArgs) -> Outcome {
    let kind = match args.archive.as_deref() {
        None | Some("" | "docker") => ArchiveKind::Docker,
        Some("oci") => ArchiveKind::Oci,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "unknown layout {other:?}, expected docker or oci"
            )));
        }
    };
    let wanted = platform(args.platform.as_deref())?;
    let images = context.engine()?.images();
    let save = |out: &mut (dyn Write + Send)| -> Result<(), Failure> {
        Ok(images.save(&args.operands, wanted.as_ref(), kind, &mut *out)?)
    };
    match args
        .output
        .as_deref()
        .filter(|path| !path.is_empty() && *path != "-")
    {
        Some(path) => sink::to_file(path, save)?,
        None if sink::stdout_is_terminal() => return Err(Failure::invalid(sink::COWARDLY)),
        None => sink::to_stdout(save)?,
    }
    Ok(Exit::SUCCESS)
}
