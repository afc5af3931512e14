//! The long-lived process of a container, and how to speak to it.
//!
//! One supervisor per running container, a re-execution of the binary that started it: parent
//! of the container's first process, owner of its stdio, log, attached clients, exec sessions,
//! restart policy and exit record. One epoll loop, no threads, no async runtime, at most a
//! megabyte of memory.
//!
//! It gets decided documents ([`launch::Launch`]) and never learns what an image, a flag or a
//! command line is; it prints nothing.

pub mod journal;
pub mod log;
pub mod protocol;

pub mod client;
pub mod launch;
mod members;
pub mod removal;
pub mod state;
mod supervise;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

pub use members::restore_networks;
pub use supervise::main;

/// Name of the launch document in the container's folder below `$RUN`.
pub const DOCUMENT_FILE: &str = "launch.json";
/// Name of the note on the container's cgroup in the container's folder below `$RUN`.
pub const CGROUP_FILE: &str = "cgroup.json";
/// Name of the lock in the container's folder below `$RUN`.
pub const LOCK_FILE: &str = "lock";
/// Name of the supervisor's socket in the container's folder below `$RUN`; a supervisor that ends
/// in order removes it.
pub const SOCKET_FILE: &str = "sock";
/// Name of what the supervisor has to say that no client waits for.
pub const NOTES_FILE: &str = "supervisor.log";

/// The hidden first argument that makes the binary a supervisor.
pub const ARGUMENT: &str = "__supervise";

/// The path of a container's socket by way of a descriptor of its folder, because the path of
/// a socket may have 107 bytes only.
fn socket_path(folder: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!(
        "/proc/self/fd/{}/{}",
        folder.as_raw_fd(),
        SOCKET_FILE
    ))
}
