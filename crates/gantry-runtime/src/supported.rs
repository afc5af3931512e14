//! What this runtime knows of the specification, for those who ask before they try.

use gantry_sys::capability::{self, Capability};

use crate::plan;

/// The kinds of namespaces.
pub const NAMESPACES: [&str; 8] = [
    "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
];

/// The actions of a seccomp profile.
pub const SECCOMP_ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// The operators of a seccomp profile.
pub const SECCOMP_OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// The architectures of a seccomp profile.
pub const SECCOMP_ARCHITECTURES: [&str; 5] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

/// The flags of a seccomp profile.
pub const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// The modes of `linux.memoryPolicy`.
pub const MEMORY_MODES: [&str; 7] = [
    "MPOL_BIND",
    "MPOL_DEFAULT",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

/// The flags of `linux.memoryPolicy`.
pub const MEMORY_FLAGS: [&str; 3] = [
    "MPOL_F_NUMA_BALANCING",
    "MPOL_F_RELATIVE_NODES",
    "MPOL_F_STATIC_NODES",
];

/// The mount options that are taken by this runtime rather than handed to the file system.
pub fn mount_options() -> Vec<&'static str> {
    plan::mount_option_names()
}

/// The capabilities that this runtime and this kernel know.
pub fn capabilities() -> Vec<String> {
    let last = capability::last_supported();
    Capability::all()
        .filter(|capability| *capability <= last)
        .map(|capability| format!("CAP_{}", capability.name()))
        .collect()
}

#[cfg(test)]
mod tests {
    use gantry_sys::seccomp::{Action, Arch, LoadFlags, Op};

    use super::*;

    #[test]
    fn what_is_said_to_be_known_is() {
        for name in SECCOMP_ACTIONS {
            assert!(Action::from_oci_name(name, None).is_some(), "{name}");
        }
        for name in SECCOMP_OPERATORS {
            assert!(Op::from_oci_name(name).is_some(), "{name}");
        }
        for name in SECCOMP_ARCHITECTURES {
            assert!(Arch::from_oci_name(name).is_some(), "{name}");
        }
        for name in SECCOMP_FLAGS {
            assert!(LoadFlags::from_oci_name(name).is_some(), "{name}");
        }
    }
}
