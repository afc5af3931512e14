//! Handing the power to decide about calls to the one the document names (OCI runtime-spec,
//! `config-linux.md`, "The Container Process State").

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use gantry_sys::fd;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde_json::json;

use crate::error::StartError;
use crate::plan::Listener;
use crate::state::ContainerState;

/// Who decides about the calls of a process, and what it is told.
#[derive(Debug, Clone, Copy)]
pub struct Listening<'a> {
    /// Who decides.
    pub listener: &'a Listener,
    /// The state of the container.
    pub state: &'a ContainerState,
    /// The process ID of the process, seen from the caller.
    pub pid: i32,
}

impl Listening<'_> {
    /// Hands over the descriptor to decide through.
    pub(crate) fn hand_over(&self, decide: &OwnedFd) -> Result<(), StartError> {
        let message = json!({
            "ociVersion": self.state.oci_version,
            "fds": ["seccompFd"],
            "pid": self.pid,
            "metadata": self.listener.metadata,
            "state": self.state,
        });
        let sent = reach(&self.listener.path)
            .and_then(|peer| fd::send(&peer, message.to_string().as_bytes(), &[decide.as_fd()]));
        sent.map(drop).map_err(|source| StartError::Listener {
            path: self.listener.path.clone(),
            source,
        })
    }
}

fn reach(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let peer = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&peer, &SocketAddrUnix::new(path)?)?;
    Ok(peer)
}
