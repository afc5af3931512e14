//! Starting a supervisor.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

use gantry_sys::process::{Image, Spawn};

use super::{ClientError, Session};
use crate::launch::Launch;
use crate::supervise::{CLIENT, DOCUMENT, LOCK};
use crate::{ARGUMENT, DOCUMENT_FILE, NOTES_FILE};

/// Starts the supervisor of a container, a re-execution of this binary; its answer is still to
/// be waited for ([`Session::started`]). `lock` is the container's lock file, held: it stays
/// held as long as the supervisor lives.
///
/// # Errors
/// [`ClientError::Spawn`].
pub fn spawn(launch: &Launch, lock: &File) -> Result<Session, ClientError> {
    start(launch, lock).map_err(|source| ClientError::Spawn { source })
}

fn start(launch: &Launch, lock: &File) -> io::Result<Session> {
    let folder = &launch.settings.run_folder;
    // In `$RUN`, so that a restart by policy finds it without anybody keeping it in memory.
    let mut document = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join(DOCUMENT_FILE))?;
    document.write_all(&serde_json::to_vec(launch)?)?;
    document.rewind()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let notes = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(folder.join(NOTES_FILE))?;
    let (ours, theirs) = UnixStream::pair()?;
    Spawn {
        image: Image::own()?,
        arguments: &[OsStr::new("gantry"), OsStr::new(ARGUMENT)],
        environment: &[],
        descriptors: &[
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (notes.as_fd(), 2),
            (document.as_fd(), DOCUMENT),
            (theirs.as_fd(), CLIENT),
            (lock.as_fd(), LOCK),
        ],
        new_session: true,
        die_with_parent: false,
    }
    .start()?;
    Ok(Session::over(ours))
}
