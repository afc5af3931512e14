//! The OCI document of a step's container.

use std::path::{Path, PathBuf};

use gantry_runtime::defaults;
use gantry_sys::capability::{self, Capability};
use gantry_sys::cgroup::Layout;
use oci_spec::runtime::{
    Capabilities, Linux, LinuxCapabilities, LinuxDevice, LinuxDeviceType, LinuxNamespaceType,
    LinuxPids, LinuxResources, Mount, Process, Root, Spec,
};

use super::authorities::Authorities;
use super::caches::Caches;
use super::lent::Lent;
use super::{Files, HOSTNAME, user_of};
use crate::graph::{self, Network, RunOperation};
use crate::ops::identity::ProcessUser;

/// Version of the runtime specification that the document follows.
const VERSION: &str = "1.2.0";

/// The document, but for how the step is confined and limited.
pub(super) fn spec(
    operation: &RunOperation,
    user: &ProcessUser,
    files: &Files,
    caches: &Caches,
    lent: &Lent,
) -> Spec {
    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs"));
    root.set_readonly(Some(false));
    // The type's own default is read-only.
    root.set_readonly(Some(false));
    let mut document = Spec::default();
    document.set_version(VERSION.to_owned());
    document.set_root(Some(root));
    document.set_hostname(Some(HOSTNAME.to_owned()));
    document.set_process(Some(process(operation, user, files, lent)));
    document.set_mounts(Some(mounts(operation, files, caches, lent)));
    document.set_linux(Some(linux(operation)));
    document
}

fn process(operation: &RunOperation, user: &ProcessUser, files: &Files, lent: &Lent) -> Process {
    let mut process = Process::default();
    process.set_terminal(Some(false));
    process.set_user(user_of(user));
    process.set_args(Some(operation.arguments.clone()));
    process.set_env(Some(environment(operation, user, files, lent)));
    process.set_cwd(PathBuf::from(&operation.directory));
    process.set_capabilities(Some(capabilities(user.uid, operation.insecure)));
    process.set_rlimits(None);
    process
}

fn environment(
    operation: &RunOperation,
    user: &ProcessUser,
    files: &Files,
    lent: &Lent,
) -> Vec<String> {
    let set = |name: &str| operation.environment.iter().any(|(known, _)| known == name);
    let mut environment: Vec<String> = operation
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for (name, value) in operation.proxies.iter().filter(|(name, _)| !set(name)) {
        environment.push(format!("{name}={value}"));
    }
    if !set("HOME") {
        environment.push(format!("HOME={}", user.home));
    }
    environment.extend(lent.environment.iter().cloned());
    if let Some(authorities) = &files.authorities {
        environment.extend(authorities.variables(set));
    }
    environment
}

/// Who is not root has the capabilities as a bound only, as `execve` does it.
fn capabilities(uid: u32, insecure: bool) -> LinuxCapabilities {
    let names: Vec<&str> = if insecure {
        // All that there are to be had; where that cannot be read, none but the usual ones.
        capability::permitted().map_or_else(
            |_| defaults::CAPABILITIES.to_vec(),
            |held| held.iter().map(Capability::name).collect(),
        )
    } else {
        defaults::CAPABILITIES.to_vec()
    };
    let set: Capabilities = names
        .iter()
        .filter_map(|name| name.strip_prefix("CAP_").unwrap_or(name).parse().ok())
        .collect();
    let held = if uid == 0 {
        set.clone()
    } else {
        Capabilities::new()
    };
    let mut capabilities = LinuxCapabilities::default();
    capabilities.set_bounding(Some(set));
    capabilities.set_effective(Some(held.clone()));
    capabilities.set_permitted(Some(held));
    capabilities.set_inheritable(Some(Capabilities::new()));
    capabilities.set_ambient(Some(Capabilities::new()));
    capabilities
}

fn mounts(operation: &RunOperation, files: &Files, caches: &Caches, lent: &Lent) -> Vec<Mount> {
    let mut mounts = defaults::mounts();
    if let Some(size) = operation.shm_size {
        let sized = defaults::shared_memory(size);
        mounts.retain(|mount| mount.destination() != sized.destination());
        mounts.push(sized);
    }
    if operation.insecure {
        mounts.iter_mut().for_each(make_writable);
    }
    mounts.push(bind(&files.hosts, "/etc/hosts", true));
    mounts.push(bind(&files.resolv_conf, "/etc/resolv.conf", true));
    if let Some((file, target)) = &files.script {
        mounts.push(bind(file, target, true));
    }
    let authorities = files.authorities.iter();
    for (file, target) in authorities.flat_map(Authorities::files) {
        mounts.push(bind(file, target, true));
    }
    let mut folders = caches.folders();
    for (mount, source) in operation.mounts.iter().zip(&lent.sources) {
        match mount {
            graph::Mount::Tmpfs {
                target,
                size,
                read_only,
            } => mounts.push(tmpfs(target, *size, *read_only)),
            graph::Mount::Cache(cache) => {
                if let Some(folder) = folders.next() {
                    mounts.push(bind(folder, &cache.target, cache.read_only));
                }
            }
            graph::Mount::Bind(shown) => {
                mounts.extend(
                    source
                        .iter()
                        .map(|source| bind(source, &shown.target, !shown.read_write)),
                );
            }
            graph::Mount::Secret(secret) => {
                let target = secret.target.iter();
                mounts.extend(
                    source
                        .iter()
                        .zip(target)
                        .map(|(source, target)| bind(source, target, true)),
                );
            }
            graph::Mount::Ssh(ssh) => {
                mounts.extend(source.iter().map(|source| bind(source, &ssh.target, false)));
            }
        }
    }
    mounts
}

/// `/sys` and the control groups are writable where nothing is confined.
fn make_writable(mount: &mut Mount) {
    let options = mount.options().clone().unwrap_or_default();
    let kept = options.into_iter().filter(|option| option != "ro");
    mount.set_options(Some(kept.collect()));
}

fn bind(source: &Path, target: &str, read_only: bool) -> Mount {
    let mut options = vec!["bind".to_owned(), "nosuid".to_owned(), "nodev".to_owned()];
    options.push(if read_only { "ro" } else { "rw" }.to_owned());
    mount(source, target, "bind", options)
}

fn tmpfs(target: &str, size: Option<u64>, read_only: bool) -> Mount {
    let mut options = vec!["nosuid".to_owned()];
    options.extend(size.map(|size| format!("size={size}")));
    if read_only {
        options.push("ro".to_owned());
    }
    mount(Path::new("tmpfs"), target, "tmpfs", options)
}

fn mount(source: &Path, target: &str, kind: &str, options: Vec<String>) -> Mount {
    let mut mount = Mount::default();
    mount.set_source(Some(source.to_owned()));
    mount.set_destination(PathBuf::from(target));
    mount.set_typ(Some(kind.to_owned()));
    mount.set_options(Some(options));
    mount
}

fn linux(operation: &RunOperation) -> Linux {
    let mut namespaces = defaults::namespaces();
    if operation.network == Network::Host {
        namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Network);
    }
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(if operation.insecure {
        vec![defaults::every_device()]
    } else {
        defaults::device_rules()
    }));
    let mut linux = Linux::default();
    linux.set_namespaces(Some(namespaces));
    linux.set_resources(Some(resources));
    linux.set_devices(operation.insecure.then(machine_devices));
    let paths = |paths: &[&str]| {
        let all = paths.iter().map(|path| (*path).to_owned()).collect();
        Some(all).filter(|_| !operation.insecure)
    };
    linux.set_masked_paths(paths(defaults::MASKED_PATHS));
    linux.set_readonly_paths(paths(defaults::READONLY_PATHS));
    linux
}

/// Sets the most processes and threads that a step may have, where the machine can.
pub(super) fn limit_processes(spec: &mut Spec, most: Option<u32>) {
    let can = Layout::detect().is_ok_and(|layout| layout.has("pids"));
    let linux = spec.linux_mut().as_mut();
    let resources = linux.and_then(|linux| linux.resources_mut().as_mut());
    if let (Some(most), true, Some(resources)) = (most, can, resources) {
        let mut pids = LinuxPids::default();
        pids.set_limit(most.into());
        resources.set_pids(Some(pids));
    }
}

/// The devices that BuildKit gives such a step, as far as this machine has them: messages of the
/// kernel, FUSE, virtual machines, tunnels and loop devices. Others it may make itself.
fn machine_devices() -> Vec<LinuxDevice> {
    const CHARACTER: [(&str, i64, i64); 6] = [
        ("/dev/kmsg", 1, 11),
        ("/dev/cuse", 10, 203),
        ("/dev/fuse", 10, 229),
        ("/dev/kvm", 10, 232),
        ("/dev/net/tun", 10, 200),
        ("/dev/loop-control", 10, 237),
    ];
    const LOOPS: i64 = 8;
    let device = |path: &str, typ, major, minor| {
        let mut device = LinuxDevice::default();
        device.set_path(PathBuf::from(path));
        device.set_typ(typ);
        device.set_major(major);
        device.set_minor(minor);
        device
    };
    let character = CHARACTER
        .iter()
        .map(|(path, major, minor)| device(path, LinuxDeviceType::C, *major, *minor));
    let loops = (0..LOOPS)
        .map(|number| device(&format!("/dev/loop{number}"), LinuxDeviceType::B, 7, number));
    character
        .chain(loops)
        .filter(|device| device.path().exists())
        .collect()
}
