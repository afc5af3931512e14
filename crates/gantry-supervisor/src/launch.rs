//! The decided document a supervisor is started with.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use gantry_model::ContainerId;
use gantry_model::container::HealthOnFailure;
use gantry_model::port::PortMapping;
use gantry_model::restart::RestartPolicy;
use gantry_network::UserProgram;
use oci_spec::runtime::{Process, Spec};
use serde::{Deserialize, Serialize};

use crate::log::LogSettings;
use crate::protocol::{Attach, WindowSize};
use crate::removal::Removal;

/// Version of this document's format.
pub const VERSION: u32 = 1;

/// Everything a supervisor needs to know; it decides nothing that stands here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Version of the format.
    pub version: u32,
    /// What stays in force for the container's life.
    pub settings: Settings,
    /// The OCI document; dropped once the container runs, read again for a restart.
    pub config: Box<Spec>,
    /// Root file system.
    pub overlay: Overlay,
    /// Whether the processes are confined by Docker's default seccomp profile, which the
    /// document then does not repeat.
    pub default_seccomp: bool,
    /// Whether a small init of Gantry's own is process 1.
    pub init: bool,
    /// Whether limits of processes were asked for by a person (and must hold).
    pub strict_rlimits: bool,
    /// Size of the terminal.
    pub window: Option<WindowSize>,
    /// Streams of the client that starts it; `None` when it only waits for the start.
    pub attach: Option<Attach>,
}

/// The part of a launch that a supervisor keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// Stdin.
    pub stdin: Stdin,
    /// Whether the process has a terminal.
    pub terminal: bool,
    /// The log.
    pub log: LogSettings,
    /// The network.
    pub network: Network,
    /// The health check.
    pub health: Option<HealthCheck>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Number of the signal that asks it to stop.
    pub stop_signal: i32,
    /// Seconds between that signal and SIGKILL; negative waits for ever.
    pub stop_timeout: i64,
    /// What is removed once it ended; `None` keeps it.
    pub removal: Option<Removal>,
    /// The container's folder below `$ROOT`.
    pub folder: PathBuf,
    /// The container's folder below `$RUN`.
    pub run_folder: PathBuf,
    /// `$RUN`.
    pub run_root: PathBuf,
    /// What events say of it.
    #[serde(default)]
    pub events: EventFacts,
}

/// What the events of a container say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFacts {
    /// Labels, image and name.
    pub attributes: BTreeMap<String, String>,
    /// Volumes that are mounted with it.
    pub volumes: Vec<MountedVolume>,
    /// Id of the network it is connected to.
    pub network_id: String,
}

/// A volume of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedVolume {
    /// Its name.
    pub name: String,
    /// Where it is mounted.
    pub destination: String,
    /// Whether it may be written.
    pub read_write: bool,
}

/// A health check, decided to the last number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is done.
    pub probe: Probe,
    /// What is done when it makes the container unhealthy.
    pub on_failure: HealthOnFailure,
    /// Time between two probes.
    pub interval: Duration,
    /// Time after which a probe has failed.
    pub timeout: Duration,
    /// Time from the start in which failures do not count.
    pub start_period: Duration,
    /// Time between two probes within that.
    pub start_interval: Duration,
    /// Failures in a row that make the container unhealthy.
    pub retries: u32,
}

/// What a health check does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Runs a process in the container.
    Run(Box<Process>),
    /// Connects to it.
    Contact(Contact),
}

/// A connection to a container, made inside its network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contact {
    /// Any connection is a success.
    Tcp {
        /// To where.
        port: u16,
    },
    /// A page is asked for; a status from 200 to 399 is a success.
    Http {
        /// Where.
        port: u16,
        /// Which, beginning with a slash.
        path: String,
    },
}

impl Contact {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port } | Self::Http { port, .. } => *port,
        }
    }
}

/// The directories of the container's overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Read-only layers, base first.
    pub lowers: Vec<PathBuf>,
    /// Where files of those have their contents, if not in themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// Overlayfs' own folder beside it.
    pub work: PathBuf,
}

/// How stdin behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// Nothing to read.
    #[default]
    Closed,
    /// Open until the container ends.
    Open,
    /// Open until the first client that sends closes it.
    Once,
}

/// The network of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Network {
    /// The document says it all (the host's namespace, another container's).
    #[default]
    Foreign,
    /// A namespace of its own with the loopback only.
    Loopback,
    /// An endpoint on the default bridge.
    Bridge {
        /// Published ports.
        ports: Vec<PortMapping>,
        /// Its host name.
        hostname: String,
        /// Subnet that a person has set for the bridge, `a.b.c.d/n`.
        subnet: Option<String>,
        /// Largest packet that a person has set.
        mtu: Option<u32>,
        /// The file that is mounted as `/etc/hosts`.
        hosts: HostsFile,
        /// Name servers that the container cannot reach itself: they are asked for it.
        relay_to: Vec<SocketAddr>,
        /// Its Ethernet address; `None` for one made from its IP address.
        mac: Option<String>,
        /// Further addresses of the link-local ranges.
        link_local: Vec<IpAddr>,
    },
    /// A network carried by a program of the user's, as without root.
    User {
        /// Published ports.
        ports: Vec<PortMapping>,
        /// The file that is mounted as `/etc/hosts`.
        hosts: HostsFile,
        /// Name servers that the container cannot reach itself: they are asked for it.
        relay_to: Vec<SocketAddr>,
        /// The program; `None` leaves the choice.
        program: Option<UserProgram>,
    },
}

/// An `/etc/hosts` whose last line needs the container's address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostsFile {
    /// Where it is on the host.
    pub path: PathBuf,
    /// Its first lines; an address `host-gateway` becomes the bridge's.
    pub head: String,
    /// Names of the container, tab-separated, as its own line has them.
    pub names: String,
}

impl HostsFile {
    /// The whole text, once the addresses are known.
    #[must_use]
    pub fn text(&self, address: &str, gateway: &str) -> String {
        let mut text = String::new();
        for line in self.head.lines() {
            match line.strip_prefix("host-gateway\t") {
                Some(names) => {
                    text.push_str(gateway);
                    text.push('\t');
                    text.push_str(names);
                }
                None => text.push_str(line),
            }
            text.push('\n');
        }
        text + address + "\t" + &self.names + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_get_their_addresses() {
        let hosts = HostsFile {
            path: PathBuf::new(),
            head: "127.0.0.1\tlocalhost\nhost-gateway\thost.docker.internal\n".into(),
            names: "web.example.org web".into(),
        };
        assert_eq!(
            hosts.text("172.17.0.2", "172.17.0.1"),
            "127.0.0.1\tlocalhost\n172.17.0.1\thost.docker.internal\n172.17.0.2\tweb.example.org web\n"
        );
    }
}
