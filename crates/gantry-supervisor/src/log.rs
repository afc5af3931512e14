//! The log of a container in Docker's `json-file` format: one JSON object a line with `log`,
//! `stream` and `time`; lines beyond 16 KiB come in parts, all but the last without a newline.

mod entry;
mod writer;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use entry::{Entry, encode};
pub use writer::LogWriter;

/// Bytes at which a line is cut, as Docker's copier does.
pub const MAX_LINE: usize = 16 * 1024;

/// The stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where a container's log goes and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The file being written; older ones have `.1`, `.2`, … behind its name.
    pub path: PathBuf,
    /// Bytes after which a new file is begun; `None` never does.
    pub max_size: Option<u64>,
    /// Number of files kept, the one being written included; at least 1.
    pub max_files: u32,
}

impl LogSettings {
    /// Gantry's default: five files of 20 MiB, so that no log fills a disk.
    #[must_use]
    pub fn rotated(path: PathBuf) -> Self {
        Self {
            path,
            max_size: Some(20 << 20),
            max_files: 5,
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
}

#[cfg(test)]
mod tests;
