//! Limits and confinement as both containers and the `RUN` steps of a build have them.

use clap::Args;
use gantry_model::container::Resources;
use gantry_model::quantity::parse_bytes;
use gantry_model::ulimit::Ulimit;

use super::value::{FlagError, wrong};
use crate::failure::Failure;

/// The flags, as they are written.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LimitFlags {
    /// Cgroup below which its own is made
    #[arg(long)]
    pub(crate) cgroup_parent: Option<String>,
    /// Limit the CPU time in a period, the period in microseconds
    #[arg(long, value_name = "int")]
    pub(crate) cpu_period: Option<u64>,
    /// Limit the CPU time in a period, the time in microseconds
    #[arg(long, value_name = "int")]
    pub(crate) cpu_quota: Option<i64>,
    /// Relative weight of CPU time
    #[arg(short = 'c', long, value_name = "int")]
    pub(crate) cpu_shares: Option<u64>,
    /// CPUs that may be used (0-3, 0,1)
    #[arg(long)]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes that may be used (0-3, 0,1)
    #[arg(long)]
    pub(crate) cpuset_mems: Option<String>,
    /// Isolation technology; Linux has the default alone
    #[arg(long, hide = true)]
    pub(crate) isolation: Option<String>,
    /// Limit the memory
    #[arg(short, long, value_name = "bytes")]
    pub(crate) memory: Option<String>,
    /// Limit memory and swap together; -1 for unlimited swap
    #[arg(long, value_name = "bytes")]
    pub(crate) memory_swap: Option<String>,
    /// Security options
    #[arg(long)]
    pub(crate) security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes")]
    pub(crate) shm_size: Option<String>,
    /// Limits of processes (NAME=SOFT[:HARD])
    #[arg(long, value_name = "ulimit")]
    pub(crate) ulimit: Vec<String>,
}

impl LimitFlags {
    /// The limits of the cgroup.
    pub(crate) fn resources(&self) -> Result<Resources, FlagError> {
        let memory_swap = match self.memory_swap.as_deref() {
            Some("-1") => Some(-1),
            text => bytes("--memory-swap", text)?.and_then(|size| i64::try_from(size).ok()),
        };
        Ok(Resources {
            memory: bytes("-m, --memory", self.memory.as_deref())?,
            memory_swap,
            cpu_shares: self.cpu_shares.filter(|n| *n > 0),
            cpu_period: self.cpu_period.filter(|n| *n > 0),
            cpu_quota: self.cpu_quota.filter(|n| *n != 0),
            cpuset_cpus: self.cpuset_cpus.clone().filter(|set| !set.is_empty()),
            cpuset_mems: self.cpuset_mems.clone().filter(|set| !set.is_empty()),
            ..Resources::default()
        })
    }

    /// Bytes of `/dev/shm`.
    pub(crate) fn shm_size(&self) -> Result<Option<u64>, FlagError> {
        bytes("--shm-size", self.shm_size.as_deref())
    }

    /// The limits of processes.
    pub(crate) fn ulimits(&self) -> Result<Vec<Ulimit>, FlagError> {
        let parse = |text: &String| text.parse().map_err(wrong("--ulimit", text));
        self.ulimit.iter().map(parse).collect()
    }

    /// Refuses an isolation that Linux does not have.
    pub(crate) fn check_isolation(&self) -> Result<(), Failure> {
        match self.isolation.as_deref() {
            None | Some("" | "default") => Ok(()),
            Some(other) => Err(Failure::unsupported(format!(
                "invalid isolation ({other}): Linux has 'default' alone"
            ))),
        }
    }
}

/// A size; none where it is 0.
pub(super) fn bytes(flag: &'static str, text: Option<&str>) -> Result<Option<u64>, FlagError> {
    text.map(|text| parse_bytes(text).map_err(wrong(flag, text)))
        .transpose()
        .map(|size| size.filter(|n| *n > 0))
}
