//! Kinds of failure, and what a person can do about one.

use std::error::Error;

/// What sort of failure an error is; decides the exit code of a command and the HTTP status
/// of an API answer, each in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The named thing does not exist.
    NotFound,
    /// The request contradicts the present state (name taken, still in use, already running).
    Conflict,
    /// The request itself is malformed or impossible.
    Invalid,
    /// Credentials are missing or were refused.
    Unauthorized,
    /// The operation is not permitted here.
    Forbidden,
    /// Something outside (registry, network, disk) is not available at the moment.
    Unavailable,
    /// Known, but this mode, kernel or release cannot do it.
    Unsupported,
    /// Content from outside broke its own rules (digest, size, format).
    Corrupt,
    /// The command of a container cannot be invoked (exit code 126).
    CannotInvoke,
    /// The command of a container was not found (exit code 127).
    CommandNotFound,
    /// Everything else.
    Internal,
}

/// An error that knows its kind and what to do next.
pub trait Fault: Error + Send + Sync + 'static {
    /// The kind of this failure.
    fn kind(&self) -> FaultKind;

    /// Sentences that tell the person what to do next, most useful first.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}
