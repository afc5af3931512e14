//! Where an archive is written: a file beside its place until it is complete, or stdout.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::failure::{CommandError, Failure, written};

/// Why there is no archive on a terminal.
pub(crate) const COWARDLY: &str =
    "cowardly refusing to save to a terminal. Use the -o flag or redirect";
/// Bytes kept back before they are written.
const BUFFER: usize = 256 << 10;

/// Writes an archive into the file `path`, whose place it takes when it is complete.
pub(crate) fn to_file(
    path: &str,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let aside = Aside::create(path)?;
    let mut out = BufWriter::with_capacity(BUFFER, &aside.file);
    write(&mut out).map_err(|failure| failure.at(path))?;
    out.flush().map_err(CommandError::file("write", path))?;
    drop(out);
    Ok(aside.finish()?)
}

/// Whether stdout is no place for an archive.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Writes an archive to stdout.
pub(crate) fn to_stdout(
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Not through `io::stdout`, which looks for line ends in all that passes.
    let own = io::stdout().as_fd().try_clone_to_owned().map_err(written)?;
    let mut broken = false;
    let pipe = Pipe {
        file: File::from(own),
        broken: &mut broken,
    };
    let mut out = BufWriter::with_capacity(BUFFER, pipe);
    let done = write(&mut out);
    let flushed = out.flush();
    drop(out);
    if broken {
        return Err(Failure::BrokenPipe);
    }
    done?;
    flushed.map_err(written)
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
