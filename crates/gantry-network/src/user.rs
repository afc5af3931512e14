//! A network without root: a helper program takes the container's packets from a TAP device and
//! carries them over sockets of the user's own, as any program of the user could.
//!
//! The helper is told everything by its command line, dies with the process that started it, and
//! has only the container's network namespace: nothing of it stays behind. It is the one thing on
//! the way of a start that is waited for, because a command that runs before its network is there
//! would fail.

mod pasta;
mod ready;
mod slirp;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use gantry_model::port::PortMapping;
use gantry_model::record::NetworkState;
use gantry_sys::process::Process;
use serde::{Deserialize, Serialize};

use crate::error::NetworkError;
use crate::ports;

/// The container's address: there is no other container on its network.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const PREFIX: u8 = 24;
/// Large packets cost least, and none of them ever is on a wire.
const MTU: &str = "65520";

/// A program that carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserProgram {
    /// `pasta` of passt.
    Pasta,
    /// `slirp4netns`.
    Slirp4netns,
}

impl fmt::Display for UserProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for UserProgram {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Pasta, Self::Slirp4netns]
            .into_iter()
            .find(|program| program.name() == text)
            .ok_or(())
    }
}

/// Where programs are; the environment of the caller is not asked, which may be gone.
const FOLDERS: [&str; 6] = [
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
];

impl UserProgram {
    const fn name(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }

    fn path(self) -> Option<PathBuf> {
        FOLDERS
            .iter()
            .map(|folder| Path::new(folder).join(self.name()))
            .find(|path| path.exists())
    }

    /// The wanted one, or the best that there is.
    fn find(wanted: Option<Self>) -> Result<(Self, PathBuf), NetworkError> {
        let candidates = match wanted {
            Some(wanted) => vec![wanted],
            None => vec![Self::Pasta, Self::Slirp4netns],
        };
        candidates
            .into_iter()
            .find_map(|program| Some((program, program.path()?)))
            .ok_or(NetworkError::NoUserProgram { program: wanted })
    }
}

/// What is wanted for one container.
#[derive(Debug, Clone, Copy)]
pub struct UserRequest<'a> {
    /// Its network namespace.
    pub netns: BorrowedFd<'a>,
    /// Ports to publish; host port 0 = one of the host's choice.
    pub ports: &'a [PortMapping],
    /// A folder of the caller's own that exists, for what is needed at the start.
    pub folder: &'a Path,
    /// The program to use; `None` leaves the choice.
    pub program: Option<UserProgram>,
}

/// The network of one container, which lives as long as this value.
#[derive(Debug)]
pub struct UserNetwork {
    helper: Process,
    ports: Vec<PortMapping>,
    program: UserProgram,
}

impl UserNetwork {
    /// Starts the helper; returns when the container can use its network.
    ///
    /// # Errors
    /// [`NetworkError`]; nothing is left then.
    pub fn start(request: &UserRequest<'_>) -> Result<UserNetwork, NetworkError> {
        let (program, path) = UserProgram::find(request.program)?;
        // Held for a moment: this finds free ports and explains taken ones.
        let ports = ports::hold(request.ports, || None)?
            .into_iter()
            .map(|held| held.mapping)
            .collect::<Vec<_>>();
        let helper = match program {
            UserProgram::Pasta => pasta::start(&path, request, &ports)?,
            UserProgram::Slirp4netns => slirp::start(&path, request, &ports)?,
        };
        Ok(UserNetwork {
            helper,
            ports,
            program,
        })
    }

    /// Where the container is, for those who ask.
    #[must_use]
    pub fn state(&self) -> NetworkState {
        NetworkState {
            ip_address: ADDRESS.to_string(),
            prefix_length: PREFIX,
            gateway: GATEWAY.to_string(),
            mac_address: String::new(),
            ports: self.ports.clone(),
        }
    }

    /// Which program carries it.
    #[must_use]
    pub const fn program(&self) -> UserProgram {
        self.program
    }

    /// The container's own address.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        ADDRESS
    }

    /// An address by which the container reaches the host: that of the host's way out, or the
    /// gateway, behind which is nobody, where there is none.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        let way_out = || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
            // Sends nothing; the address is one of those for documentation.
            socket.connect((Ipv4Addr::new(192, 0, 2, 254), 9)).ok()?;
            match socket.local_addr().ok()?.ip() {
                IpAddr::V4(address) if !address.is_unspecified() => Some(address),
                _ => None,
            }
        };
        way_out().unwrap_or(GATEWAY)
    }
}

impl Drop for UserNetwork {
    fn drop(&mut self) {
        // It may have ended already, and its parent may have reaped it: then nothing is left to do.
        end(&self.helper);
    }
}

fn end(helper: &Process) {
    const KILL: i32 = 9;
    helper.signal(KILL).ok();
    helper.wait().ok();
}
