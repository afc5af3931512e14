//! The OCI runtime core: from an OCI runtime-spec document to a running process, and back.
//!
//! A plan decides everything without touching the system; the child side applies the plan step by
//! step inside the new namespaces, and every failing step comes back to the parent as
//! [`StartError`] with its name, path and errno. [`create`] makes the namespaces and the root file
//! system, [`Created::start`] lets the process execute, [`exec()`] adds a process to a running
//! container, [`Running`] is the handle to wait for, signal and clean up.
//!
//! The caller of [`create`] and [`exec()`] must be single-threaded: the child is a fork of it.
//!
//! This crate never knows images, registries, networks or Dockerfiles, keeps no state file, and
//! decides no policy: what a container is allowed to do stands in the document it is given.

mod cgroup;
mod confinement;
mod container;
pub mod defaults;
mod error;
mod exec;
mod exit;
pub mod hooks;
mod init;
mod launch;
mod listener;
mod net_devices;
mod observe;
mod plan;
mod prepared;
mod protocol;
mod restore;
mod start;
mod state;
pub mod supported;
mod unit;
mod unprivileged;
mod update;

pub use cgroup::CgroupHandle;
pub use confinement::{Confinement, SystemCalls, UnknownLimit, rlimits};
pub use container::{Created, Running, create};
pub use error::{PlanError, PrepareError, StartError, Step};
pub use exec::{ExecTarget, exec, exec_among};
pub use exit::ExitStatus;
pub use launch::{Gate, Launch, Namespaces, OciOptions, OverlayRoot, RootFs, SeccompChoice, Stdio};
pub use listener::Listening;
pub use plan::{Listener, compile_seccomp};
pub use restore::{
    ExternalMount, external_mounts, make_cgroup, make_mount_points, restrict_devices,
};
pub use start::start;
pub use state::{ContainerState, Status};
pub use unit::Systemd;
pub use unprivileged::{AdaptError, DELEGATION_HINT, Unprivileged};
pub use update::update;
