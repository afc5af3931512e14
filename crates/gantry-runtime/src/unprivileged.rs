//! Documents for a caller that has no power over the machine: one in a user namespace, as every
//! rootless caller is.
//!
//! A document is written as for root; [`Unprivileged::adapt`] then changes what the kernel would
//! refuse into what comes nearest, and refuses itself what has nothing near. It is pure: what the
//! caller's namespace is like was found out by [`Unprivileged::observe`].

use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{Fault, FaultKind};
use gantry_sys::process::{self, IdMapping};
use oci_spec::runtime::{
    Linux, LinuxIdMapping, LinuxNamespaceType, LinuxResources, Mount, Process, Spec,
};

/// How an ordinary user comes by a cgroup.
pub const DELEGATION_HINT: &str = "run it by `systemd-run --user --scope --property Delegate=yes`";

/// What a caller in a user namespace can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unprivileged {
    /// The users of its namespace.
    pub uids: Vec<IdMapping>,
    /// The groups of its namespace.
    pub gids: Vec<IdMapping>,
    /// Whether supplementary groups can be set.
    pub groups: bool,
    /// The cgroup (version 2, below the mount point) that was delegated to it.
    pub cgroup: Option<PathBuf>,
}

/// A document asks for what a caller without root cannot have.
#[derive(Debug, thiserror::Error)]
pub enum AdaptError {
    /// A user or group outside of the namespace.
    #[error("{what} {id} does not exist in this user namespace")]
    Unmapped {
        /// `user` or `group`.
        what: &'static str,
        /// Its number.
        id: u32,
    },
    /// A limit, without a cgroup to set it on.
    #[error("cannot limit {what}: without root this needs a delegated cgroup of version 2")]
    Limit {
        /// What is to be limited.
        what: &'static str,
    },
}

impl Fault for AdaptError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Unmapped { .. } => FaultKind::Invalid,
            Self::Limit { .. } => FaultKind::Unsupported,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Unmapped { .. } => {
                "a longer range of subordinate IDs in /etc/subuid and /etc/subgid has it (and the \
                 helpers newuidmap and newgidmap, Debian's package uidmap)"
                    .to_owned()
            }
            Self::Limit { .. } => DELEGATION_HINT.to_owned(),
        }]
    }
}

impl Unprivileged {
    /// What this process can do; `None` in the machine's first user namespace, where documents
    /// stay as they are.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn observe() -> io::Result<Option<Unprivileged>> {
        if process::is_in_initial_user_namespace() {
            return Ok(None);
        }
        let (uids, gids) = process::id_maps(None)?;
        Ok(Some(Unprivileged {
            uids,
            gids,
            groups: process::may_set_groups(),
            cgroup: gantry_sys::cgroup::delegated(),
        }))
    }

    /// Changes a document of a container into one that this caller can run.
    ///
    /// # Errors
    /// [`AdaptError`] for what it cannot have.
    pub fn adapt(&self, spec: &mut Spec) -> Result<(), AdaptError> {
        match spec.linux().as_ref().and_then(own_users) {
            None => self.adapt_to_users(spec),
            Some((uids, gids)) => self.clone().with_users(uids, gids).adapt_to_users(spec),
        }
    }

    /// The same caller for a container with users of its own.
    #[must_use]
    pub fn with_users(self, uids: Vec<IdMapping>, gids: Vec<IdMapping>) -> Unprivileged {
        Unprivileged { uids, gids, ..self }
    }

    /// The same, for users who are this caller's, or those of a namespace of the container's own.
    fn adapt_to_users(&self, spec: &mut Spec) -> Result<(), AdaptError> {
        if let Some(process) = spec.process_mut() {
            self.adapt_process(process)?;
        }
        let own: Vec<LinuxNamespaceType> = spec
            .linux()
            .iter()
            .filter_map(|linux| linux.namespaces().as_ref())
            .flatten()
            .map(oci_spec::runtime::LinuxNamespace::typ)
            .collect();
        let cgroup = match spec.linux_mut() {
            Some(linux) => self.adapt_linux(linux)?,
            None => false,
        };
        if let Some(mounts) = spec.mounts_mut() {
            mounts.retain(|mount| cgroup || mount.typ().as_deref() != Some("cgroup"));
            for mount in mounts {
                self.adapt_mount(mount, &own);
            }
        }
        Ok(())
    }

    /// The same for a process that is added to a container.
    ///
    /// # Errors
    /// [`AdaptError::Unmapped`].
    pub fn adapt_process(&self, process: &mut Process) -> Result<(), AdaptError> {
        let user = process.user_mut();
        let known = |what, id, mappings: &[IdMapping]| match is_mapped(id, mappings) {
            true => Ok(()),
            false => Err(AdaptError::Unmapped { what, id }),
        };
        known("user", user.uid(), &self.uids)?;
        known("group", user.gid(), &self.gids)?;
        if let Some(groups) = user.additional_gids() {
            let main = user.gid();
            for group in groups.iter().filter(|group| **group != main) {
                known("group", *group, &self.gids)?;
            }
        }
        if !self.groups {
            user.set_additional_gids(None);
        }
        Ok(())
    }

    /// Says whether the container has a cgroup of its own.
    fn adapt_linux(&self, linux: &mut Linux) -> Result<bool, AdaptError> {
        // Device nodes cannot be made, and the filter of a cgroup is for root to set.
        if let Some(resources) = linux.resources_mut() {
            resources.set_devices(None);
        }
        if let Some(sysctls) = linux.sysctl_mut() {
            let most = self
                .gids
                .iter()
                .map(|ids| ids.inside + (ids.size - 1))
                .max();
            for (name, value) in sysctls {
                if name == "net.ipv4.ping_group_range" {
                    *value = clamp_range(value, most.unwrap_or_default());
                }
            }
        }
        let own = linux.cgroups_path().as_ref().zip(self.cgroup.as_ref());
        match own {
            Some((path, delegated)) => {
                let below = path.strip_prefix("/").unwrap_or(path);
                let path = delegated.join(below);
                linux.set_cgroups_path(Some(path));
                Ok(true)
            }
            None => {
                if let Some(what) = linux.resources().as_ref().and_then(limited) {
                    return Err(AdaptError::Limit { what });
                }
                linux.set_resources(None);
                linux.set_cgroups_path(None);
                Ok(false)
            }
        }
    }

    fn adapt_mount(&self, mount: &mut Mount, own: &[LinuxNamespaceType]) {
        // A file system that shows a namespace can only be mounted by whoever owns that.
        let of_namespace = match mount.typ().as_deref() {
            Some("proc") => Some((LinuxNamespaceType::Pid, "/proc")),
            Some("sysfs") => Some((LinuxNamespaceType::Network, "/sys")),
            Some("mqueue") => Some((LinuxNamespaceType::Ipc, "/dev/mqueue")),
            _ => None,
        };
        if let Some((namespace, path)) = of_namespace
            && !own.contains(&namespace)
        {
            bind_instead(mount, path);
        }
        if mount.typ().as_deref() == Some("devpts")
            && let Some(options) = mount.options_mut()
        {
            options.retain(|option| {
                let group = option.strip_prefix("gid=").map(str::parse);
                !matches!(group, Some(Ok(gid)) if !is_mapped(gid, &self.gids))
            });
        }
    }
}

/// The users and groups of a new user namespace of the container's own.
fn own_users(linux: &Linux) -> Option<(Vec<IdMapping>, Vec<IdMapping>)> {
    let mappings = |all: &Option<Vec<LinuxIdMapping>>| -> Vec<IdMapping> {
        let mapping = |ids: &LinuxIdMapping| IdMapping {
            inside: ids.container_id(),
            outside: ids.host_id(),
            size: ids.size(),
        };
        all.iter().flatten().map(mapping).collect()
    };
    let mut namespaces = linux.namespaces().iter().flatten();
    let own = namespaces.any(|own| own.typ() == LinuxNamespaceType::User && own.path().is_none());
    own.then(|| {
        (
            mappings(linux.uid_mappings()),
            mappings(linux.gid_mappings()),
        )
    })
}

fn bind_instead(mount: &mut Mount, path: &str) {
    mount.set_typ(Some("bind".to_owned()));
    mount.set_source(Some(Path::new(path).to_owned()));
    let mut options = mount.options().clone().unwrap_or_default();
    options.insert(0, "rbind".to_owned());
    if options.iter().any(|option| option == "ro") {
        // What is mounted below must not stay writable.
        options.push("rro".to_owned());
    }
    mount.set_options(Some(options));
}

fn is_mapped(id: u32, mappings: &[IdMapping]) -> bool {
    mappings
        .iter()
        .any(|ids| id >= ids.inside && id - ids.inside < ids.size)
}

/// A range `first last` that ends with `most` at the latest.
fn clamp_range(range: &str, most: u32) -> String {
    let mut numbers = range
        .split_whitespace()
        .filter_map(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) => format!("{} {}", first.min(most), last.min(most)),
        _ => range.to_owned(),
    }
}

/// The first limit that was asked for.
fn limited(resources: &LinuxResources) -> Option<&'static str> {
    let huge_pages = resources.hugepage_limits().as_ref();
    let unified = resources.unified().as_ref();
    let rdma = resources.rdma().as_ref();
    [
        ("memory", resources.memory().is_some()),
        ("CPU time", resources.cpu().is_some()),
        ("the number of processes", resources.pids().is_some()),
        ("block input and output", resources.block_io().is_some()),
        ("huge pages", huge_pages.is_some_and(|all| !all.is_empty())),
        ("network traffic", resources.network().is_some()),
        ("RDMA", rdma.is_some_and(|all| !all.is_empty())),
        ("resources", unified.is_some_and(|all| !all.is_empty())),
    ]
    .into_iter()
    .find_map(|(what, asked)| asked.then_some(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;

    fn user(mapped: u32, cgroup: Option<&str>) -> Unprivileged {
        let own = IdMapping {
            inside: 0,
            outside: 1000,
            size: 1,
        };
        let others = IdMapping {
            inside: 1,
            outside: 100_000,
            size: mapped,
        };
        let ids = if mapped == 0 {
            vec![own]
        } else {
            vec![own, others]
        };
        Unprivileged {
            uids: ids.clone(),
            gids: ids,
            groups: mapped > 0,
            cgroup: cgroup.map(PathBuf::from),
        }
    }

    fn document(without: Option<LinuxNamespaceType>) -> Spec {
        let mut linux = Linux::default();
        let mut namespaces = defaults::namespaces();
        namespaces.retain(|namespace| Some(namespace.typ()) != without);
        linux.set_namespaces(Some(namespaces));
        let mut resources = LinuxResources::default();
        resources.set_devices(Some(defaults::device_rules()));
        linux.set_resources(Some(resources));
        linux.set_cgroups_path(Some(PathBuf::from("/gantry/x")));
        linux.set_sysctl(Some(
            [(
                "net.ipv4.ping_group_range".to_owned(),
                "0 2147483647".to_owned(),
            )]
            .into(),
        ));
        let mut spec = Spec::default();
        spec.set_linux(Some(linux));
        spec.set_mounts(Some(defaults::mounts()));
        spec
    }

    fn mount_lines(spec: &Spec) -> Vec<String> {
        let line = |mount: &Mount| {
            format!(
                "{} {} {}",
                mount.destination().display(),
                mount.typ().as_deref().unwrap_or_default(),
                mount.options().clone().unwrap_or_default().join(",")
            )
        };
        spec.mounts().iter().flatten().map(line).collect()
    }

    #[test]
    fn a_document_loses_what_only_root_has() {
        let mut spec = document(None);
        user(65536, None).adapt(&mut spec).expect("adapted");
        let lines = mount_lines(&spec);
        assert!(lines.iter().all(|line| !line.contains("cgroup")));
        assert!(lines.contains(&"/sys sysfs nosuid,noexec,nodev,ro".to_owned()));
        assert!(lines.iter().any(|line| line.contains("gid=5")));
        let linux = spec.linux().clone().expect("linux");
        assert!(linux.resources().is_none() && linux.cgroups_path().is_none());
        let sysctls = linux.sysctl().clone().expect("sysctls");
        assert_eq!(sysctls["net.ipv4.ping_group_range"], "0 65536");
    }

    #[test]
    fn foreign_namespaces_are_shown_by_the_hosts_mounts() {
        for (namespace, line) in [
            (
                LinuxNamespaceType::Network,
                "/sys bind rbind,nosuid,noexec,nodev,ro,rro",
            ),
            (
                LinuxNamespaceType::Pid,
                "/proc bind rbind,nosuid,noexec,nodev",
            ),
            (
                LinuxNamespaceType::Ipc,
                "/dev/mqueue bind rbind,nosuid,noexec,nodev",
            ),
        ] {
            let mut spec = document(Some(namespace));
            user(65536, None).adapt(&mut spec).expect("adapted");
            assert!(mount_lines(&spec).contains(&line.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_delegated_cgroup_is_used() {
        let mut spec = document(None);
        let user = user(65536, Some("/user.slice/x"));
        user.adapt(&mut spec).expect("adapted");
        let linux = spec.linux().clone().expect("linux");
        let path = linux.cgroups_path().clone();
        assert_eq!(path, Some(PathBuf::from("/user.slice/x/gantry/x")));
        let resources = linux.resources().clone().expect("resources");
        assert!(resources.devices().is_none());
        let lines = mount_lines(&spec);
        assert!(lines.iter().any(|line| line.contains(" cgroup ")));
    }

    #[test]
    fn a_limit_without_a_cgroup_is_refused() {
        let mut spec = document(None);
        let linux = spec.linux_mut().as_mut().expect("linux");
        let resources = linux.resources_mut().as_mut().expect("resources");
        resources.set_pids(Some(oci_spec::runtime::LinuxPids::default()));
        let refused = user(65536, None).adapt(&mut spec).expect_err("a limit");
        assert!(refused.to_string().contains("number of processes"));
    }

    #[test]
    fn users_of_a_namespace_of_its_own_count() {
        let mut spec = document(None);
        let linux = spec.linux_mut().as_mut().expect("linux");
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        let mut namespace = oci_spec::runtime::LinuxNamespace::default();
        namespace.set_typ(LinuxNamespaceType::User);
        namespaces.push(namespace);
        linux.set_namespaces(Some(namespaces));
        let mapping = oci_spec::runtime::LinuxIdMappingBuilder::default()
            .container_id(0_u32)
            .host_id(1_u32)
            .size(100_u32)
            .build()
            .expect("a mapping");
        linux.set_uid_mappings(Some(vec![mapping]));
        linux.set_gid_mappings(Some(vec![mapping]));
        let process = spec.process_mut().as_mut().expect("a process");
        process.user_mut().set_uid(99_u32);
        let mut fine = spec.clone();
        user(65536, None)
            .adapt(&mut fine)
            .expect("user 99 is there");
        let linux = fine.linux().clone().expect("linux");
        let sysctls = linux.sysctl().clone().expect("sysctls");
        assert_eq!(sysctls["net.ipv4.ping_group_range"], "0 99");
        let process = spec.process_mut().as_mut().expect("a process");
        process.user_mut().set_uid(100_u32);
        assert!(user(65536, None).adapt(&mut spec).is_err());
    }

    #[test]
    fn with_a_single_id_there_is_nobody_else() {
        let single = user(0, None);
        let mut spec = document(None);
        single.adapt(&mut spec).expect("root is mapped");
        assert!(!mount_lines(&spec).iter().any(|line| line.contains("gid=5")));
        let process = spec.process_mut().as_mut().expect("a process");
        assert!(process.user().additional_gids().is_none());
        process.user_mut().set_uid(33_u32);
        let refused = single.adapt_process(process).expect_err("nobody");
        assert!(refused.to_string().contains("user 33"), "{refused}");
        assert!(user(65536, None).adapt_process(process).is_ok());
    }
}
