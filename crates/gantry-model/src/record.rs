//! A container as the engine keeps it on disk.

use serde::{Deserialize, Serialize};

use crate::container::ContainerSpec;
use crate::digest::Digest;
use crate::id::ContainerId;
use crate::image::{Healthcheck, ProcessConfig};
use crate::mount::{MountOwners, Propagation, ReadOnlyBelow};
use crate::userns::IdRanges;

/// The document `containers/<id>/container.json`: everything decided at creation.
/// Written once (and again by `rename` and `update`), never on the way of a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Version of this document's format.
    pub version: u32,
    /// Id.
    pub id: ContainerId,
    /// Name.
    pub name: String,
    /// Time of creation, RFC 3339 with nanoseconds, UTC.
    pub created: String,
    /// What the user asked for.
    pub spec: ContainerSpec,
    /// Image: digest of its configuration (what `docker` calls the image id).
    pub image_id: Digest,
    /// Image reference as tables show it.
    pub image_name: String,
    /// Layers of the image by diff ID, base first.
    pub layers: Vec<Digest>,
    /// Process settings after the image's defaults were merged in.
    pub process: ProcessConfig,
    /// Final argument vector: entry point then command.
    pub args: Vec<String>,
    /// Health check in force.
    pub healthcheck: Option<Healthcheck>,
    /// Mounts after volumes were resolved to folders, in mounting order.
    pub mounts: Vec<ResolvedMount>,
    /// The users and groups of its own user namespace, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_ranges: Option<IdRanges>,
}

/// A mount whose source is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedMount {
    /// Absolute path inside the container.
    pub target: String,
    /// Whether writing is refused.
    pub read_only: bool,
    /// What it is.
    pub kind: ResolvedMountKind,
}

/// What a resolved mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ResolvedMountKind {
    /// A path of the host.
    Bind {
        /// Absolute path on the host.
        source: String,
        /// Propagation.
        propagation: Propagation,
        /// Whether mounts below the source are left out.
        non_recursive: bool,
        /// Which of them are read-only when it is.
        #[serde(default)]
        read_only_below: ReadOnlyBelow,
        /// Whose the files are in the container.
        #[serde(default)]
        owners: MountOwners,
    },
    /// A volume.
    Volume {
        /// Name.
        name: String,
        /// Its data folder on the host.
        source: String,
        /// Whether nobody chose its name (`rm -v` and `--rm` remove it with its last user).
        anonymous: bool,
        /// What is mounted as the volume instead of its data folder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mounted: Option<VolumeMount>,
        /// The folder or file of the volume that is shown instead of all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subpath: Option<String>,
    },
    /// The files of an image.
    Image {
        /// The image as written.
        image: String,
        /// Digest of its configuration.
        image_id: Digest,
        /// Its layers by diff ID, base first.
        layers: Vec<Digest>,
        /// The folder or file of it that is shown instead of all of it.
        subpath: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// Size in bytes.
        size: Option<u64>,
        /// Permission bits.
        mode: Option<u32>,
        /// Further options as written.
        options: Vec<String>,
    },
}

/// What a volume with options shows: the arguments of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Type of the file system; `none` for a bind mount.
    pub kind: String,
    /// The device, or the folder of a bind mount; absolute.
    pub device: String,
    /// Options.
    pub options: Vec<String>,
}

/// The document `containers/<id>/state.json`: written by the supervisor at each change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Status as last written; a reader checks `Running` against the supervisor's lock.
    pub status: Status,
    /// Process id of the container's init while it runs.
    pub pid: Option<u32>,
    /// Start time of that process in clock ticks since boot, against reuse of the pid.
    pub pid_start: Option<u64>,
    /// Process id of the supervisor.
    pub supervisor_pid: Option<u32>,
    /// Exit code of the last run.
    pub exit_code: i32,
    /// Whether the kernel killed it for memory.
    pub oom_killed: bool,
    /// Why the last start failed; empty when it did not.
    pub error: String,
    /// Time of the last start, RFC 3339.
    pub started_at: Option<String>,
    /// Time of the last end, RFC 3339.
    pub finished_at: Option<String>,
    /// How often the restart policy started it again.
    pub restart_count: u32,
    /// Whether a person stopped it (so `unless-stopped` leaves it alone).
    pub stopped_by_user: bool,
    /// Address on the default bridge while it runs.
    pub network: Option<NetworkState>,
    /// What the health check of the last run says; `None` when there is no check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthState>,
}

/// What a health check says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthState {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last probes, the newest last.
    pub log: Vec<HealthProbe>,
}

/// One probe of a health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthProbe {
    /// When it began, RFC 3339.
    pub start: String,
    /// When it ended.
    pub end: String,
    /// Exit code; -1 when it did not end in time or could not be run.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// The verdict of a health check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Not known yet.
    #[default]
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// Too many probes in a row failed.
    Unhealthy,
}

impl std::fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// Where a running container is on its network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkState {
    /// IPv4 address.
    pub ip_address: String,
    /// Length of the prefix.
    pub prefix_length: u8,
    /// Gateway.
    pub gateway: String,
    /// MAC address.
    pub mac_address: String,
    /// Published ports with the host ports in force.
    pub ports: Vec<crate::port::PortMapping>,
}

/// Docker's states of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    #[default]
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Between two runs by its restart policy.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Could not be removed, or its supervisor vanished without a word.
    Dead,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        })
    }
}
