//! One step at a time among all builds: locks by key.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use gantry_model::digest::hex_encode;
use gantry_sys::lock::{self, Kind};

use super::{Cache, Key};
use crate::error::StepError;
use crate::stop::Stop;

impl Cache {
    /// Waits until no other build runs the step of this key. `None` if the build is stopped while
    /// waiting.
    pub(crate) fn lock(&self, key: &Key, stop: &Stop) -> Result<Option<KeyLock>, StepError> {
        let path = self.locks.join(hex_encode(&key.0));
        let failed = |source: io::Error| StepError::io("lock", &path, source);
        loop {
            let file = match open_lock(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&self.locks).map_err(failed)?;
                    continue;
                }
                other => other.map_err(failed)?,
            };
            let file = if lock::try_lock(&file, Kind::Exclusive).map_err(failed)? {
                file
            } else {
                match wait_for_lock(file, Kind::Exclusive, stop).map_err(failed)? {
                    Some(file) => file,
                    None => return Ok(None),
                }
            };
            // Whoever had it before may have removed the file.
            match fs::metadata(&path) {
                Ok(there) if there.ino() == file.metadata().map_err(failed)?.ino() => {
                    return Ok(Some(KeyLock { path, _file: file }));
                }
                _ => {}
            }
        }
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Waits for a lock that somebody else has; `None` if the build is stopped before.
pub(crate) fn wait_for_lock(file: File, kind: Kind, stop: &Stop) -> io::Result<Option<File>> {
    // `flock` cannot be waited for together with anything else, so a thread waits for it. If the
    // build is stopped meanwhile, the thread is left behind: it ends with the lock or the process.
    let (send, receive) = mpsc::channel();
    let done = crate::cancel::Cancellation::new()?;
    let waker = done.clone();
    std::thread::Builder::new()
        .name("step-lock".into())
        .spawn(move || {
            let locked = lock::lock(&file, kind).map(|()| file);
            // Nobody listens any more if the build was stopped.
            let _sent = send.send(locked);
            waker.cancel();
        })?;
    stop.wait_for(&done)?;
    receive
        .try_recv()
        .map_or(Ok(None), |locked| locked.map(Some))
}

/// The right to run the step of a key.
#[derive(Debug)]
pub(crate) struct KeyLock {
    path: PathBuf,
    _file: File,
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // Removed while it is held: who waits for it sees that and begins anew.
        let _removed = fs::remove_file(&self.path);
    }
}
