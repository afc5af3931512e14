//! What the caller hands over to start a container.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use gantry_sys::seccomp::Filter;
use oci_spec::runtime::Spec;

use crate::unit::Systemd;

/// Everything that is needed to create one container.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// The identifier of the container: its beginning names the first process until the command
    /// executes.
    pub id: &'a str,
    /// The OCI runtime-spec document. Its `root.path` is ignored in favour of `rootfs`; its
    /// `linux.cgroupsPath` names the cgroup (none: the container stays in the caller's cgroup).
    pub spec: &'a Spec,
    /// Where the root file system comes from.
    pub rootfs: RootFs,
    /// What the process reads from and writes to.
    pub stdio: Stdio<'a>,
    /// Which seccomp filter the processes get.
    pub seccomp: SeccompChoice<'a>,
    /// Keep a process of our own as PID 1, which reaps orphans and forwards signals to the
    /// command (`--init`). Not with [`Gate::Socket`].
    pub init: bool,
    /// Kill the container when the caller's thread dies.
    pub die_with_parent: bool,
    /// Fail when a resource limit cannot be set for lack of privilege; otherwise such a limit is
    /// left as it is. Set it when the limits were asked for by a person.
    pub strict_rlimits: bool,
    /// What the callers of an OCI command line ask for beyond that.
    pub oci: OciOptions<'a>,
}

/// What the callers of an OCI command line ask for beyond the document.
#[derive(Debug, Clone, Copy, Default)]
pub struct OciOptions<'a> {
    /// Who lets the command execute.
    pub gate: Gate<'a>,
    /// The folder of the document, which hooks are told.
    pub bundle: Option<&'a Path>,
    /// How many descriptors from 3 on the command inherits.
    pub preserve_fds: u32,
    /// Move the root file system over the root instead of exchanging the two, for callers whose
    /// root is one that cannot be exchanged (an initial RAM disk).
    pub no_pivot: bool,
    /// Leave the command the caller's session keyring instead of giving it one of its own.
    pub keep_keyring: bool,
    /// Have systemd make the cgroup: `linux.cgroupsPath` is then `SLICE:PREFIX:NAME`. `None`: it
    /// is made in the file system.
    pub systemd: Option<&'a Systemd>,
}

/// Who lets the command of a container execute once everything is there.
#[derive(Debug, Clone, Copy, Default)]
pub enum Gate<'a> {
    /// Its creator, by [`Created::start`](crate::Created::start).
    #[default]
    Creator,
    /// Whoever connects to this listening socket ([`start()`](crate::start())), also when the
    /// creator is long gone ([`Created::leave`](crate::Created::leave)).
    Socket(BorrowedFd<'a>),
}

/// Which seccomp filter the processes of a container get.
#[derive(Debug, Clone, Copy)]
pub enum SeccompChoice<'a> {
    /// What the document's `linux.seccomp` says; none if it says nothing.
    Document,
    /// Docker's default profile for the container's bounding set, whatever the document says.
    DockerDefault,
    /// One that is compiled already, whatever the document says.
    Compiled(&'a Filter),
}

/// The root file system of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootFs {
    /// A directory that is used as it is.
    Directory(PathBuf),
    /// An overlay that is mounted inside the container's own mount namespace.
    Overlay(OverlayRoot),
}

/// The directories of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayRoot {
    /// The read-only layers, TOP first, at most 500.
    pub lowers: Vec<PathBuf>,
    /// Where files of those have their contents, if not in themselves
    /// ([`gantry_sys::mount::Overlay::data`]).
    pub data: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// An empty directory on the file system of `upper`.
    pub work: PathBuf,
    /// Never sync the upper layer to disk: for a layer that is thrown away after a crash anyway.
    /// Such an upper directory cannot be mounted a second time.
    pub volatile: bool,
}

/// The standard streams of a process.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    /// Three open files.
    Files {
        /// Standard input.
        stdin: BorrowedFd<'a>,
        /// Standard output.
        stdout: BorrowedFd<'a>,
        /// Standard error.
        stderr: BorrowedFd<'a>,
    },
    /// A new terminal from the container's own devpts, whose master side comes back to the caller.
    Terminal {
        /// Height in characters; 0 leaves the size unset.
        rows: u16,
        /// Width in characters; 0 leaves the size unset.
        columns: u16,
    },
}

/// The new namespaces of a container, shown to the caller before its process starts.
#[derive(Debug, Clone, Copy)]
pub struct Namespaces<'a> {
    /// The process ID of the container's first process, seen from the caller.
    pub pid: i32,
    /// The network namespace the container will run in.
    pub network: BorrowedFd<'a>,
}
