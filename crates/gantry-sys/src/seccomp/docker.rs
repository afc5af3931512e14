//! The default profile: what Docker and containerd allow a container that asks for nothing.
//!
//! The facts are those of the Moby project's profile as of 2026 (socket families by an
//! allow-list, no `io_uring`); the arrangement by subject is ours. Whatever is not listed
//! fails with `EPERM`.

use std::borrow::Cow;

use super::profile::{
    Action, Arch, ArgCheck, Condition, ConditionalProfile, ConditionalRule, DEFAULT_ERRNO,
    LoadFlags, Op, Rule,
};

/// Paths, files, descriptors and file systems as seen from inside one.
#[rustfmt::skip]
const FILES: &[&str] = &[
    "_llseek", "access", "cachestat", "chdir", "chmod", "chown", "chown32", "close",
    "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2",
    "fadvise64", "fadvise64_64", "fallocate", "fanotify_mark", "fchdir", "fchmod", "fchmodat",
    "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr",
    "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64",
    "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "futimesat", "getcwd",
    "getdents", "getdents64", "getxattr", "getxattrat", "inotify_add_watch", "inotify_init",
    "inotify_init1", "inotify_rm_watch", "ioctl", "lchown", "lchown32", "lgetxattr", "link",
    "linkat", "listmount", "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lseek",
    "lsetxattr", "lstat", "lstat64", "mkdir", "mkdirat", "mknod", "mknodat", "name_to_handle_at",
    "newfstatat", "open", "openat", "openat2", "pipe", "pipe2", "pread64", "preadv", "preadv2",
    "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
    "removexattr", "removexattrat", "rename", "renameat", "renameat2", "rmdir", "sendfile",
    "sendfile64", "setxattr", "setxattrat", "splice", "stat", "stat64", "statfs", "statfs64",
    "statmount", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee",
    "truncate", "truncate64", "umask", "unlink", "unlinkat", "utime", "utimensat",
    "utimensat_time64", "utimes", "vmsplice", "write", "writev",
];

/// Waiting on descriptors, and the older asynchronous input and output.
#[rustfmt::skip]
const EVENTS: &[&str] = &[
    "_newselect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "io_cancel",
    "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
    "io_submit", "poll", "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select",
];

/// Memory.
#[rustfmt::skip]
const MEMORY: &[&str] = &[
    "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore",
    "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mremap", "mseal", "msync",
    "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
    "process_mrelease", "remap_file_pages",
];

/// Processes, threads, their identity, limits and scheduling.
#[rustfmt::skip]
const PROCESSES: &[&str] = &[
    "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex",
    "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
    "get_thread_area", "getcpu", "getegid", "getegid32", "geteuid", "geteuid32", "getgid",
    "getgid32", "getgroups", "getgroups32", "getpgid", "getpgrp", "getpid", "getppid",
    "getpriority", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit",
    "getrusage", "getsid", "gettid", "getuid", "getuid32", "ioprio_get", "ioprio_set",
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "pidfd_open",
    "prctl", "prlimit64", "riscv_hwprobe", "rseq", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
    "seccomp", "set_robust_list", "set_thread_area", "set_tid_address", "setfsgid", "setfsgid32",
    "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32", "setpgid",
    "setpriority", "setregid", "setregid32", "setresgid", "setresgid32", "setresuid",
    "setresuid32", "setreuid", "setreuid32", "setrlimit", "setsid", "setuid", "setuid32",
    "sysinfo", "times", "ugetrlimit", "uname", "uretprobe", "vfork", "wait4", "waitid", "waitpid",
    "getrandom",
];

/// Signals.
#[rustfmt::skip]
const SIGNALS: &[&str] = &[
    "kill", "pause", "pidfd_send_signal", "restart_syscall", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sigaltstack", "signalfd", "signalfd4",
    "sigprocmask", "sigreturn", "tgkill", "tkill",
];

/// Clocks and timers. Setting the clock is refused by the kernel without its capability.
#[rustfmt::skip]
const TIME: &[&str] = &[
    "adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres",
    "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep", "setitimer", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
    "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64",
    "timerfd_settime", "timerfd_settime64",
];

/// Sockets, once made: see [`SOCKET_FAMILIES`] for which may be.
#[rustfmt::skip]
const SOCKETS: &[&str] = &[
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg",
    "sendto", "setsockopt", "shutdown", "socketcall", "socketpair",
];

/// System V and POSIX inter-process communication.
#[rustfmt::skip]
const IPC: &[&str] = &[
    "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
    "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd",
    "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt",
    "shmget",
];

/// Tracing one's own children: safe for the filter itself since Linux 4.8.
#[rustfmt::skip]
const TRACING: &[&str] = &[
    "process_vm_readv", "process_vm_writev", "ptrace",
];

/// Calls that a capability of the bounding set opens.
#[rustfmt::skip]
const BY_CAPABILITY: &[(&str, &[&str])] = &[
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    ("CAP_SYS_ADMIN", &[
        "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
        "lookup_dcookie", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mount",
        "mount_setattr", "move_mount", "open_tree", "perf_event_open", "quotactl", "quotactl_fd",
        "setdomainname", "sethostname", "setns", "syslog", "umount", "umount2", "unshare",
    ]),
    ("CAP_SYS_BOOT", &["reboot"]),
    ("CAP_SYS_CHROOT", &["chroot"]),
    ("CAP_SYS_MODULE", &["delete_module", "finit_module", "init_module"]),
    ("CAP_SYS_PACCT", &["acct"]),
    ("CAP_SYS_PTRACE", &[
        "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev",
        "ptrace",
    ]),
    ("CAP_SYS_RAWIO", &["ioperm", "iopl"]),
    ("CAP_SYS_TIME", &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    ("CAP_SYS_NICE", &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    ("CAP_SYSLOG", &["syslog"]),
    ("CAP_BPF", &["bpf"]),
    ("CAP_PERFMON", &["perf_event_open"]),
];

/// Calls of certain machines, by the native architecture.
const BY_ARCHITECTURE: &[(&[&str], &[&str])] = &[
    (
        &["arm", "arm64"],
        &[
            "arm_fadvise64_64",
            "arm_sync_file_range",
            "breakpoint",
            "cacheflush",
            "set_tls",
            "sync_file_range2",
        ],
    ),
    (&["amd64", "x32"], &["arch_prctl"]),
    (&["amd64", "x32", "x86"], &["modify_ldt"]),
];

/// Address families below this one may all be used (`AF_UNIX` to `AF_ROSE`).
const FIRST_REFUSED_FAMILY: u64 = 12;

/// The other families a socket may have. Left out: what the kernel dropped, `AF_ALG` (38,
/// the kernel's cryptography) and `AF_VSOCK` (40, which reaches across network namespaces).
const SOCKET_FAMILIES: &[u64] = &[
    13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44,
    45,
];

/// Personalities a process may take: Linux, `PER_LINUX32`, each with `UNAME26`; and the query.
const PERSONALITIES: &[u64] = &[0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// `CLONE_NEW*` for mount, UTS, IPC, user, PID, network and cgroup namespaces.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// What `clone3` answers, so that a C library falls back to `clone`, whose flags a filter
/// can see.
const ENOSYS: u16 = 38;

fn names(list: &[&'static str]) -> Vec<Cow<'static, str>> {
    list.iter().map(|&name| Cow::Borrowed(name)).collect()
}

fn always(list: &[&'static str], action: Action) -> ConditionalRule {
    ConditionalRule {
        rule: Rule {
            names: names(list),
            action,
            args: Vec::new(),
        },
        includes: Condition::default(),
        excludes: Condition::default(),
    }
}

fn when_argument(name: &'static str, op: Op, value: u64) -> ConditionalRule {
    let mut conditional = always(&[name], Action::Allow);
    conditional.rule.args.push(ArgCheck {
        index: 0,
        value,
        value_two: 0,
        op,
    });
    conditional
}

fn without(cap: &'static str, mut conditional: ConditionalRule) -> ConditionalRule {
    conditional.excludes.caps = names(&[cap]);
    conditional
}

/// The whole default profile, still conditional.
pub fn profile() -> ConditionalProfile {
    let mut rules: Vec<ConditionalRule> = [
        FILES, EVENTS, MEMORY, PROCESSES, SIGNALS, TIME, SOCKETS, IPC,
    ]
    .map(|group| always(group, Action::Allow))
    .into();

    let mut tracing = always(TRACING, Action::Allow);
    tracing.includes.min_kernel = Some((4, 8));
    rules.push(tracing);

    rules.push(when_argument("socket", Op::LessThan, FIRST_REFUSED_FAMILY));
    let families = SOCKET_FAMILIES
        .iter()
        .map(|&family| when_argument("socket", Op::Equal, family));
    rules.extend(families);
    let personalities = PERSONALITIES
        .iter()
        .map(|&persona| when_argument("personality", Op::Equal, persona));
    rules.extend(personalities);

    for (arches, calls) in BY_ARCHITECTURE {
        let mut conditional = always(calls, Action::Allow);
        conditional.includes.arches = names(arches);
        rules.push(conditional);
    }
    for (cap, calls) in BY_CAPABILITY {
        let mut conditional = always(calls, Action::Allow);
        conditional.includes.caps = names(&[cap]);
        rules.push(conditional);
    }
    let plain_clone = when_argument("clone", Op::MaskedEqual, NAMESPACE_FLAGS);
    rules.push(without("CAP_SYS_ADMIN", plain_clone));
    let no_clone3 = always(&["clone3"], Action::Errno(ENOSYS));
    rules.push(without("CAP_SYS_ADMIN", no_clone3));

    ConditionalProfile {
        default_action: Action::Errno(DEFAULT_ERRNO),
        arch_map: vec![
            (Arch::X86_64, vec![Arch::X86, Arch::X32]),
            (Arch::Aarch64, vec![Arch::Arm]),
        ],
        architectures: Vec::new(),
        flags: LoadFlags::SPEC_ALLOW,
        rules,
    }
}
