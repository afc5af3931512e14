//! From a container's record to the OCI runtime document. Pure: everything that has to be
//! looked up on the host comes in as [`Facts`].

pub(crate) mod capabilities;
mod check;
pub(crate) mod devices;
pub(crate) mod labels;
pub(crate) mod mounts;
pub(crate) mod resources;
pub(crate) mod seccomp;
pub(crate) mod security;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use gantry_model::container::{ContainerSpec, NetworkMode};
use gantry_model::{ContainerRecord, Fault, FaultKind};
use gantry_runtime::defaults;
use oci_spec::runtime::{
    Capabilities, Linux, LinuxCapabilities, LinuxDevice, LinuxNamespace, LinuxNamespaceType,
    LinuxSeccomp, Process, Root, Spec, User,
};

use super::merge::process_environment;
use super::user::ResolvedUser;
pub(crate) use check::check;
use devices::Device;
use mounts::MountFacts;
use security::Security;

/// Version of the runtime specification that documents follow.
const VERSION: &str = "1.2.0";
/// Most bytes of a host name or domain name.
const UTS_LENGTH: usize = 64;

/// A wish that cannot be granted; texts are Docker's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// An unknown capability.
    #[error("invalid {field}: unknown capability: {name:?}")]
    Capability {
        /// `CapAdd` or `CapDrop`.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// Limits out of range or at odds with each other.
    #[error("{0}")]
    Resources(String),
    /// A limit of processes that there is not.
    #[error(transparent)]
    Ulimit(#[from] gantry_runtime::UnknownLimit),
    /// A text with line ends or other control characters where there may be none.
    #[error(
        "{field} {value:?} has a control character, which its line in the container's files cannot hold"
    )]
    ControlCharacter {
        /// The flag.
        field: &'static str,
        /// What was given, shortened.
        value: String,
    },
    /// An unknown security option.
    #[error("invalid --security-opt: {0:?}")]
    SecurityOption(String),
    /// A security module of the kernel that is not there.
    #[error("--security-opt {option} needs {module}, which is not switched on in this system")]
    NoModule {
        /// What was asked for.
        option: String,
        /// Who would have done it.
        module: &'static str,
        /// What can be had.
        none: &'static str,
    },
    /// A policy that says nothing of containers.
    #[error("the SELinux policy names no {kind} label for containers in its lxc_contexts")]
    NoContext {
        /// Of what.
        kind: &'static str,
    },
    /// Something this release does not do.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A device that is written wrongly.
    #[error("invalid device specification: {0:?}")]
    Device(String),
    /// A device of the host that cannot be looked at.
    #[error("error gathering device information while adding custom device {:?}", path.display().to_string())]
    HostDevice {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path that is no device.
    #[error("error gathering device information while adding custom device {:?}: not a device node", path.display().to_string())]
    NotADevice {
        /// The path.
        path: PathBuf,
    },
    /// A seccomp profile that cannot be used.
    #[error("decoding seccomp profile failed: {reason}")]
    SeccompProfile {
        /// Why.
        reason: String,
    },
    /// A kernel parameter that does not belong to a namespace of the container.
    #[error("sysctl {name:?} is not allowed: {reason}")]
    Sysctl {
        /// The parameter.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A namespace mode that is none.
    #[error("invalid {namespace} mode: {mode}")]
    NamespaceMode {
        /// Which namespace.
        namespace: &'static str,
        /// What was asked for.
        mode: String,
    },
    /// Wishes that exclude each other.
    #[error("conflicting options: {0}")]
    Conflict(&'static str),
    /// Another runtime than the one that is built in.
    #[error("unknown or invalid runtime name: {name}")]
    Runtime {
        /// Its name.
        name: String,
    },
    /// A rule for devices that is written wrongly.
    #[error("invalid device cgroup format '{rule}'")]
    DeviceRule {
        /// The rule.
        rule: String,
    },
    /// A device of the host whose number is needed.
    #[error("cannot look at the device {path}")]
    DeviceNumber {
        /// Its path.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A value that cannot be.
    #[error("invalid {field}: {value:?}")]
    Value {
        /// What.
        field: &'static str,
        /// The value.
        value: String,
    },
}

impl Fault for SpecError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Unsupported(_) | Self::NoModule { .. } | Self::NoContext { .. } => {
                FaultKind::Unsupported
            }
            // By the words of the error, as Docker tells the exit code of a `run`.
            Self::HostDevice { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => FaultKind::CommandNotFound,
                io::ErrorKind::PermissionDenied => FaultKind::CannotInvoke,
                _ => FaultKind::Invalid,
            },
            _ => FaultKind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoModule { none, .. } => {
                vec![format!("leave it out, or write --security-opt {none}")]
            }
            Self::NoContext { .. } => {
                vec!["the package container-selinux has them; or write label=disable".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// Everything that decides on the document.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// Where the files of mounted images are.
    pub(crate) images: mounts::ImageFolders,
    pub(crate) record: &'a ContainerRecord,
    /// What links say in its environment.
    pub(crate) linked: Vec<String>,
    /// Who the process runs as.
    pub(crate) user: &'a ResolvedUser,
    /// The capabilities, without `CAP_`.
    pub(crate) capabilities: &'a [String],
    pub(crate) security: &'a Security,
    /// What the host's security modules confine it by.
    pub(crate) labels: &'a labels::Names,
    /// The filter, where it is not Docker's default.
    pub(crate) seccomp: Option<LinuxSeccomp>,
    /// Devices asked for.
    pub(crate) devices: &'a [Device],
    /// Every device of the host, for a privileged container.
    pub(crate) host_devices: Vec<LinuxDevice>,
    /// Files of the container's folder that are mounted over the image's.
    pub(crate) files: Vec<(&'static str, PathBuf)>,
    /// Namespaces of other containers.
    pub(crate) foreign: Foreign,
    /// The host's name.
    pub(crate) host_name: &'a str,
}

/// Namespaces of other containers that this one joins.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    pub(crate) network: Option<PathBuf>,
    pub(crate) pid: Option<PathBuf>,
    pub(crate) ipc: Option<PathBuf>,
    /// The process that the IPC namespace is of.
    pub(crate) ipc_of: Option<u32>,
}

/// The name a container has in its UTS namespace.
pub(crate) fn hostname<'a>(record: &'a ContainerRecord, host_name: &'a str) -> &'a str {
    let spec = &record.spec;
    match &spec.hostname {
        Some(name) => name,
        None if spec.uts_mode == "host" || spec.network == NetworkMode::Host => host_name,
        None => record.id.short(),
    }
}

/// The document.
pub(crate) fn translate(facts: &Facts<'_>) -> Result<Spec, SpecError> {
    let record = facts.record;
    let spec = &record.spec;
    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs"));
    root.set_readonly(spec.read_only.then_some(true));
    let own = OwnNamespaces::of(spec);
    let mut document = Spec::default();
    document.set_version(VERSION.to_owned());
    document.set_root(Some(root));
    document.set_process(Some(process(facts)?));
    document.set_mounts(Some(mounts::decide(&MountFacts {
        mounts: &record.mounts,
        files: facts.files.clone(),
        shm_size: spec.shm_size,
        host_ipc: !own.ipc,
        ipc_of: facts.foreign.ipc_of,
        images: &facts.images,
        no_shm: spec.ipc_mode == "none",
        own_network: own.network,
        privileged: spec.privileged,
        read_only: spec.read_only,
    })));
    if own.uts {
        document.set_hostname(Some(hostname(record, facts.host_name).to_owned()));
        document.set_domainname(spec.domainname.clone());
    } else {
        document.set_hostname(None);
    }
    let annotations: HashMap<String, String> = spec.annotations.clone().into_iter().collect();
    document.set_annotations((!annotations.is_empty()).then_some(annotations));
    document.set_linux(Some(linux(facts, own)?));
    Ok(document)
}

fn process(facts: &Facts<'_>) -> Result<Process, SpecError> {
    let record = facts.record;
    let spec = &record.spec;
    let mut process = Process::default();
    process.set_terminal(Some(spec.tty));
    process.set_user(user(facts.user));
    process.set_args(Some(record.args.clone()));
    process.set_env(Some(process_environment(
        &record.process.env,
        &facts.linked,
        hostname(record, facts.host_name),
        spec.tty,
        &facts.user.home,
    )));
    process.set_cwd(working_directory(&record.process.working_dir));
    process.set_capabilities(Some(capability_sets(facts.capabilities, facts.user.uid)));
    let rlimits = gantry_runtime::rlimits(&spec.ulimits)?;
    process.set_rlimits((!rlimits.is_empty()).then_some(rlimits));
    process.set_no_new_privileges(Some(facts.security.no_new_privileges));
    labels::confine(&mut process, facts.labels);
    process.set_oom_score_adj(spec.oom_score_adj);
    Ok(process)
}

/// The folder a process starts in.
pub(crate) fn working_directory(text: &str) -> PathBuf {
    if text.is_empty() {
        PathBuf::from("/")
    } else {
        Path::new("/").join(text)
    }
}

/// A user as the document has it.
pub(crate) fn user(resolved: &ResolvedUser) -> User {
    let mut user = User::default();
    user.set_uid(resolved.uid);
    user.set_gid(resolved.gid);
    // The main group is one of them (CVE-2022-36109): otherwise a process could drop it and
    // with it a denial that is meant for that group.
    let mut groups = vec![resolved.gid];
    groups.extend(
        resolved
            .groups
            .iter()
            .filter(|group| **group != resolved.gid),
    );
    user.set_additional_gids(Some(groups));
    user
}

/// The sets of a process: one that is not root has them as a bound only, as `execve` does it.
pub(crate) fn capability_sets(names: &[String], uid: u32) -> LinuxCapabilities {
    let set: Capabilities = names.iter().filter_map(|name| name.parse().ok()).collect();
    let mut capabilities = LinuxCapabilities::default();
    let held = if uid == 0 {
        set.clone()
    } else {
        Capabilities::new()
    };
    capabilities.set_bounding(Some(set));
    capabilities.set_effective(Some(held.clone()));
    capabilities.set_permitted(Some(held));
    capabilities.set_inheritable(Some(Capabilities::new()));
    capabilities.set_ambient(Some(Capabilities::new()));
    capabilities
}

/// The container whose namespace a mode names.
pub(crate) fn shared_with(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:")
        .filter(|name| !name.is_empty())
}

/// Which namespaces are the container's own.
#[derive(Debug, Clone, Copy)]
struct OwnNamespaces {
    pid: bool,
    ipc: bool,
    uts: bool,
    cgroup: bool,
    /// One of its own or another container's, not the host's.
    network: bool,
}

impl OwnNamespaces {
    fn of(spec: &ContainerSpec) -> Self {
        Self {
            pid: spec.pid_mode != "host",
            ipc: spec.ipc_mode != "host",
            uts: spec.uts_mode != "host",
            cgroup: spec.cgroupns_mode != "host",
            network: spec.network != NetworkMode::Host,
        }
    }
}

fn linux(facts: &Facts<'_>, own: OwnNamespaces) -> Result<Linux, SpecError> {
    let record = facts.record;
    let spec = &record.spec;
    let mut linux = Linux::default();
    linux.set_mount_label(labels::given(&facts.labels.files));
    linux.set_namespaces(Some(namespaces(facts, own)));
    let mut resources = resources::decide(&spec.resources, &devices::number)?;
    resources.set_devices(Some(devices::rules(
        facts.devices,
        &spec.device_cgroup_rules,
        spec.privileged,
    )?));
    linux.set_resources(Some(resources));
    linux.set_cgroups_path(Some(cgroup_path(
        spec.cgroup_parent.as_deref(),
        record.id.as_str(),
    )?));
    let sysctls = sysctls(spec, own)?;
    linux.set_sysctl((!sysctls.is_empty()).then_some(sysctls));
    let all: Vec<LinuxDevice> = facts
        .host_devices
        .iter()
        .cloned()
        .chain(facts.devices.iter().map(|device| device.device.clone()))
        .collect();
    linux.set_devices((!all.is_empty()).then_some(all));
    linux.set_seccomp(facts.seccomp.clone());
    let open = spec.privileged || facts.security.system_paths_unconfined;
    let paths = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
    linux.set_masked_paths(if open {
        None
    } else {
        paths(defaults::MASKED_PATHS)
    });
    linux.set_readonly_paths(if open {
        None
    } else {
        paths(defaults::READONLY_PATHS)
    });
    linux.set_rootfs_propagation(rootfs_propagation(record).map(str::to_owned));
    Ok(linux)
}

fn namespaces(facts: &Facts<'_>, own: OwnNamespaces) -> Vec<LinuxNamespace> {
    let namespace = |typ, path: Option<PathBuf>| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(typ);
        namespace.set_path(path);
        namespace
    };
    let mut all = vec![namespace(LinuxNamespaceType::Mount, None)];
    if own.network {
        all.push(namespace(
            LinuxNamespaceType::Network,
            facts.foreign.network.clone(),
        ));
    }
    for (typ, wanted, foreign) in [
        (LinuxNamespaceType::Uts, own.uts, None),
        (LinuxNamespaceType::Pid, own.pid, facts.foreign.pid.clone()),
        (LinuxNamespaceType::Ipc, own.ipc, facts.foreign.ipc.clone()),
        (LinuxNamespaceType::Cgroup, own.cgroup, None),
    ] {
        if wanted {
            all.push(namespace(typ, foreign));
        }
    }
    all
}

/// Binds that take part in the host's propagation need a root that does.
fn rootfs_propagation(record: &ContainerRecord) -> Option<&'static str> {
    use gantry_model::mount::Propagation as P;
    use gantry_model::record::ResolvedMountKind;
    let kinds = record.mounts.iter().filter_map(|mount| match &mount.kind {
        ResolvedMountKind::Bind { propagation, .. } => Some(*propagation),
        _ => None,
    });
    kinds.fold(None, |so_far, propagation| match propagation {
        P::Shared | P::Rshared => Some("shared"),
        P::Slave | P::Rslave if so_far.is_none() => Some("rslave"),
        _ => so_far,
    })
}

pub(super) fn cgroup_path(parent: Option<&str>, id: &str) -> Result<PathBuf, SpecError> {
    Ok(cgroup_parent(parent)?.join(id))
}

/// The control group, absolute, below which containers get theirs.
pub(super) fn cgroup_parent(parent: Option<&str>) -> Result<PathBuf, SpecError> {
    let parent = parent
        .filter(|parent| !parent.is_empty())
        .unwrap_or("/gantry");
    let bad = || SpecError::Value {
        field: "cgroup parent",
        value: parent.chars().take(200).collect(),
    };
    if parent.ends_with(".slice") {
        return Err(SpecError::Unsupported("a systemd slice as --cgroup-parent"));
    }
    if parent.split('/').any(|part| part == "..") || parent.contains('\0') {
        return Err(bad());
    }
    Ok(Path::new("/").join(parent.trim_start_matches('/')))
}

/// Parameters of the IPC namespace.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

fn sysctls(spec: &ContainerSpec, own: OwnNamespaces) -> Result<HashMap<String, String>, SpecError> {
    let mut all = HashMap::new();
    for (name, value) in &spec.sysctls {
        let refused = |reason| SpecError::Sysctl {
            name: name.chars().take(100).collect(),
            reason,
        };
        let dotted = name.replace('/', ".");
        if dotted.starts_with("net.") {
            if !own.network {
                return Err(refused("the container has the host's network namespace"));
            }
        } else if dotted.starts_with("fs.mqueue.") || IPC_SYSCTLS.contains(&dotted.as_str()) {
            if !own.ipc {
                return Err(refused("the container has the host's IPC namespace"));
            }
        } else if matches!(dotted.as_str(), "kernel.domainname" | "kernel.hostname") {
            if !own.uts {
                return Err(refused("the container has the host's UTS namespace"));
            }
        } else {
            return Err(refused("it does not belong to a namespace"));
        }
        all.insert(name.clone(), value.clone());
    }
    if own.network && !matches!(spec.network, NetworkMode::Container(_)) {
        // As Docker: a container's ports below 1024 and its pings need no capability.
        for (name, value) in [
            ("net.ipv4.ip_unprivileged_port_start", "0"),
            ("net.ipv4.ping_group_range", "0 2147483647"),
        ] {
            all.entry(name.to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
