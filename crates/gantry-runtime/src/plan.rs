//! Everything that is decided before anything is done.
//!
//! [`plan`] is pure: the same document, launch and [`Observed`] system give the same [`Plan`].

mod container;
mod external;
mod labels;
mod mount;
mod mount_options;
mod namespace;
mod placement;
mod process;
mod resources;
mod seccomp;

use std::path::PathBuf;

use gantry_sys::capability::{Capability, Sets};
use gantry_sys::cgroup::{Layout, Settings};
use gantry_sys::lsm::Modules;
use gantry_sys::mount::{Attributes, Propagation};
use gantry_sys::process::{IdMapping, Namespace, NamespaceSet};
use gantry_sys::rlimit::Limit;
use gantry_sys::seccomp::Filter;

use crate::hooks::Hooks;
use crate::launch::RootFs;
use crate::unit::{Place, Scope};

pub(crate) use container::{cgroup, plan};
pub use external::ExternalMount;
pub(crate) use external::{external_mounts, mount_points};
pub(crate) use mount_options::names as mount_option_names;
pub(crate) use placement::Placement;
pub(crate) use process::process;
pub(crate) use resources::settings;
pub use seccomp::{Listener, compile as compile_seccomp};

/// What the system is like, as far as a decision depends on it.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// The kernel's version.
    pub kernel: (u32, u32),
    /// The highest capability the kernel knows.
    pub last_capability: Capability,
    /// Which modules confine processes by a name.
    pub labels: Modules,
    /// The mounted cgroup hierarchies.
    pub cgroups: Option<Layout>,
    /// Whether the caller is in a user namespace other than the machine's first.
    pub user_namespace: bool,
    /// Where units are, when systemd is to make the cgroup.
    pub units: Option<Place>,
}

/// Everything that is to be done to create a container.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub namespaces: NamespacePlan,
    pub cgroup: Option<CgroupPlan>,
    pub root: RootPlan,
    pub mounts: Vec<MountPlan>,
    /// Whether `/dev` is the container's own, to be filled.
    pub fill_dev: bool,
    pub devices: Vec<DevicePlan>,
    /// Symbolic links in `/dev`: name and target.
    pub links: Vec<(&'static str, &'static str)>,
    pub host_name: Option<String>,
    pub domain_name: Option<String>,
    /// What is written to `timens_offsets` of a new time namespace.
    pub time_offsets: Vec<String>,
    /// Kernel parameters: path below `/proc/sys` and value.
    pub sysctls: Vec<(String, String)>,
    pub masked: Vec<PathBuf>,
    pub read_only: Vec<PathBuf>,
    pub process: ProcessPlan,
    pub hooks: Hooks,
    /// The host's interfaces that become the container's.
    pub net_devices: Vec<NetDevice>,
    /// Who decides about calls, where the filter leaves that open.
    pub listener: Option<Listener>,
    /// Rows and columns of the terminal, when there is to be one.
    pub terminal: Option<(u16, u16)>,
    pub init: bool,
    pub die_with_parent: bool,
}

impl Plan {
    /// Whether systemd makes the cgroup, once the container's process is there.
    pub(crate) fn has_scope(&self) -> bool {
        self.cgroup
            .as_ref()
            .is_some_and(|plan| plan.scope.is_some())
    }
}

/// The namespaces of a container; those that are in neither list are the caller's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct NamespacePlan {
    /// To be made together with the child. Without the cgroup namespace.
    pub new: NamespaceSet,
    /// To be made when the child is in its cgroup.
    pub new_cgroup: bool,
    /// To be made by the child itself, since its clocks are set before anybody enters it.
    pub new_time: bool,
    /// To be joined by the file's path.
    pub join: Vec<(Namespace, PathBuf)>,
    /// The mappings of a new user namespace.
    pub id_maps: Option<IdMaps>,
    /// What the document says of those of a user namespace to join.
    pub expected_maps: Option<IdMaps>,
}

impl NamespacePlan {
    /// Whether the container does not share this namespace with its caller.
    pub(crate) fn separates(&self, namespace: Namespace) -> bool {
        self.new.contains(namespace) || self.join_path(namespace).is_some()
    }

    /// Whether its users are those of another container.
    pub(crate) fn joins_users(&self) -> bool {
        self.join_path(Namespace::User).is_some()
    }

    /// The file of a namespace to join.
    pub(crate) fn join_path(&self, namespace: Namespace) -> Option<&PathBuf> {
        let found = self.join.iter().find(|(kind, _)| *kind == namespace)?;
        Some(&found.1)
    }
}

/// An interface of the host that becomes the container's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NetDevice {
    pub host_name: String,
    pub name: String,
}

/// The mappings of a user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMaps {
    pub uids: Vec<IdMapping>,
    pub gids: Vec<IdMapping>,
}

/// The cgroup to make.
#[derive(Debug, Clone)]
pub(crate) struct CgroupPlan {
    pub path: PathBuf,
    pub settings: Settings,
    /// The scope of systemd's that brings it; `None`: it is made in the file system.
    pub scope: Option<Scope>,
}

/// The root file system.
#[derive(Debug, Clone)]
pub(crate) struct RootPlan {
    pub source: RootFs,
    pub read_only: bool,
    /// Of every mount there was before; `None` = left as it is.
    pub propagation: Option<Propagation>,
    /// Of the container's root mount in the end.
    pub own_propagation: Option<Propagation>,
    /// The SELinux label of an overlay's files.
    pub label: Option<String>,
    /// Move it over the root instead of exchanging the two.
    pub no_pivot: bool,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountPlan {
    pub target: PathBuf,
    pub source: MountSource,
    pub change: MountChange,
    /// The same for the mounts below as well.
    pub change_all: MountChange,
    pub propagation: Option<(Propagation, bool)>,
    pub id_map: Option<(IdMaps, bool)>,
}

/// Attributes to set and to clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MountChange {
    pub set: Attributes,
    pub clear: Attributes,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountSource {
    /// A file or directory of the host.
    Bind { path: PathBuf, recursive: bool },
    /// A part of a directory of the host, looked up within it.
    BindBelow {
        path: PathBuf,
        subpath: PathBuf,
        recursive: bool,
    },
    /// A mount in another mount namespace.
    BindElsewhere {
        /// The namespace's file.
        namespace: PathBuf,
        path: PathBuf,
        recursive: bool,
    },
    /// A read-only overlay, or a part of it.
    Overlay {
        /// Top first.
        lowers: Vec<PathBuf>,
        subpath: Option<PathBuf>,
    },
    /// A file system.
    FileSystem {
        fs_type: String,
        parameters: Vec<(String, Option<String>)>,
        /// Take the permission bits of the directory that is mounted on.
        mode_of_target: bool,
        /// The target must be reached without symbolic links.
        strict_target: bool,
        /// Begin with what the directory that is mounted on holds.
        copy_up: bool,
    },
    /// Nothing new: what is mounted there changes its attributes.
    Remount,
    /// One hierarchy of cgroup version 2: a bind of the container's own directory.
    CgroupUnified { directory: PathBuf },
    /// Several hierarchies: a tmpfs with a bind of the container's own directory in each, and a
    /// link for each controller that shares one.
    CgroupHierarchies {
        directories: Vec<(String, PathBuf)>,
        links: Vec<(String, String)>,
    },
}

/// One device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DevicePlan {
    pub path: PathBuf,
    pub kind: DeviceNode,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// In a user namespace nodes cannot be made: the host's is bind-mounted.
    pub bind: bool,
}

/// The kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceNode {
    Character,
    Block,
    Fifo,
}

/// Everything about the process that is not about the container.
#[derive(Debug, Clone)]
pub(crate) struct ProcessPlan {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: PathBuf,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: u32,
    pub capabilities: Sets,
    pub rlimits: Vec<Limit>,
    pub strict_rlimits: bool,
    pub keep_keyring: bool,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
    pub apparmor_profile: Option<String>,
    pub selinux_label: Option<String>,
    pub personality: Option<u64>,
    pub placement: Placement,
    pub seccomp: Option<Filter>,
}

#[cfg(test)]
mod tests;
