//! The document that says who is on the bridge, and its lock.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gantry_sys::damage::is_damage;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::endpoint::Attachment;
use crate::error::NetworkError;
use crate::owner::Owner;
use crate::subnet::Subnet;

/// Version of the document's format.
const VERSION: u32 = 1;

/// Everybody on the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Version of this format.
    pub(crate) version: u32,
    /// The subnet in use.
    pub(crate) subnet: Option<Subnet>,
    /// Where the next free address is looked for.
    pub(crate) cursor: u32,
    /// The attachments.
    pub(crate) endpoints: Vec<Record>,
}

/// One attachment and who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Where the container is.
    pub(crate) attachment: Attachment,
    /// Who holds it.
    pub(crate) owner: Owner,
    /// Inode of the container's network namespace.
    pub(crate) netns: u64,
}

impl Record {
    /// The host's end of its cable; `None` where the name was lost.
    pub(crate) fn link(&self) -> Option<&str> {
        Some(self.attachment.host_interface.as_str()).filter(|name| !name.is_empty())
    }
}

impl Default for State {
    fn default() -> State {
        State {
            version: VERSION,
            subnet: None,
            cursor: 0,
            endpoints: Vec::new(),
        }
    }
}

impl State {
    /// The addresses in use.
    pub(crate) fn addresses(&self) -> HashSet<Ipv4Addr> {
        self.endpoints
            .iter()
            .map(|record| record.attachment.address)
            .collect()
    }

    /// The attachment of this container.
    pub(crate) fn find(&self, endpoint_id: &str) -> Option<&Record> {
        self.endpoints
            .iter()
            .find(|record| record.attachment.endpoint_id == endpoint_id)
    }

    /// Takes out the attachments that `gone` says are nobody's any more.
    pub(crate) fn take_gone(&mut self, gone: impl Fn(&Owner) -> bool) -> Vec<Record> {
        self.endpoints
            .extract_if(.., |record| gone(&record.owner))
            .collect()
    }

    /// Takes out the attachment of this container.
    pub(crate) fn take(&mut self, endpoint_id: &str) -> Option<Record> {
        let at = self
            .endpoints
            .iter()
            .position(|record| record.attachment.endpoint_id == endpoint_id)?;
        Some(self.endpoints.remove(at))
    }
}

/// The folder of the state.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    path: PathBuf,
}

/// The lock on the state; free again when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct Locked {
    path: PathBuf,
    _lock: File,
}

fn failed<'a>(task: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> NetworkError + 'a {
    move |source| NetworkError::File {
        task,
        path: path.to_path_buf(),
        source,
    }
}

impl StateDir {
    pub(crate) fn new(path: PathBuf) -> StateDir {
        StateDir { path }
    }

    /// Makes the folder if need be, and takes the lock.
    pub(crate) fn lock(&self) -> Result<Locked, NetworkError> {
        let path = self.path.join("lock");
        let open = || {
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&path)
        };
        let lock = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&self.path)
                    .map_err(failed("create folder", &self.path))?;
                open()
            }
            other => other,
        }
        .map_err(failed("open", &path))?;
        loop {
            match flock(&lock, FlockOperation::LockExclusive) {
                Ok(()) => {
                    return Ok(Locked {
                        path: self.path.clone(),
                        _lock: lock,
                    });
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(failed("lock", &path)(errno.into())),
            }
        }
    }

    /// The state as it is at this moment, which may change any time.
    pub(crate) fn peek(&self) -> Result<State, NetworkError> {
        read(&self.path)
    }
}

fn read(dir: &Path) -> Result<State, NetworkError> {
    let path = dir.join("state.json");
    match fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|source| NetworkError::Damaged { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
        Err(error) if is_damage(&error) => Err(NetworkError::Damaged {
            path,
            source: serde_json::Error::io(error),
        }),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

impl Locked {
    /// The state.
    pub(crate) fn read(&self) -> Result<State, NetworkError> {
        read(&self.path)
    }

    /// Removes what is in the place of a damaged state, should it be no file.
    pub(crate) fn clear(&self) -> Result<(), NetworkError> {
        let path = self.path.join("state.json");
        match path.is_dir() {
            true => fs::remove_dir_all(&path).map_err(failed("remove", &path)),
            false => Ok(()),
        }
    }

    /// Replaces the state in one step. Not synced: it describes what lives in the kernel's
    /// memory and is as lost as that when the power is.
    pub(crate) fn write(&self, state: &State) -> Result<(), NetworkError> {
        let (aside, path) = (
            self.path.join("state.json.new"),
            self.path.join("state.json"),
        );
        let bytes = serde_json::to_vec(state).map_err(|source| NetworkError::Damaged {
            path: path.clone(),
            source,
        })?;
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(&bytes)?;
            fs::rename(&aside, &path)
        };
        write().map_err(failed("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_survives_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let states = StateDir::new(dir.path().join("run/network"));
        assert_eq!(states.peek().unwrap(), State::default());
        let locked = states.lock().unwrap();
        let mut state = locked.read().unwrap();
        state.subnet = Some("172.20.0.0/16".parse().unwrap());
        state.cursor = 7;
        locked.write(&state).unwrap();
        drop(locked);
        assert_eq!(states.lock().unwrap().read().unwrap(), state);
        fs::write(dir.path().join("run/network/state.json"), "{").unwrap();
        let error = states.peek().unwrap_err();
        assert!(matches!(error, NetworkError::Damaged { .. }), "{error}");
    }
}
