//! What can go wrong in a conversation with systemd.

use std::io;
use std::path::PathBuf;

/// systemd could not be asked, or did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// No manager listens.
    #[error("cannot reach systemd at {}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The manager does not talk to this user.
    #[error("systemd does not accept this user: {said}")]
    Rejected {
        /// Its answer.
        said: String,
    },
    /// The connection broke, or nothing was said for too long.
    #[error("cannot {action}")]
    Connection {
        /// What was being done.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something was said that is no message of D-Bus.
    #[error("systemd's answer is not understood: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The manager refused a call.
    #[error("systemd refused {method}: {message}")]
    Refused {
        /// The method.
        method: &'static str,
        /// The error's name on the bus.
        name: String,
        /// What the manager said.
        message: String,
    },
    /// The manager tried and failed.
    #[error("systemd could not start or stop {unit}: its job ended as {result:?}")]
    Job {
        /// The unit.
        unit: String,
        /// `canceled`, `timeout`, `failed`, `dependency` or `skipped`.
        result: String,
    },
}

impl SystemdError {
    /// Whether the manager refused a call with this name of the bus.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        matches!(self, SystemdError::Refused { name, .. } if name == wanted)
    }
}
