//! A container as a user asks for it: what the flags of `run` and `create` mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::Healthcheck;
use crate::mount::MountSpec;
use crate::port::{ContainerPort, PortMapping};
use crate::restart::RestartPolicy;
use crate::ulimit::Ulimit;

/// Everything a user can say of a container before the image adds its defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// The image as written.
    pub image: String,
    /// Platform of the image as written.
    pub platform: Option<String>,
    /// Name; `None` lets the engine choose one.
    pub name: Option<String>,
    /// Command; replaces the image's command when not empty.
    pub command: Vec<String>,
    /// Entry point; replaces the image's and drops its command. `Some([])` clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Environment, `NAME=value`; later ones win; already resolved against the caller's own.
    pub env: Vec<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// User and group, names or numbers.
    pub user: Option<String>,
    /// Further groups.
    pub group_add: Vec<String>,
    /// Host name; the short id when `None`.
    pub hostname: Option<String>,
    /// Domain name.
    pub domainname: Option<String>,
    /// Whether stdin is kept open.
    pub interactive: bool,
    /// Whether stdin closes when the first attached client goes.
    pub stdin_once: bool,
    /// Whether whoever made it was to follow its stdout: what an inspection tells.
    pub attach_stdout: bool,
    /// The same of its stderr.
    pub attach_stderr: bool,
    /// Whether a terminal is allocated.
    pub tty: bool,
    /// Mounts.
    pub mounts: Vec<MountSpec>,
    /// Containers whose mounts it has too, `NAME[:ro|rw]`.
    pub volumes_from: Vec<String>,
    /// Driver of the volumes that its mounts make.
    pub volume_driver: Option<String>,
    /// Options of the writable layer (`size`).
    pub storage_opt: BTreeMap<String, String>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Network.
    pub network: NetworkMode,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Exposed ports beyond the image's.
    pub expose: Vec<ContainerPort>,
    /// Whether every exposed port is published on a port the host chooses.
    pub publish_all: bool,
    /// Name servers that replace the host's.
    pub dns: Vec<String>,
    /// Search domains that replace the host's.
    pub dns_search: Vec<String>,
    /// Resolver options that replace the host's.
    pub dns_options: Vec<String>,
    /// Further lines of `/etc/hosts`, `name:address`; `host-gateway` is allowed as address.
    pub add_hosts: Vec<String>,
    /// Containers whose addresses and variables it is told, `NAME[:ALIAS]` (Docker's links).
    pub links: Vec<String>,
    /// Further addresses on the default bridge, of the link-local ranges.
    pub link_local_ips: Vec<std::net::IpAddr>,
    /// Hardware address on the default bridge.
    pub mac_address: Option<String>,
    /// Resource limits.
    pub resources: Resources,
    /// Limits of processes.
    pub ulimits: Vec<Ulimit>,
    /// Added capabilities (`ALL` allowed), upper case without `CAP_`.
    pub cap_add: Vec<String>,
    /// Dropped capabilities.
    pub cap_drop: Vec<String>,
    /// Whether nearly every protection is off.
    pub privileged: bool,
    /// Security options as written (`seccomp=…`, `no-new-privileges`, …).
    pub security_opt: Vec<String>,
    /// Kernel parameters of the namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Host devices, `HOST[:CONTAINER[:PERMISSIONS]]`, or CDI names, `vendor.com/class=name`.
    pub devices: Vec<String>,
    /// Rules of the device cgroup beyond those of the devices, `TYPE MAJOR:MINOR PERMISSIONS`.
    pub device_cgroup_rules: Vec<String>,
    /// Devices that are asked for by what they can do.
    pub device_requests: Vec<DeviceRequest>,
    /// PID namespace: `host`, `container:NAME`, or empty for a private one.
    pub pid_mode: String,
    /// IPC namespace: `host`, `none`, `private`, `shareable`, `container:NAME`, or empty for
    /// private.
    pub ipc_mode: String,
    /// UTS namespace: `host`, or empty for a private one.
    pub uts_mode: String,
    /// Cgroup namespace: `host`, `private`, or empty for private.
    pub cgroupns_mode: String,
    /// User namespace as written: empty for what the configuration says, `host`, `auto…`,
    /// `keep-id…` or mappings.
    #[serde(default)]
    pub userns_mode: String,
    /// Cgroup below which the container's is made.
    pub cgroup_parent: Option<String>,
    /// OOM score adjustment.
    pub oom_score_adj: Option<i32>,
    /// Name of the OCI runtime; `None` for the built-in one.
    pub runtime: Option<String>,
    /// Whether a small init of Gantry's own is process 1.
    pub init: bool,
    /// Restart policy.
    pub restart: RestartPolicy,
    /// Whether the container is removed once it ended.
    pub auto_remove: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the OCI configuration.
    pub annotations: BTreeMap<String, String>,
    /// Signal that asks it to stop, name or number.
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL; -1 waits for ever.
    pub stop_timeout: Option<i64>,
    /// Health check that replaces the image's.
    pub healthcheck: Option<Healthcheck>,
    /// What is done with a container that is unhealthy.
    pub health_on_failure: HealthOnFailure,
    /// Where its output goes.
    pub log: LogConfig,
}

/// Where the output of a container goes: what Docker calls its logging driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// `json-file`, `local`, `none`, `syslog` or `journald`; empty for the installation's own.
    pub driver: String,
    /// Options as written.
    pub options: BTreeMap<String, String>,
}

/// What is done with a container that its health check finds unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthOnFailure {
    /// It is shown.
    #[default]
    None,
    /// It is killed, and its restart policy decides.
    Kill,
    /// It is stopped and started again, whatever its restart policy.
    Restart,
    /// It is stopped for good.
    Stop,
}

/// A text that is no such action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of none, kill, restart, stop")]
pub struct HealthOnFailureError;

impl std::str::FromStr for HealthOnFailure {
    type Err = HealthOnFailureError;

    fn from_str(text: &str) -> Result<Self, HealthOnFailureError> {
        match text {
            "none" => Ok(Self::None),
            "kill" => Ok(Self::Kill),
            "restart" => Ok(Self::Restart),
            "stop" => Ok(Self::Stop),
            _ => Err(HealthOnFailureError),
        }
    }
}

/// The network of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The default bridge.
    #[default]
    Bridge,
    /// The host's own network namespace.
    Host,
    /// Loopback only.
    None,
    /// The namespace of another container, by id or name.
    Container(String),
}

/// Resource limits; `None` means unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory below which the kernel does not reclaim first, in bytes.
    pub memory_reservation: Option<u64>,
    /// Memory and swap together in bytes; -1 for unlimited swap.
    pub memory_swap: Option<i64>,
    /// Billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// Relative weight of CPU time, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// CPU period in microseconds.
    pub cpu_period: Option<u64>,
    /// CPU time in a period in microseconds.
    pub cpu_quota: Option<i64>,
    /// CPUs (`0-3,5`).
    pub cpuset_cpus: Option<String>,
    /// Memory nodes.
    pub cpuset_mems: Option<String>,
    /// Number of processes; -1 for unlimited.
    pub pids_limit: Option<i64>,
    /// Microseconds of real-time scheduling in a real-time period (cgroup v1).
    pub cpu_rt_runtime: Option<i64>,
    /// Real-time period in microseconds (cgroup v1).
    pub cpu_rt_period: Option<u64>,
    /// How readily memory is swapped out, 0 to 100 (cgroup v1).
    pub memory_swappiness: Option<u64>,
    /// Relative weight of block IO, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The same for single devices.
    pub blkio_weight_devices: Vec<DeviceValue>,
    /// Bytes a second read from single devices.
    pub device_read_bps: Vec<DeviceValue>,
    /// Bytes a second written to single devices.
    pub device_write_bps: Vec<DeviceValue>,
    /// Operations a second that read from single devices.
    pub device_read_iops: Vec<DeviceValue>,
    /// Operations a second that write to single devices.
    pub device_write_iops: Vec<DeviceValue>,
    /// Whether the OOM killer is off for this container (cgroup v1).
    pub oom_kill_disable: bool,
}

/// A weight or a rate of one block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceValue {
    /// The device's path on the host.
    pub path: String,
    /// The weight, or the rate per second.
    pub value: u64,
}

/// Devices by what they can do (`--gpus`), not by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// Who gives them (`nvidia`, `cdi`); empty for whoever can.
    pub driver: String,
    /// How many; -1 for all.
    pub count: i64,
    /// Which ones, by number or id; excludes `count`.
    pub device_ids: Vec<String>,
    /// What they must be able to do: one of these lists, all of its words.
    pub capabilities: Vec<Vec<String>>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// A text that is no network of a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("network {0:?} not found (bridge, host, none and container:NAME are there)")]
pub struct NetworkModeError(String);

impl std::str::FromStr for NetworkMode {
    type Err = NetworkModeError;

    fn from_str(text: &str) -> Result<Self, NetworkModeError> {
        match text {
            "" | "default" | "bridge" => Ok(Self::Bridge),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix("container:") {
                Some(name) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
                _ => Err(NetworkModeError(text.chars().take(100).collect())),
            },
        }
    }
}

impl std::fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bridge => f.write_str("bridge"),
            Self::Host => f.write_str("host"),
            Self::None => f.write_str("none"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}
