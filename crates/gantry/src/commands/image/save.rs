//! Writes images to a tar archive.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Args;
use gantry_engine::images::ArchiveKind;

use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome, written};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct SaveArgs {
    /// Write to a file instead of STDOUT
    #[arg(short, long)]
    pub(crate) output: Option<String>,
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
    let images = context.engine()?.images();
    match args
        .output
        .as_deref()
        .filter(|path| !path.is_empty() && *path != "-")
    {
        Some(path) => {
            let aside = Aside::create(path)?;
            let mut out = BufWriter::with_capacity(256 << 10, &aside.file);
            images.save(&args.operands, kind, &mut out)?;
            out.flush().map_err(CommandError::file("write", path))?;
            drop(out);
            aside.finish()?;
        }
        None if io::stdout().is_terminal() => {
            return Err(Failure::invalid(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            ));
        }
        None => {
            // Not through `io::stdout`, which looks for line ends in all that passes.
            let own = io::stdout().as_fd().try_clone_to_owned().map_err(written)?;
            let mut broken = false;
            let pipe = Pipe {
                file: File::from(own),
                broken: &mut broken,
            };
            let mut out = BufWriter::with_capacity(256 << 10, pipe);
            let saved = images.save(&args.operands, kind, &mut out);
            let flushed = out.flush();
            drop(out);
            if broken {
                return Err(Failure::BrokenPipe);
            }
            saved?;
            flushed.map_err(written)?;
        }
    }
    Ok(Exit::SUCCESS)
}

/// Remembers that nobody reads any more, which the engine would tell of as a failure of its own.
#[derive(Debug)]
struct Pipe<'a> {
    file: File,
    broken: &'a mut bool,
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        if let Err(error) = &written {
            *self.broken |= error.kind() == io::ErrorKind::BrokenPipe;
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file written beside its place, so that a failure leaves what was there.
#[derive(Debug)]
struct Aside {
    file: File,
    temporary: Option<PathBuf>,
    target: PathBuf,
}

impl Aside {
    fn create(path: &str) -> Result<Self, CommandError> {
        let target = PathBuf::from(path);
        let failed = CommandError::file("make", path);
        // A device or a pipe is written as it is.
        if target.metadata().is_ok_and(|known| !known.is_file()) {
            let file = File::options().write(true).open(&target).map_err(failed)?;
            return Ok(Self {
                file,
                temporary: None,
                target,
            });
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder(&target).join(format!(".{name}.{}", std::process::id()));
        let file = File::create_new(&temporary).map_err(failed)?;
        Ok(Self {
            file,
            temporary: Some(temporary),
            target,
        })
    }

    fn finish(mut self) -> Result<(), CommandError> {
        let Some(temporary) = self.temporary.take() else {
            return Ok(());
        };
        let rename = CommandError::file("write", self.target.display());
        std::fs::rename(&temporary, &self.target).map_err(rename)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // The failure that led here is the one to be told of.
            drop(std::fs::remove_file(temporary));
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
