//! What is decided of a log.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a container's output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The files it is kept in; `None` keeps none.
    pub files: Option<LogFiles>,
    /// The system log it is sent to.
    pub remote: Option<Remote>,
    /// Labels, variables and a tag that go with every line.
    pub attributes: BTreeMap<String, String>,
    /// Bytes that may wait for a slow log before lines are dropped; `None` drops none, the
    /// container waits instead.
    pub buffer: Option<usize>,
}

/// Files of a log and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFiles {
    /// The file being written; older ones have `.1`, `.2`, … behind its name.
    pub path: PathBuf,
    /// Bytes after which a new file is begun; `None` never does.
    pub max_size: Option<u64>,
    /// Number of files kept, the one being written included; at least 1.
    pub max_files: u32,
    /// Whether files that are full are compressed (`.gz` behind the number).
    pub compress: bool,
}

/// A system log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Remote {
    /// By the syslog protocol.
    Syslog(Syslog),
    /// The journal of systemd.
    Journald(Journald),
}

/// How lines are sent by the syslog protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syslog {
    /// Where.
    pub target: SyslogTarget,
    /// In which form.
    pub format: SyslogFormat,
    /// Number of the facility.
    pub facility: u8,
    /// What stands before each line.
    pub tag: String,
    /// Name of this host.
    pub host: String,
}

/// Where a syslog daemon listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogTarget {
    /// The usual sockets of this host: the first that is there.
    Local,
    /// A socket of this host.
    Unix(PathBuf),
    /// Datagrams.
    Udp(SocketAddr),
    /// A connection.
    Tcp(SocketAddr),
}

/// The forms of a syslog message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFormat {
    /// As programs write it to their own host.
    #[default]
    Local,
    /// RFC 3164: with the host's name.
    Rfc3164,
    /// RFC 5424.
    Rfc5424,
    /// RFC 5424 with microseconds.
    Rfc5424Micro,
}

/// The fields of a journal entry that are the same for every line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journald {
    /// The journal's socket.
    pub socket: PathBuf,
    /// Name and value, in order.
    pub fields: Vec<(String, String)>,
}

impl LogFiles {
    /// Gantry's default: five files of 20 MiB, so that no log fills a disk.
    #[must_use]
    pub fn rotated(path: PathBuf) -> Self {
        Self {
            path,
            max_size: Some(20 << 20),
            max_files: 5,
            compress: true,
        }
    }

    /// The name of the file `age` rotations ago; 0 is the one being written.
    #[must_use]
    pub fn file(&self, age: u32) -> PathBuf {
        if age == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        PathBuf::from(name)
    }

    /// The name that file has once it is compressed.
    #[must_use]
    pub fn compressed(&self, age: u32) -> PathBuf {
        let mut name = self.file(age).into_os_string();
        name.push(".gz");
        PathBuf::from(name)
    }
}

impl LogSettings {
    /// Files and nothing else.
    #[must_use]
    pub fn files(files: LogFiles) -> Self {
        Self {
            files: Some(files),
            ..Self::default()
        }
    }

    /// Whether anything is written anywhere.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.files.is_some() || self.remote.is_some()
    }

    /// Whether lines are carried by a process of their own: what may be slow, or may not hold
    /// the container up.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.remote.is_some() || (self.buffer.is_some() && self.files.is_some())
    }
}
