//! The log of a container.
//!
//! Its files are in Docker's `json-file` format: one JSON object a line with `log`, `stream` and
//! `time` (and `attrs` where some are kept); lines beyond 16 KiB come in parts, all but the last
//! without a newline. Full files are renamed, and compressed beside the container.
//!
//! Lines may also go to a system log, and they may be carried there (or to the files) by a
//! process of their own, so that nothing that is slow holds up the supervisor.

mod compress;
pub(crate) mod courier;
mod entry;
mod files;
mod lines;
mod remote;
mod settings;
mod writer;

use serde::{Deserialize, Serialize};

pub use entry::{Entry, EntryWriter};
pub use files::FileWriter;
pub use settings::{Journald, LogFiles, LogSettings, Remote, Syslog, SyslogFormat, SyslogTarget};
pub use writer::{LogWriter, OpenError};

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

#[cfg(test)]
mod tests;
