//! What a person asks for processes whose document is not written from a container's record: the
//! steps of a build.

use std::path::PathBuf;

use gantry_model::ulimit::Ulimit;
use gantry_model::{Fault, FaultKind};
use oci_spec::runtime::{
    LinuxResources, LinuxSeccomp, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

/// How processes are confined and limited, as values of a document (OCI runtime-spec,
/// `config-linux.md`).
#[derive(Debug, Clone)]
pub struct Confinement {
    /// The AppArmor profile; the caller's without.
    pub apparmor: Option<String>,
    /// Which system calls are let through.
    pub seccomp: SystemCalls,
    /// Whether no process may gain privileges by executing a file.
    pub no_new_privileges: bool,
    /// Whether the paths of `/proc` and `/sys` that are masked or read-only are as the kernel made
    /// them.
    pub open_system_paths: bool,
    /// Limits of the cgroup; its rules for devices are not set.
    pub resources: LinuxResources,
    /// The cgroup, absolute, below which each one's own is made.
    pub cgroup_parent: PathBuf,
    /// What of it was asked for and decides on what processes can do, in one spelling for each
    /// meaning: files by their digests.
    pub asked: Vec<String>,
}

impl Default for Confinement {
    fn default() -> Self {
        let mut resources = LinuxResources::default();
        resources.set_devices(None);
        Self {
            apparmor: None,
            seccomp: SystemCalls::default(),
            no_new_privileges: false,
            open_system_paths: false,
            resources,
            cgroup_parent: PathBuf::from("/gantry"),
            asked: Vec::new(),
        }
    }
}

/// Which system calls processes may use.
#[derive(Debug, Clone, Default)]
pub enum SystemCalls {
    /// Those of Docker's default profile.
    #[default]
    Usual,
    /// All.
    All,
    /// Those of a profile.
    Profile(Box<LinuxSeccomp>),
}

/// A limit that Linux does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid ulimit type: {0}")]
pub struct UnknownLimit(pub String);

impl Fault for UnknownLimit {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }
}

/// Limits of processes as a document has them (OCI runtime-spec, `config.md`, "POSIX process"), of
/// several for the same the last.
///
/// # Errors
/// [`UnknownLimit`] for a name that is none.
pub fn rlimits(wanted: &[Ulimit]) -> Result<Vec<PosixRlimit>, UnknownLimit> {
    let mut limits: Vec<PosixRlimit> = Vec::new();
    for ulimit in wanted {
        let unknown = || UnknownLimit(ulimit.name.clone());
        let typ = rlimit_type(&ulimit.name).ok_or_else(unknown)?;
        let limit = PosixRlimitBuilder::default()
            .typ(typ)
            .soft(ulimit.soft.unwrap_or(u64::MAX))
            .hard(ulimit.hard.unwrap_or(u64::MAX))
            .build()
            .map_err(|_| unknown())?;
        limits.retain(|seen| seen.typ() != typ);
        limits.push(limit);
    }
    Ok(limits)
}

fn rlimit_type(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_limit_of_a_name_counts() {
        let parsed: Vec<Ulimit> = ["nofile=10", "core=-1", "nofile=20:30"]
            .map(|text| text.parse().unwrap())
            .into();
        let limits = rlimits(&parsed).unwrap();
        assert_eq!(limits.len(), 2);
        assert_eq!((limits[1].soft(), limits[1].hard()), (20, 30));
        assert_eq!(limits[0].hard(), u64::MAX);
    }
}
