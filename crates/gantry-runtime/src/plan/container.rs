//! From the document of a container to its plan.

use std::path::{Component, Path, PathBuf};

use gantry_sys::cgroup::Layout;
use gantry_sys::mount::Propagation;
use gantry_sys::process::Namespace;
use gantry_sys::seccomp::{Filter, Profile};
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, LinuxPersonalityDomain, Spec};

use super::{
    CgroupPlan, DeviceNode, DevicePlan, Listener, NamespacePlan, NetDevice, Observed, Plan,
    ProcessPlan, RootPlan, labels, mount, namespace, placement, resources, seccomp,
};
use crate::error::PlanError;
use crate::hooks::Hooks;
use crate::launch::{Launch, RootFs, SeccompChoice, Stdio};
use crate::unit::{Place, Scope};

/// Decides everything about a container.
pub(crate) fn plan(launch: &Launch<'_>, observed: &Observed) -> Result<Plan, PlanError> {
    let spec = launch.spec;
    refuse_unsupported(spec)?;
    let linux = linux(spec)?;
    let namespaces = namespace::namespaces(linux)?;
    let confined = observed.user_namespace || namespaces.separates(Namespace::User);
    let cgroup = cgroup(spec, linux, observed)?;
    let cgroup_path = cgroup.as_ref().map(|cgroup| cgroup.path.as_path());
    let mounts = mount::mounts(spec, observed, cgroup_path)?;
    let mounts = mount::labelled(mounts, linux, observed)?;
    let fill_dev = !mount::binds(&mounts, Path::new("/dev"));
    let terminal = match launch.stdio {
        Stdio::Files { .. } => None,
        Stdio::Terminal { rows, columns } => Some((rows, columns)),
    };
    let (host_name, domain_name) = names(spec, &namespaces)?;
    Ok(Plan {
        cgroup,
        root: root(launch, linux, observed)?,
        fill_dev,
        devices: devices(linux, confined)?,
        links: vec![
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("core", "/proc/kcore"),
            ("ptmx", "pts/ptmx"),
        ],
        host_name,
        domain_name,
        time_offsets: namespace::time_offsets(linux, &namespaces)?,
        sysctls: sysctls(linux, &namespaces)?,
        masked: inside_paths("linux.maskedPaths", linux.masked_paths())?,
        read_only: inside_paths("linux.readonlyPaths", linux.readonly_paths())?,
        process: container_process(launch, linux, observed)?,
        hooks: Hooks::of(spec.hooks().as_ref())?,
        net_devices: net_devices(linux, &namespaces)?,
        listener: match (launch.seccomp, linux.seccomp()) {
            (SeccompChoice::Document, Some(document)) => Listener::of(document),
            _ => None,
        },
        terminal,
        init: launch.init,
        die_with_parent: launch.die_with_parent,
        namespaces,
        mounts,
    })
}

/// The part of a document that is about Linux.
pub(super) fn linux(spec: &Spec) -> Result<&Linux, PlanError> {
    let missing = PlanError::Missing { field: "linux" };
    spec.linux().as_ref().ok_or(missing)
}

fn refuse_unsupported(spec: &Spec) -> Result<(), PlanError> {
    let linux = spec.linux().as_ref();
    let asked = [
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
        (
            "linux.intelRdt",
            linux.is_some_and(|linux| linux.intel_rdt().is_some()),
        ),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((feature, _)) => Err(PlanError::Unsupported {
            feature: feature.to_owned(),
        }),
        None => Ok(()),
    }
}

fn invalid(field: &'static str, value: impl ToString, reason: &'static str) -> PlanError {
    PlanError::Invalid {
        field,
        value: value.to_string(),
        reason,
    }
}

/// The cgroup that a document asks for.
pub(crate) fn cgroup(
    spec: &Spec,
    linux: &Linux,
    observed: &Observed,
) -> Result<Option<CgroupPlan>, PlanError> {
    let settings = match linux.resources() {
        Some(resources) => resources::settings(resources)?,
        None => Default::default(),
    };
    match linux.cgroups_path() {
        Some(path) if !path.as_os_str().is_empty() => {
            let scope = observed.units.as_ref();
            let scope = scope.map(|place| scope_of(spec, path, place, observed));
            let scope = scope.transpose()?;
            let path = match &scope {
                Some(scope) => scope.path.clone(),
                None => Path::new("/").join(path),
            };
            Ok(Some(CgroupPlan {
                path,
                settings,
                scope,
            }))
        }
        _ if settings == Default::default() => Ok(None),
        _ => Err(PlanError::Missing {
            field: "linux.cgroupsPath, which linux.resources needs",
        }),
    }
}

fn scope_of(
    spec: &Spec,
    path: &Path,
    place: &Place,
    observed: &Observed,
) -> Result<Scope, PlanError> {
    if !observed.cgroups.as_ref().is_some_and(Layout::is_unified) {
        return Err(PlanError::Unsupported {
            feature: "the systemd cgroup driver on a system with cgroup version 1 (use cgroupfs)"
                .to_owned(),
        });
    }
    let annotations: Vec<(&str, &str)> = spec
        .annotations()
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    Scope::named(&path.to_string_lossy(), place, &annotations)
}

fn root(launch: &Launch<'_>, linux: &Linux, observed: &Observed) -> Result<RootPlan, PlanError> {
    let wanted = linux.rootfs_propagation().as_deref().unwrap_or_default();
    // Before the root is changed the host must not see any of its mounts, unless sharing is asked
    // for; what the host mounts later still comes in, for bind mounts that want it.
    let (propagation, own_propagation) = match wanted.trim_start_matches('r') {
        "" | "slave" => (Some(Propagation::Slave), None),
        "private" => (Some(Propagation::Private), None),
        "shared" => (None, Some(Propagation::Shared)),
        "unbindable" => (Some(Propagation::Private), Some(Propagation::Unbindable)),
        _ => {
            let reason = "is no kind of propagation";
            return Err(invalid("linux.rootfsPropagation", wanted, reason));
        }
    };
    if let RootFs::Overlay(overlay) = &launch.rootfs
        && overlay.lowers.is_empty()
    {
        return Err(PlanError::Missing {
            field: "layer in its root file system",
        });
    }
    Ok(RootPlan {
        source: launch.rootfs.clone(),
        read_only: spec_root_is_read_only(launch.spec),
        propagation,
        own_propagation,
        label: labels::of_files(linux, observed.labels)?,
        no_pivot: launch.oci.no_pivot,
    })
}

fn spec_root_is_read_only(spec: &Spec) -> bool {
    spec.root()
        .as_ref()
        .and_then(|root| root.readonly())
        .unwrap_or(false)
}

fn names(
    spec: &Spec,
    namespaces: &NamespacePlan,
) -> Result<(Option<String>, Option<String>), PlanError> {
    let name = |field, name: &Option<String>| {
        let Some(name) = name.clone().filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        if !namespaces.separates(Namespace::Uts) {
            return Err(invalid(field, name, "needs a UTS namespace"));
        }
        if name.len() > 64 {
            return Err(invalid(field, name, "is longer than 64 bytes"));
        }
        Ok(Some(name))
    };
    Ok((
        name("hostname", spec.hostname())?,
        name("domainname", spec.domainname())?,
    ))
}

/// The devices every container has (OCI runtime-spec, "Default Devices").
const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

pub(super) fn devices(linux: &Linux, bind: bool) -> Result<Vec<DevicePlan>, PlanError> {
    let mut devices: Vec<DevicePlan> = DEFAULT_DEVICES
        .iter()
        .map(|(path, major, minor)| DevicePlan {
            path: PathBuf::from(path),
            kind: DeviceNode::Character,
            major: *major,
            minor: *minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
            bind,
        })
        .collect();
    for document in linux.devices().iter().flatten() {
        let device = device(document, bind)?;
        devices.retain(|known| known.path != device.path);
        devices.push(device);
    }
    Ok(devices)
}

fn device(document: &LinuxDevice, bind: bool) -> Result<DevicePlan, PlanError> {
    let path = document.path();
    let field = "linux.devices";
    let kind = match document.typ() {
        LinuxDeviceType::B => DeviceNode::Block,
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceNode::Character,
        LinuxDeviceType::P => DeviceNode::Fifo,
        LinuxDeviceType::A => return Err(invalid(field, path.display(), "has no device type")),
    };
    let number = |number: i64| {
        u32::try_from(number).map_err(|_| invalid(field, number, "is no device number"))
    };
    Ok(DevicePlan {
        path: inside_path(field, path)?,
        kind,
        major: number(document.major())?,
        minor: number(document.minor())?,
        mode: document.file_mode().unwrap_or(0o666) & 0o7777,
        uid: document.uid().unwrap_or(0),
        gid: document.gid().unwrap_or(0),
        bind,
    })
}

/// The host's interfaces that become the container's, sorted.
fn net_devices(linux: &Linux, namespaces: &NamespacePlan) -> Result<Vec<NetDevice>, PlanError> {
    let mut devices: Vec<NetDevice> = Vec::new();
    for (host_name, document) in linux.net_devices().iter().flatten() {
        let field = "linux.netDevices";
        if !namespaces.separates(Namespace::Network) {
            return Err(invalid(field, host_name, "needs a network namespace"));
        }
        let given = document.name().as_deref().filter(|name| !name.is_empty());
        let name = given.unwrap_or(host_name);
        for name in [host_name, name] {
            let refused = |byte: u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace();
            let plain = !name.is_empty() && name.len() < 16 && !matches!(name, "." | "..");
            if !plain || name.bytes().any(refused) {
                return Err(invalid(field, name, "is no name of a network device"));
            }
        }
        if devices.iter().any(|device| device.name == name) {
            return Err(invalid(field, name, "is given twice"));
        }
        devices.push(NetDevice {
            host_name: host_name.clone(),
            name: name.to_owned(),
        });
    }
    devices.sort();
    Ok(devices)
}

/// The kernel parameters, sorted. Only those that belong to a namespace of the container are taken.
fn sysctls(linux: &Linux, namespaces: &NamespacePlan) -> Result<Vec<(String, String)>, PlanError> {
    let mut sysctls = Vec::new();
    for (key, value) in linux.sysctl().iter().flatten() {
        // As sysctl(8): the separator that comes first is the separator.
        let slashes = key.find('/').unwrap_or(usize::MAX) < key.find('.').unwrap_or(usize::MAX);
        let path = if slashes {
            key.clone()
        } else {
            key.chars()
                .map(|character| match character {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect()
        };
        let field = "linux.sysctl";
        let namespace = sysctl_namespace(&path)
            .ok_or_else(|| invalid(field, key, "belongs to no namespace"))?;
        if !namespaces.separates(namespace) {
            let reason = "belongs to a namespace that the container shares with the host";
            return Err(invalid(field, key, reason));
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid(field, key, "is no kernel parameter"));
        }
        sysctls.push((path, value.clone()));
    }
    sysctls.sort();
    Ok(sysctls)
}

fn sysctl_namespace(path: &str) -> Option<Namespace> {
    const IPC: [&str; 8] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    if IPC.contains(&path) || path.starts_with("fs/mqueue/") {
        Some(Namespace::Ipc)
    } else if path.starts_with("net/") {
        Some(Namespace::Network)
    } else if path == "kernel/domainname" {
        Some(Namespace::Uts)
    } else {
        None
    }
}

fn inside_paths(
    field: &'static str,
    paths: &Option<Vec<String>>,
) -> Result<Vec<PathBuf>, PlanError> {
    paths
        .iter()
        .flatten()
        .map(|path| inside_path(field, Path::new(path)))
        .collect()
}

/// A path inside the container: absolute and without `..`.
pub(super) fn inside_path(field: &'static str, path: &Path) -> Result<PathBuf, PlanError> {
    let plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) {
        let reason = "is not an absolute path without ..";
        return Err(invalid(field, path.display(), reason));
    }
    Ok(path.to_owned())
}

fn container_process(
    launch: &Launch<'_>,
    linux: &Linux,
    observed: &Observed,
) -> Result<ProcessPlan, PlanError> {
    let document = launch
        .spec
        .process()
        .as_ref()
        .ok_or(PlanError::Missing { field: "process" })?;
    let mut process = super::process(document, observed.last_capability, observed.labels)?;
    process.strict_rlimits = launch.strict_rlimits;
    process.keep_keyring = launch.oci.keep_keyring;
    process.personality = personality(linux)?;
    process.placement.memory = placement::memory(linux)?;
    // That is for exec alone.
    process.placement.initial_processors = None;
    process.placement.final_processors = None;
    process.seccomp = match launch.seccomp {
        SeccompChoice::Compiled(filter) => Some(filter.clone()),
        SeccompChoice::DockerDefault => {
            let names: Vec<String> = process
                .capabilities
                .bounding
                .iter()
                .map(|capability| format!("CAP_{}", capability.name()))
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Some(compile(&Profile::docker_default(&names, observed.kernel))?)
        }
        SeccompChoice::Document => match linux.seccomp() {
            Some(document) => Some(seccomp::compile(document)?),
            None => None,
        },
    };
    Ok(process)
}

fn compile(profile: &Profile) -> Result<Filter, PlanError> {
    Filter::compile(profile).map_err(|source| PlanError::Seccomp { source })
}

fn personality(linux: &Linux) -> Result<Option<u64>, PlanError> {
    const PER_LINUX32: u64 = 8;
    let Some(document) = linux.personality() else {
        return Ok(None);
    };
    if document
        .flags()
        .as_ref()
        .is_some_and(|flags| !flags.is_empty())
    {
        return Err(PlanError::Unsupported {
            feature: "linux.personality.flags".to_owned(),
        });
    }
    Ok(Some(match document.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => PER_LINUX32,
    }))
}
