//! The commands of the runtime and their options: those of runc, and of crun where they differ.

use super::words::{Flag, switch, value};
use super::{Call, checkpoint, life, look, process, resources};
use crate::failure::Outcome;

/// One command of the runtime.
#[derive(Debug)]
pub(super) struct Verb {
    /// Its names.
    pub(super) names: &'static [&'static str],
    /// What stands behind it.
    pub(super) usage: &'static str,
    /// What it does.
    pub(super) about: &'static str,
    /// The fewest and the most operands.
    pub(super) operands: (usize, usize),
    /// Whether the operands end with somebody else's command line.
    pub(super) command_follows: bool,
    /// Its options.
    pub(super) flags: &'static [Flag],
    /// Does it.
    pub(super) obey: fn(&Call<'_>) -> Outcome,
}

const HELP: Flag = switch("help", Some('h'), "Show this help");
const BUNDLE: Flag = value(
    "bundle",
    Some('b'),
    "PATH",
    "Folder of the bundle; the working directory by default",
);
const CONSOLE: Flag = value(
    "console-socket",
    None,
    "PATH",
    "Socket that receives the master side of the terminal",
);
const PID_FILE: Flag = value("pid-file", None, "PATH", "File to write the process ID to");
const PRESERVE: Flag = value(
    "preserve-fds",
    None,
    "N",
    "Descriptors from 3 on to hand over",
);
const NO_PIVOT: Flag = switch("no-pivot", None, "Do not exchange the root");
const NO_KEYRING: Flag = switch("no-new-keyring", None, "Keep the caller's session keyring");

/// The options before the command.
#[rustfmt::skip]
pub(super) const GLOBAL: &[Flag] = &[
    switch("debug", None, "Log more"),
    value("log", None, "FILE", "File to log to"),
    value("log-format", None, "FORMAT", "text or json"),
    value("log-level", None, "LEVEL", ""),
    value("root", None, "PATH", "Folder of the containers' state"),
    value("criu", None, "PATH", "The criu of checkpoint and restore; that of the search path by default"),
    switch("systemd-cgroup", None, "Have systemd make the cgroup"),
    value("cgroup-manager", None, "NAME", "cgroupfs or systemd"),
    value("rootless", None, "WHEN", "Go on without what only root can do: true, false or auto"),
    HELP,
    switch("version", Some('v'), "Show the version"),
];

#[rustfmt::skip]
const CREATE: &[Flag] = &[BUNDLE, CONSOLE, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE, HELP];

#[rustfmt::skip]
const RUN: &[Flag] = &[
    BUNDLE, CONSOLE, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE,
    switch("detach", Some('d'), "Leave when the command has begun"),
    switch("keep", None, "Do not delete the container when it ends"),
    switch("no-subreaper", None, "Do not take in the container's orphans"),
    HELP,
];

#[rustfmt::skip]
const EXEC: &[Flag] = &[
    CONSOLE, PID_FILE, PRESERVE,
    value("cwd", None, "PATH", "Working directory in the container"),
    value("env", Some('e'), "NAME=VALUE", "Set an environment variable"),
    switch("tty", Some('t'), "Allocate a terminal"),
    value("user", Some('u'), "UID[:GID]", "User"),
    value("additional-gids", Some('g'), "GID", "Supplementary group"),
    value("process", Some('p'), "FILE", "Document of the process"),
    switch("detach", Some('d'), "Leave when the process has begun"),
    value("process-label", None, "LABEL", "SELinux label"),
    value("apparmor", None, "PROFILE", "AppArmor profile"),
    switch("no-new-privs", None, "Forbid new privileges"),
    value("cap", Some('c'), "CAPABILITY", "Add a capability"),
    value("cgroup", None, "PATH", "Start in this cgroup below the container's"),
    switch("ignore-paused", None, "Start in a paused container too"),
    switch("no-subreaper", None, ""),
    HELP,
];

#[rustfmt::skip]
const UPDATE: &[Flag] = &[
    value("resources", Some('r'), "FILE", "Document of the resources, - for the standard input"),
    value("blkio-weight", None, "N", "Share of block IO, 10 to 1000"),
    value("cpu-period", None, "N", "Microseconds of a period"),
    value("cpu-quota", None, "N", "Microseconds of processor time in a period"),
    value("cpu-burst", None, "N", "Microseconds that may be saved up"),
    value("cpu-rt-period", None, "N", "Microseconds of a real-time period"),
    value("cpu-rt-runtime", None, "N", "Microseconds of real-time scheduling in a period"),
    value("cpu-share", None, "N", "Share of processor time"),
    value("cpu-idle", None, "N", "1: run only when nobody else wants to"),
    value("cpuset-cpus", None, "LIST", "Processors"),
    value("cpuset-mems", None, "LIST", "Memory nodes"),
    value("kernel-memory", None, "BYTES", ""),
    value("kernel-memory-tcp", None, "BYTES", ""),
    value("memory", None, "BYTES", "Memory"),
    value("memory-reservation", None, "BYTES", "Memory to be left with"),
    value("memory-swap", None, "BYTES", "Memory and swap together"),
    value("pids-limit", None, "N", "Number of processes"),
    value("l3-cache-schema", None, "SCHEMA", "Cache allocation of Intel RDT"),
    value("mem-bw-schema", None, "SCHEMA", "Memory bandwidth of Intel RDT"),
    HELP,
];

const IMAGES: Flag = value(
    "image-path",
    None,
    "PATH",
    "Folder of the checkpoint; checkpoint in the working directory by default",
);
const WORK: Flag = value("work-path", None, "PATH", "Folder of criu's own files");
const CONNECTIONS: Flag = switch("tcp-established", None, "Keep open TCP connections");
const SOCKETS: Flag = switch("ext-unix-sk", None, "Allow external unix sockets");
const SHELL_JOB: Flag = switch("shell-job", None, "Allow the caller's terminal");
const LOCKS: Flag = switch("file-locks", None, "Keep file locks");
const LINKS: Flag = switch(
    "link-remap",
    None,
    "Keep open files that were deleted by links",
);
const DEDUPLICATE: Flag = switch(
    "auto-dedup",
    None,
    "Free the pages that a later checkpoint has",
);
const CGROUP_MODE: Flag = value(
    "manage-cgroups-mode",
    None,
    "MODE",
    "What is kept of cgroups: soft, full, strict or ignore",
);
const EMPTY: Flag = value("empty-ns", None, "KIND", "Leave a namespace out: network");

#[rustfmt::skip]
const CHECKPOINT: &[Flag] = &[
    IMAGES, WORK,
    value("parent-path", None, "PATH", "Folder of an earlier checkpoint, relative to the image path"),
    switch("leave-running", None, "Let the container go on"),
    switch("pre-dump", None, "Write the memory only and let the container go on"),
    switch("tcp-skip-in-flight", None, "Leave connections out that are not established yet"),
    CONNECTIONS, SOCKETS, SHELL_JOB, LOCKS, LINKS, DEDUPLICATE, CGROUP_MODE, EMPTY, HELP,
];

#[rustfmt::skip]
const RESTORE: &[Flag] = &[
    BUNDLE, CONSOLE, PID_FILE, IMAGES, WORK,
    switch("detach", Some('d'), "Leave when the container is there"),
    switch("no-subreaper", None, "Do not take in the container's orphans"),
    switch("no-pivot", None, ""),
    CONNECTIONS, SOCKETS, SHELL_JOB, LOCKS, LINKS, DEDUPLICATE, CGROUP_MODE, EMPTY, HELP,
];

/// The commands.
#[rustfmt::skip]
pub(super) static VERBS: &[Verb] = &[
    Verb { names: &["checkpoint"], usage: "[OPTIONS] CONTAINER", about: "Write a running container to disk with criu", operands: (1, 1), command_follows: false, flags: CHECKPOINT, obey: checkpoint::checkpoint },
    Verb { names: &["create"], usage: "[OPTIONS] CONTAINER", about: "Create a container", operands: (1, 1), command_follows: false, flags: CREATE, obey: life::create },
    Verb { names: &["delete"], usage: "[OPTIONS] CONTAINER", about: "Delete a container that has ended", operands: (1, 1), command_follows: false, flags: &[switch("force", Some('f'), "Kill it first if it runs; one that is not there is no error"), HELP], obey: life::delete },
    Verb { names: &["events"], usage: "[OPTIONS] CONTAINER", about: "Show what a container uses and that it ran out of memory", operands: (1, 1), command_follows: false, flags: &[value("interval", None, "DURATION", "Time between two figures; 5s by default"), switch("stats", None, "Show the figures once and leave"), HELP], obey: look::events },
    Verb { names: &["exec"], usage: "[OPTIONS] CONTAINER COMMAND [ARG...]", about: "Start a process in a running container", operands: (1, usize::MAX), command_follows: true, flags: EXEC, obey: process::exec },
    Verb { names: &["features"], usage: "", about: "Show what this runtime can do", operands: (0, 0), command_follows: false, flags: &[HELP], obey: look::features },
    Verb { names: &["kill"], usage: "[OPTIONS] CONTAINER [SIGNAL]", about: "Send a signal, TERM by default", operands: (1, 2), command_follows: false, flags: &[switch("all", Some('a'), "To every process of the container"), HELP], obey: life::kill },
    Verb { names: &["list", "ls"], usage: "[OPTIONS]", about: "List the containers", operands: (0, 0), command_follows: false, flags: &[value("format", Some('f'), "FORMAT", "table or json"), switch("quiet", Some('q'), "Only identifiers"), HELP], obey: look::list },
    Verb { names: &["pause"], usage: "CONTAINER", about: "Freeze a container", operands: (1, 1), command_follows: false, flags: &[HELP], obey: resources::pause },
    Verb { names: &["ps"], usage: "[OPTIONS] CONTAINER [ps OPTIONS]", about: "List the processes of a container", operands: (1, usize::MAX), command_follows: true, flags: &[value("format", Some('f'), "FORMAT", "table or json"), HELP], obey: process::ps },
    Verb { names: &["restore"], usage: "[OPTIONS] CONTAINER", about: "Bring a container back from a checkpoint with criu", operands: (1, 1), command_follows: false, flags: RESTORE, obey: checkpoint::restore },
    Verb { names: &["resume"], usage: "CONTAINER", about: "Let a paused container go on", operands: (1, 1), command_follows: false, flags: &[HELP], obey: resources::resume },
    Verb { names: &["run"], usage: "[OPTIONS] CONTAINER", about: "Create and start a container", operands: (1, 1), command_follows: false, flags: RUN, obey: life::run },
    Verb { names: &["spec"], usage: "[OPTIONS]", about: "Write a document to begin with", operands: (0, 0), command_follows: false, flags: &[value("bundle", Some('b'), "PATH", "Folder to write it to"), switch("rootless", None, "For a container without root's power"), HELP], obey: look::spec },
    Verb { names: &["start"], usage: "CONTAINER", about: "Let the command of a created container execute", operands: (1, 1), command_follows: false, flags: &[HELP], obey: life::start },
    Verb { names: &["state"], usage: "CONTAINER", about: "Show the state of a container", operands: (1, 1), command_follows: false, flags: &[HELP], obey: look::state },
    Verb { names: &["update"], usage: "[OPTIONS] CONTAINER", about: "Change what a container may use", operands: (1, 1), command_follows: false, flags: UPDATE, obey: resources::update },
];
