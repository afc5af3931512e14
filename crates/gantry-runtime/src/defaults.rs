//! Building pieces for documents: what a container gets when nobody asks for anything else. The
//! values are those of Docker, so that programs find what they are used to.

use std::path::PathBuf;

use oci_spec::runtime::{
    LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespace,
    LinuxNamespaceType, Mount,
};

/// The capabilities of an ordinary container.
pub const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The paths that an ordinary container finds empty. Those that a kernel does not have are skipped.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// The paths that an ordinary container cannot write to.
pub const READONLY_PATHS: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The namespaces of an ordinary container. Docker adds the cgroup namespace on hosts with
/// cgroup v2 only.
pub const NAMESPACES: &[LinuxNamespaceType] = &[
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Cgroup,
];

/// [`NAMESPACES`] as a document has them.
pub fn namespaces() -> Vec<LinuxNamespace> {
    NAMESPACES
        .iter()
        .map(|kind| {
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(*kind);
            namespace
        })
        .collect()
}

/// One mount of a document.
fn mount(destination: &str, fs_type: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some(fs_type.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(
            options.iter().map(|&option| option.to_owned()).collect(),
        ));
    mount
}

/// The mounts of an ordinary container, in the order they must be made in. A privileged container
/// wants `/sys` and `/sys/fs/cgroup` without `ro`.
pub fn mounts() -> Vec<Mount> {
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["ro", "nosuid", "noexec", "nodev"],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        shared_memory(SHARED_MEMORY),
    ]
}

/// Bytes of an ordinary container's `/dev/shm`.
pub const SHARED_MEMORY: u64 = 64 << 20;

/// The mount of `/dev/shm` with room for some bytes.
pub fn shared_memory(bytes: u64) -> Mount {
    let size = format!("size={bytes}");
    mount(
        "/dev/shm",
        "tmpfs",
        "shm",
        &["nosuid", "noexec", "nodev", "mode=1777", &size],
    )
}

/// The device rules of an ordinary container: nothing but what every container has (which the
/// runtime adds by itself). A privileged container wants [`every_device`] instead.
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    vec![all_devices(false)]
}

/// The device rule that allows everything.
pub fn every_device() -> LinuxDeviceCgroup {
    all_devices(true)
}

fn all_devices(allow: bool) -> LinuxDeviceCgroup {
    LinuxDeviceCgroupBuilder::default()
        .allow(allow)
        .typ(LinuxDeviceType::A)
        .access("rwm")
        .build()
        .expect("every required field is set")
}
