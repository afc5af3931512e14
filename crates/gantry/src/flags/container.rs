//! The flags of `run` and `create`, as they are written.

use clap::Args;

use super::limits::LimitFlags;

/// Everything that `run` and `create` can say of a container.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ContainerFlags {
    /// What builds have as well.
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
    /// Add a host-to-IP mapping (host:ip)
    #[arg(long)]
    pub(crate) add_host: Vec<String>,
    /// Add an annotation to the container's OCI configuration
    #[arg(long, value_name = "map")]
    pub(crate) annotation: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long)]
    pub(crate) attach: Vec<String>,
    /// Relative weight of block IO, between 10 and 1000, or 0 to leave it alone
    #[arg(long, value_name = "uint16")]
    pub(crate) blkio_weight: Option<u16>,
    /// Relative weight of block IO on one device (device:weight)
    #[arg(long)]
    pub(crate) blkio_weight_device: Vec<String>,
    /// Add Linux capabilities
    #[arg(long)]
    pub(crate) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long)]
    pub(crate) cap_drop: Vec<String>,
    /// Cgroup namespace to use (host|private)
    #[arg(long)]
    pub(crate) cgroupns: Option<String>,
    /// Write the container ID to the file
    #[arg(long)]
    pub(crate) cidfile: Option<String>,
    /// Limit real-time scheduling, the period in microseconds
    #[arg(long, value_name = "int")]
    pub(crate) cpu_rt_period: Option<u64>,
    /// Limit real-time scheduling, the time in microseconds
    #[arg(long, value_name = "int")]
    pub(crate) cpu_rt_runtime: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal")]
    pub(crate) cpus: Option<String>,
    /// Add a device of the host
    #[arg(long)]
    pub(crate) device: Vec<String>,
    /// Add a rule to the list of allowed devices of the cgroup
    #[arg(long)]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// Limit reading from a device, in bytes a second (device:rate)
    #[arg(long)]
    pub(crate) device_read_bps: Vec<String>,
    /// Limit reading from a device, in operations a second (device:rate)
    #[arg(long)]
    pub(crate) device_read_iops: Vec<String>,
    /// Limit writing to a device, in bytes a second (device:rate)
    #[arg(long)]
    pub(crate) device_write_bps: Vec<String>,
    /// Limit writing to a device, in operations a second (device:rate)
    #[arg(long)]
    pub(crate) device_write_iops: Vec<String>,
    /// Skip image verification; content is always verified
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    /// Set the name servers
    #[arg(long)]
    pub(crate) dns: Vec<String>,
    /// Set options of the resolver
    #[arg(long, alias = "dns-opt")]
    pub(crate) dns_option: Vec<String>,
    /// Set the search domains
    #[arg(long)]
    pub(crate) dns_search: Vec<String>,
    /// Domain name of the container
    #[arg(long)]
    pub(crate) domainname: Option<String>,
    /// Replace the entry point of the image
    #[arg(long)]
    pub(crate) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long)]
    pub(crate) env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long)]
    pub(crate) env_file: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long)]
    pub(crate) expose: Vec<String>,
    /// Add groups to join
    #[arg(long)]
    pub(crate) group_add: Vec<String>,
    /// GPUs to add (all, a number, or device=ID)
    #[arg(long, value_name = "gpu-request")]
    pub(crate) gpus: Option<String>,
    /// Command to run to check health
    #[arg(long)]
    pub(crate) health_cmd: Option<String>,
    /// Time between two checks (ms|s|m|h)
    #[arg(long, value_name = "duration")]
    pub(crate) health_interval: Option<String>,
    /// Check health by asking for a page inside the container, without a tool of its image
    #[arg(long, value_name = "[port]/path")]
    pub(crate) health_http: Option<String>,
    /// What is done with an unhealthy container (none|kill|restart|stop)
    #[arg(long, value_name = "action")]
    pub(crate) health_on_failure: Option<String>,
    /// Failures in a row that make the container unhealthy
    #[arg(long, value_name = "int")]
    pub(crate) health_retries: Option<i32>,
    /// Time between two checks within the start period (ms|s|m|h)
    #[arg(long, value_name = "duration")]
    pub(crate) health_start_interval: Option<String>,
    /// Time after the start in which failures do not count (ms|s|m|h)
    #[arg(long, value_name = "duration")]
    pub(crate) health_start_period: Option<String>,
    /// Check health by connecting to a port inside the container, without a tool of its image
    #[arg(long, value_name = "port")]
    pub(crate) health_tcp: Option<u16>,
    /// Time after which a check has failed (ms|s|m|h)
    #[arg(long, value_name = "duration")]
    pub(crate) health_timeout: Option<String>,
    /// Host name of the container
    #[arg(short = 'h', long)]
    pub(crate) hostname: Option<String>,
    /// Run an init as process 1 that forwards signals and reaps processes
    #[arg(long)]
    pub(crate) init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// IPC namespace to use
    #[arg(long)]
    pub(crate) ipc: Option<String>,
    /// Accepted as Docker does; the kernel no longer has this limit
    #[arg(long, value_name = "bytes", hide = true)]
    pub(crate) kernel_memory: Option<String>,
    /// Add a link to another container (name[:alias])
    #[arg(long)]
    pub(crate) link: Vec<String>,
    /// Further addresses of the link-local ranges
    #[arg(long)]
    pub(crate) link_local_ip: Vec<String>,
    /// Ethernet address of the container
    #[arg(long)]
    pub(crate) mac_address: Option<String>,
    /// Set labels
    #[arg(short, long)]
    pub(crate) label: Vec<String>,
    /// Read labels from a file, one a line
    #[arg(long)]
    pub(crate) label_file: Vec<String>,
    /// Log driver of the container (json-file|local|none|syslog|journald)
    #[arg(long)]
    pub(crate) log_driver: Option<String>,
    /// Options of the log driver
    #[arg(long, value_name = "name=value")]
    pub(crate) log_opt: Vec<String>,
    /// Memory below which the kernel reclaims last
    #[arg(long, value_name = "bytes")]
    pub(crate) memory_reservation: Option<String>,
    /// How readily memory is swapped out, 0 to 100; -1 for the system's own
    #[arg(long, value_name = "int")]
    pub(crate) memory_swappiness: Option<i64>,
    /// Attach a mount to the container
    #[arg(long, value_name = "mount")]
    pub(crate) mount: Vec<String>,
    /// Name of the container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Network of the container (bridge|host|none|container:NAME)
    #[arg(long, alias = "net", value_name = "network")]
    pub(crate) network: Vec<String>,
    /// Turn off the health check of the image
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
    /// Turn off the OOM killer
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// Preference of the OOM killer (-1000 to 1000)
    #[arg(long, value_name = "int")]
    pub(crate) oom_score_adj: Option<i32>,
    /// PID namespace to use
    #[arg(long)]
    pub(crate) pid: Option<String>,
    /// Limit the number of processes; -1 for unlimited
    #[arg(long, value_name = "int")]
    pub(crate) pids_limit: Option<i64>,
    /// Platform of the image
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Give extended privileges to the container
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Publish a port of the container on the host
    #[arg(short, long)]
    pub(crate) publish: Vec<String>,
    /// Publish every exposed port on a port the host chooses
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// When to pull the image ("always", "missing", "never")
    #[arg(long, default_value = "missing")]
    pub(crate) pull: String,
    /// Do not show the progress of a pull
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Mount the root file system read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Restart policy once the container ended (no|on-failure[:N]|always|unless-stopped)
    #[arg(long)]
    pub(crate) restart: Option<String>,
    /// Remove the container and its anonymous volumes once it ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// OCI runtime of the container (gantry)
    #[arg(long)]
    pub(crate) runtime: Option<String>,
    /// Signal that asks the container to stop
    #[arg(long)]
    pub(crate) stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL
    #[arg(long, value_name = "int")]
    pub(crate) stop_timeout: Option<i64>,
    /// Options of the container's writable layer (size=N)
    #[arg(long, value_name = "name=value")]
    pub(crate) storage_opt: Vec<String>,
    /// Kernel parameters of the container's namespaces
    #[arg(long, value_name = "map")]
    pub(crate) sysctl: Vec<String>,
    /// Mount memory at a folder
    #[arg(long)]
    pub(crate) tmpfs: Vec<String>,
    /// Allocate a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// User and group, names or numbers (format: <name|uid>[:<group|gid>])
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// User namespace to use (host)
    #[arg(long)]
    pub(crate) userns: Option<String>,
    /// UTS namespace to use
    #[arg(long)]
    pub(crate) uts: Option<String>,
    /// Mount a volume or a folder of the host
    #[arg(short, long)]
    pub(crate) volume: Vec<String>,
    /// Driver of the volumes that are made (local)
    #[arg(long)]
    pub(crate) volume_driver: Option<String>,
    /// Mount the binds and volumes of other containers (name[:ro|rw])
    #[arg(long)]
    pub(crate) volumes_from: Vec<String>,
    /// Working folder inside the container
    #[arg(short, long)]
    pub(crate) workdir: Option<String>,
}
