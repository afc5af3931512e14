//! Starts what has to run after a boot, and has the system do so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use gantry_supervisor::protocol::chain;

use super::unit::{self, Installation};
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct BootArgs {
    /// Have systemd run this command at every boot
    #[arg(long)]
    pub(crate) install: bool,
    /// Write the systemd unit that does so to standard output
    #[arg(long, conflicts_with = "install")]
    pub(crate) unit: bool,
}

pub(crate) fn run(context: &Context, args: BootArgs) -> Outcome {
    if args.unit {
        context.ui.data(&unit::text(&installation(context)?))?;
        return Ok(Exit::SUCCESS);
    }
    if args.install {
        return install(context);
    }
    let mut failed = false;
    for booted in context.engine()?.containers().boot()? {
        match booted.outcome {
            Ok(()) => context.ui.line(&booted.name)?,
            Err(error) => {
                failed = true;
                let text = format!("cannot start {}: {}", booted.name, chain(&error));
                context.ui.warning(&text);
            }
        }
    }
    Ok(Exit(u8::from(failed)))
}

/// This program and the folders it was told to work on.
fn installation(context: &Context) -> Result<Installation, Failure> {
    let program = std::env::current_exe().map_err(CommandError::file("find", "this program"))?;
    Ok(Installation {
        program,
        root: context.chosen_root(),
        run_root: context.chosen_run_root(),
        user: !context.surroundings().root,
    })
}

fn install(context: &Context) -> Outcome {
    let installation = installation(context)?;
    let surroundings = context.surroundings();
    let folder = unit::folder(&surroundings).ok_or_else(|| {
        Failure::invalid("there is no folder for systemd units: $HOME is not set")
    })?;
    let path = folder.join(unit::NAME);
    let text = unit::text(&installation);
    write(&path, &text)
        .and_then(|()| enable(&folder, &path, installation.user))
        .map_err(CommandError::file("install", path.display()))?;
    context.ui.line(&path.display().to_string())?;
    if installation.user && !unit::lingers() {
        context.ui.hint(
            "units of a user start with the first login; to have them start with the system: loginctl enable-linger",
        );
    }
    Ok(Exit::SUCCESS)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let aside = path.with_extension("service.new");
    fs::write(&aside, text)?;
    fs::rename(aside, path)
}

/// What `systemctl enable` does; it works where no systemd runs, too (in an image of a system).
fn enable(folder: &Path, path: &Path, user: bool) -> io::Result<()> {
    let wants: PathBuf = folder.join(unit::wants(user));
    fs::create_dir_all(&wants)?;
    match std::os::unix::fs::symlink(path, wants.join(unit::NAME)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
