//! What a supervisor and its clients say to each other.
//!
//! One stream socket, frames both ways. A frame is Docker's stdcopy header (one byte of kind,
//! three zero bytes, length as big-endian u32) and its payload, so that output frames can be
//! passed on to a Docker client as they are. Kinds 0 to 2 carry stdin, stdout and stderr; the
//! control kinds carry one JSON message each.
//!
//! A client speaks first: [`Request::Hello`] with its [`VERSION`], then one request. Attached
//! clients may send [`Request::Resize`], [`Request::Signal`] and [`Request::CloseStdin`] at any
//! time after that. Stdin is sent against credit (a window of [`STDIN_WINDOW`] bytes that
//! [`Reply::StdinTaken`] reopens), so that a container that does not read never holds up a
//! control message behind its input.

mod frame;

use std::path::PathBuf;

use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};

pub use frame::{Decoder, Frame, FrameError, HEADER, Kind, header};

/// Version of this protocol.
pub const VERSION: u32 = 1;
/// Most bytes of a stream frame.
pub const MAX_STREAM: usize = 64 * 1024;
/// Most bytes of a control message: the environment and arguments of an `exec` must fit.
pub const MAX_CONTROL: usize = 4 * 1024 * 1024;
/// Bytes of stdin a client may have on their way.
pub const STDIN_WINDOW: usize = 64 * 1024;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// First message of a connection.
    Hello {
        /// The client's version of the protocol.
        version: u32,
    },
    /// Follow the container's output from now on; answered by [`Reply::Attached`].
    Attach(Attach),
    /// Run a further process in the container; answered by [`Reply::Started`].
    Exec(Box<ExecRequest>),
    /// New size of the terminal of this connection's process.
    Resize(WindowSize),
    /// Stdin of this connection ended.
    CloseStdin,
    /// Send a signal to this connection's process; not answered.
    Signal {
        /// Number.
        signal: i32,
    },
    /// Ask the container to stop, then kill it; answered by [`Reply::Exited`].
    Stop {
        /// Signal in place of the container's own.
        signal: Option<i32>,
        /// Seconds before SIGKILL in place of the container's own; negative waits for ever.
        timeout: Option<i64>,
    },
    /// Send a signal to the container's first process; answered by [`Reply::Done`].
    Kill {
        /// Number.
        signal: i32,
    },
    /// Freeze every process; answered by [`Reply::Done`].
    Pause,
    /// Thaw them; answered by [`Reply::Done`].
    Unpause,
    /// Wait for the end of the run; answered by [`Reply::Exited`].
    Wait {
        /// Whether a restart by policy does not count as an end.
        not_running: bool,
    },
    /// The container has another name; answered by [`Reply::Done`].
    Renamed {
        /// The name.
        name: String,
    },
    /// Change the restart policy of a running container; answered by [`Reply::Done`].
    SetRestart(gantry_model::restart::RestartPolicy),
}

/// Which streams an attached client wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// It sends stdin.
    pub stdin: bool,
    /// It receives stdout (and the terminal).
    pub stdout: bool,
    /// It receives stderr.
    pub stderr: bool,
    /// The container waits for this client however slow it reads (the foreground of `run`).
    /// Otherwise a client that reads nothing for a while loses output, and is told how much.
    pub lossless: bool,
}

/// Size of a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// A further process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// What to run, decided to the last number (`terminal` and `consoleSize` included).
    pub process: Process,
    /// Streams the client wants; `None` runs it detached.
    pub attach: Option<Attach>,
    /// The root it gets instead of the container's, which it sees at `/container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolbox: Option<Toolbox>,
}

/// A root of tools: an overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolbox {
    /// The read-only layers, top first.
    pub lowers: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// An empty directory on the file system of `upper`.
    pub work: PathBuf,
}

/// What a supervisor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// The process runs.
    Started {
        /// Its id as the host counts.
        pid: u32,
    },
    /// Output follows.
    Attached {
        /// Whether the process has a terminal.
        terminal: bool,
    },
    /// The request could not be done.
    Failed(Failure),
    /// Done.
    Done,
    /// So many bytes of stdin were passed on.
    StdinTaken {
        /// Count.
        bytes: usize,
    },
    /// So many bytes of output were dropped because this client did not read.
    Lost {
        /// Count.
        bytes: u64,
    },
    /// The process ended; last message of an attached or waiting connection.
    Exited(Exit),
}

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + n when signal n ended it.
    pub code: i32,
    /// Whether the kernel killed the container for memory.
    pub oom_killed: bool,
    /// Whether the restart policy starts it again.
    pub restarting: bool,
    /// Whether the container was removed.
    pub removed: bool,
    /// What went wrong at the end (a clean-up that failed); empty if nothing did.
    pub error: String,
}

/// Why a request failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Exit code for the command line: 125, 126 or 127.
    pub code: i32,
    /// Whether the present state forbids it (not running, paused).
    pub conflict: bool,
    /// What failed, on what and why.
    pub message: String,
    /// What to do next.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure of Gantry itself (exit code 125).
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            code: 125,
            conflict: false,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// A request that the present state forbids.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self {
            conflict: true,
            ..Self::internal(message)
        }
    }

    /// What an error that knows its kind says: 126 and 127 for commands that cannot be run.
    #[must_use]
    pub fn from_fault(error: &dyn gantry_model::Fault) -> Self {
        use gantry_model::FaultKind;
        let code = match error.kind() {
            FaultKind::CannotInvoke => 126,
            FaultKind::CommandNotFound => 127,
            _ => 125,
        };
        Self {
            code,
            conflict: error.kind() == FaultKind::Conflict,
            message: chain(error),
            hints: error.hints(),
        }
    }
}

/// An error and its sources in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl gantry_model::Fault for Failure {
    fn kind(&self) -> gantry_model::FaultKind {
        use gantry_model::FaultKind;
        match (self.code, self.conflict) {
            (126, _) => FaultKind::CannotInvoke,
            (127, _) => FaultKind::CommandNotFound,
            (_, true) => FaultKind::Conflict,
            _ => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

#[cfg(test)]
mod tests;
