//! One container of the state folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use gantry_runtime::Status;
use gantry_sys::lock;
use gantry_sys::process::Process;
use oci_spec::runtime::Spec;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use crate::bundle::{self, CONFIG};
use crate::error::OciError;
use crate::process::Stat;
use crate::record::Record;

const STATE: &str = "state.json";
/// The socket that a created container waits at. It is there until the container is started.
const GATE: &str = "gate";

/// One container of the state folder.
#[derive(Debug)]
pub struct Container {
    id: String,
    folder: PathBuf,
    /// Held open for its lock.
    directory: File,
    /// `None` while it is being made.
    record: Option<Record>,
}

impl Container {
    /// Opens the folder of a container.
    pub(crate) fn open(id: &str, folder: PathBuf) -> Result<Container, OciError> {
        let mut container = Container::open_unread(id, folder)?;
        container.reload()?;
        Ok(container)
    }

    /// Opens the folder without looking at the record.
    pub(crate) fn open_unread(id: &str, folder: PathBuf) -> Result<Container, OciError> {
        let directory = match File::open(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OciError::NotFound { id: id.to_owned() });
            }
            other => other.map_err(OciError::file("open", &folder))?,
        };
        Ok(Container {
            id: id.to_owned(),
            folder,
            directory,
            record: None,
        })
    }

    /// Waits for the others that change it.
    pub(crate) fn lock(&self) -> Result<(), OciError> {
        lock::lock(&self.directory, lock::Kind::Exclusive)
            .map_err(OciError::file("lock", &self.folder))
    }

    /// Reads its record anew.
    pub(crate) fn reload(&mut self) -> Result<(), OciError> {
        let path = self.folder.join(STATE);
        self.record = match fs::read(&path) {
            Ok(bytes) => Some(bundle::parse(&path, &bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.folder.exists() {
                    return Err(OciError::NotFound {
                        id: self.id.clone(),
                    });
                }
                None
            }
            Err(error) => return Err(OciError::file("read", path)(error)),
        };
        Ok(())
    }

    /// Its identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is remembered of it; `None` while it is being made.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Its record, for what needs one.
    pub(crate) fn made(&self, action: &'static str) -> Result<&Record, OciError> {
        self.record.as_ref().ok_or_else(|| OciError::WrongState {
            id: self.id.clone(),
            action,
            status: Status::Creating.name(),
        })
    }

    /// Remembers it.
    pub(crate) fn remember(&mut self, record: Record) -> Result<(), OciError> {
        let bytes = serde_json::to_vec(&record).map_err(|error| OciError::File {
            action: "write",
            path: self.folder.join(STATE),
            source: error.into(),
        })?;
        self.write(STATE, &bytes)?;
        self.record = Some(record);
        Ok(())
    }

    /// Writes a file whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), OciError> {
        write_atomically(&self.folder.join(name), bytes, 0o600)
    }

    /// Makes a folder in its own.
    pub(crate) fn make_folder(&self, name: &str) -> Result<PathBuf, OciError> {
        let path = self.folder.join(name);
        fs::create_dir(&path).map_err(OciError::file("make", &path))?;
        path.canonicalize().map_err(OciError::file("find", &path))
    }

    /// Keeps the document it is made from: the bundle's may change afterwards.
    pub(crate) fn keep_config(&self, bytes: &[u8]) -> Result<(), OciError> {
        self.write(CONFIG, bytes)
    }

    /// Keeps a changed document.
    pub(crate) fn keep_spec(&self, spec: &Spec) -> Result<(), OciError> {
        let bytes = serde_json::to_vec(spec).map_err(|error| OciError::File {
            action: "write",
            path: self.folder.join(CONFIG),
            source: error.into(),
        })?;
        self.keep_config(&bytes)
    }

    /// The document it was made from.
    pub(crate) fn spec(&self) -> Result<Spec, OciError> {
        let path = self.folder.join(CONFIG);
        let bytes = fs::read(&path).map_err(OciError::file("read", &path))?;
        bundle::parse(&path, &bytes)
    }

    /// How far it is in its life.
    pub fn status(&self) -> Status {
        let Some(record) = &self.record else {
            return Status::Creating;
        };
        if self.first_process().is_none() {
            return Status::Stopped;
        }
        if self.folder.join(GATE).exists() {
            return Status::Created;
        }
        let frozen = record
            .cgroup
            .as_ref()
            .is_some_and(|cgroup| cgroup.open().is_frozen());
        match frozen {
            true => Status::Paused,
            false => Status::Running,
        }
    }

    /// Its first process, if that has not ended.
    pub(crate) fn first_process(&self) -> Option<Process> {
        let record = self.record.as_ref()?;
        let process = Process::open(record.state.pid).ok()?;
        // Only now does the number mean the same process until the end of this one.
        let stat = Stat::of(record.state.pid)?;
        (stat.start_time == record.start_time && !stat.has_ended()).then_some(process)
    }

    /// Makes the socket that it will wait at.
    pub(crate) fn make_gate(&self) -> Result<OwnedFd, OciError> {
        let failed =
            |errno: rustix::io::Errno| OciError::file("make", self.folder.join(GATE))(errno.into());
        let gate = seqpacket().map_err(failed)?;
        bind(&gate, &self.gate_address().map_err(failed)?).map_err(failed)?;
        listen(&gate, 1).map_err(failed)?;
        Ok(gate)
    }

    /// Connects to the socket that it waits at.
    pub(crate) fn reach_gate(&self) -> Result<OwnedFd, OciError> {
        let failed = |errno: rustix::io::Errno| {
            OciError::file("connect to", self.folder.join(GATE))(errno.into())
        };
        let gate = seqpacket().map_err(failed)?;
        connect(&gate, &self.gate_address().map_err(failed)?).map_err(failed)?;
        Ok(gate)
    }

    /// Takes the socket away: nobody waits there any more.
    pub(crate) fn remove_gate(&self) -> Result<(), OciError> {
        let path = self.folder.join(GATE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OciError::file("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// The whole path could be too long for an address.
    fn gate_address(&self) -> rustix::io::Result<SocketAddrUnix> {
        let path = format!("/proc/self/fd/{}/{GATE}", self.directory.as_raw_fd());
        SocketAddrUnix::new(path)
    }

    /// Takes it out of the state folder.
    pub(crate) fn forget(&self) -> Result<(), OciError> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OciError::file("remove", &self.folder)(error))
            }
            _ => Ok(()),
        }
    }
}

fn seqpacket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Writes a file whole or not at all.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), OciError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&aside)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&aside, path));
    written.map_err(|error| {
        fs::remove_file(&aside).ok();
        OciError::file("write", path)(error)
    })
}
