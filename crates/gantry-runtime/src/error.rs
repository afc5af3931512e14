//! What can go wrong between a document and a running process.

use std::fmt;
use std::io;
use std::path::PathBuf;

use gantry_model::{Fault, FaultKind};
use gantry_sys::cgroup::CgroupError;
use gantry_systemd::SystemdError;

use crate::hooks::HookError;

/// The failure of the caller's own preparation between the namespaces and the start.
pub type PrepareError = Box<dyn std::error::Error + Send + Sync>;

/// The document asks for something that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The document lacks a part that is needed.
    #[error("the runtime document has no {field}")]
    Missing {
        /// The missing part, as in the OCI specification.
        field: &'static str,
    },
    /// A value is not acceptable.
    #[error("{field} of the runtime document: {value:?} {reason}")]
    Invalid {
        /// Where the value stands, as in the OCI specification.
        field: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The document asks for something this runtime does not do.
    #[error("{feature} is not supported by this runtime")]
    Unsupported {
        /// What is asked for, as in the OCI specification.
        feature: String,
    },
    /// The seccomp profile cannot be compiled.
    #[error("cannot compile the seccomp profile")]
    Seccomp {
        /// Why.
        #[source]
        source: gantry_sys::seccomp::CompileError,
    },
}

impl Fault for PlanError {
    fn kind(&self) -> FaultKind {
        match self {
            PlanError::Unsupported { .. } => FaultKind::Unsupported,
            _ => FaultKind::Invalid,
        }
    }
}

/// A container, or a process in one, could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The document asks for something that cannot be done.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The cgroup could not be set up.
    #[error("cannot set up the cgroup of the container")]
    Cgroup {
        /// Why.
        #[source]
        source: CgroupError,
    },
    /// systemd did not make the cgroup.
    #[error("cannot have systemd make the cgroup of the container")]
    Systemd {
        /// Why.
        #[from]
        source: SystemdError,
    },
    /// A step of the parent's side failed.
    #[error("cannot {action}")]
    Parent {
        /// What was being done.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A step inside the container's namespaces failed.
    #[error("cannot {}: {}{}", ChildStep(step, path.as_ref()), errno_name(*errno), Detail(detail))]
    Child {
        /// Which step.
        step: Step,
        /// What it was done to.
        path: Option<PathBuf>,
        /// The errno of the kernel.
        errno: i32,
        /// What the kernel said beyond the errno.
        detail: Option<String>,
    },
    /// The command of the process does not exist (exit code 127).
    #[error("exec: {command:?}: {reason}")]
    CommandNotFound {
        /// The command as it was given.
        command: String,
        /// Docker's words for it.
        reason: String,
    },
    /// The command of the process cannot be executed (exit code 126).
    #[error("exec: {command:?}: {reason}")]
    CannotInvoke {
        /// The command as it was given.
        command: String,
        /// Docker's words for it.
        reason: String,
    },
    /// The child ended before it could execute the command.
    #[error("the container's first process ended before its command was executed ({ended})")]
    ChildEnded {
        /// How it ended.
        ended: String,
    },
    /// The one who decides about calls could not be told of the process.
    #[error("cannot hand the seccomp listener {} its descriptor", path.display())]
    Listener {
        /// The socket it should listen at.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An interface of the host that the container is to have is not there.
    #[error("cannot move the network device {name} into the container: there is none of this name")]
    NoNetDevice {
        /// Its name.
        name: String,
    },
    /// An interface of the host could not become the container's.
    #[error("cannot move the network device {name} into the container")]
    NetDevice {
        /// Its name.
        name: String,
        /// What the kernel said.
        source: gantry_sys::netlink::NetlinkError,
    },
    /// A hook of the document failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The caller's preparation between the namespaces and the start failed.
    #[error(transparent)]
    Prepare {
        /// Why.
        source: PrepareError,
    },
}

impl StartError {
    /// The exit code Docker gives for this failure.
    pub fn exit_code(&self) -> i32 {
        match self.kind() {
            FaultKind::CommandNotFound => 127,
            FaultKind::CannotInvoke => 126,
            _ => 125,
        }
    }
}

impl Fault for StartError {
    fn kind(&self) -> FaultKind {
        match self {
            StartError::Plan(error) => error.kind(),
            StartError::CommandNotFound { .. } => FaultKind::CommandNotFound,
            StartError::CannotInvoke { .. } => FaultKind::CannotInvoke,
            // As Docker has it: 127 when the directory does not exist, else 126.
            StartError::Child {
                step: Step::Chdir,
                errno,
                ..
            } => match io::Error::from_raw_os_error(*errno).kind() {
                io::ErrorKind::NotFound => FaultKind::CommandNotFound,
                _ => FaultKind::CannotInvoke,
            },
            StartError::Child { .. }
            | StartError::Cgroup { .. }
            | StartError::Systemd { .. }
            | StartError::Parent { .. }
            | StartError::ChildEnded { .. }
            | StartError::Hook(_)
            | StartError::Listener { .. }
            | StartError::NoNetDevice { .. }
            | StartError::NetDevice { .. }
            | StartError::Prepare { .. } => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            StartError::CommandNotFound { command, .. } if command.contains(' ') => {
                "the whole line was taken as the name of one program: give program and arguments \
                 as separate words"
            }
            StartError::CommandNotFound { reason, .. } if reason.contains("interpreter") => {
                "check the first line of the script, or that the program was built for the \
                 image's C library"
            }
            StartError::CannotInvoke { reason, .. } if reason.contains("format") => {
                "the file is neither a program for an architecture that this machine runs (see \
                 `gantry system binfmt ls`) nor a script with a #! line"
            }
            StartError::Cgroup {
                source: CgroupError::MissingController { .. },
            } => "start the container without this limit, or enable the controller on the host",
            StartError::Systemd {
                source: SystemdError::Unreachable { .. },
            } => {
                "where systemd does not run, use the other driver of cgroups: cgroupfs \
                 (podman: --cgroup-manager cgroupfs, dockerd: --exec-opt \
                 native.cgroupdriver=cgroupfs)"
            }
            StartError::Child {
                step: Step::Rlimit, ..
            } => "raising a limit above the caller's own needs CAP_SYS_RESOURCE",
            StartError::Child {
                step: Step::IdMap, ..
            } => {
                "ID-mapped mounts need root, Linux 5.19 for layers, and a file system that has \
                 them (ext4, xfs, btrfs and others)"
            }
            StartError::Child {
                step: Step::Sysctl,
                errno,
                ..
            } if *errno == rustix::io::Errno::NOENT.raw_os_error() => {
                "this kernel has no such parameter in the container's namespaces"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// One step of the child's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Step {
    /// Waiting for or talking to the parent.
    Synchronize,
    /// Joining an existing namespace.
    JoinNamespace,
    /// Making a new namespace.
    NewNamespace,
    /// Joining the cgroup.
    JoinCgroup,
    /// Taking root's identity in a new user namespace.
    BecomeRoot,
    /// Setting the propagation of the root mount.
    Propagation,
    /// Mounting the root file system.
    RootFs,
    /// Showing a file system with other owners.
    IdMap,
    /// Opening the source of a bind mount.
    MountSource,
    /// Making the place a file system is mounted on.
    MountTarget,
    /// Mounting a file system.
    Mount,
    /// Filling a file system with what it covers.
    CopyUp,
    /// Making a device node.
    Device,
    /// Making a symbolic link in /dev.
    Symlink,
    /// Allocating the terminal.
    Terminal,
    /// Writing a kernel parameter.
    Sysctl,
    /// Setting the host name.
    Hostname,
    /// Hiding a path.
    MaskPath,
    /// Making a path read-only.
    ReadonlyPath,
    /// Making the root file system read-only.
    ReadonlyRoot,
    /// Making the new root the root.
    PivotRoot,
    /// Leaving the caller's keyrings.
    Keyring,
    /// Setting a resource limit.
    Rlimit,
    /// Setting the badness for the out-of-memory killer.
    OomScore,
    /// Setting the mandatory access control label.
    SecurityLabel,
    /// Starting a new session.
    Session,
    /// Setting up the standard streams.
    Stdio,
    /// Changing the working directory.
    Chdir,
    /// Dropping capabilities.
    Capabilities,
    /// Changing user and groups.
    User,
    /// Forbidding new privileges.
    NoNewPrivileges,
    /// Loading the seccomp filter.
    Seccomp,
    /// Setting the personality.
    Personality,
    /// Forking the command under our own PID 1.
    ForkCommand,
    /// Setting the scheduling.
    Scheduling,
    /// Setting the IO priority.
    IoPriority,
    /// Setting the memory policy.
    MemoryPolicy,
    /// Setting the processors to run on.
    Processors,
}

impl Step {
    /// Every step, for the way back from its number.
    const ALL: [Step; 38] = [
        Step::Synchronize,
        Step::JoinNamespace,
        Step::NewNamespace,
        Step::JoinCgroup,
        Step::BecomeRoot,
        Step::Propagation,
        Step::RootFs,
        Step::IdMap,
        Step::MountSource,
        Step::MountTarget,
        Step::Mount,
        Step::CopyUp,
        Step::Device,
        Step::Symlink,
        Step::Terminal,
        Step::Sysctl,
        Step::Hostname,
        Step::MaskPath,
        Step::ReadonlyPath,
        Step::ReadonlyRoot,
        Step::PivotRoot,
        Step::Keyring,
        Step::Rlimit,
        Step::OomScore,
        Step::SecurityLabel,
        Step::Session,
        Step::Stdio,
        Step::Chdir,
        Step::Capabilities,
        Step::User,
        Step::NoNewPrivileges,
        Step::Seccomp,
        Step::Personality,
        Step::ForkCommand,
        Step::Scheduling,
        Step::IoPriority,
        Step::MemoryPolicy,
        Step::Processors,
    ];

    /// The number of the step.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// The step of a number.
    pub(crate) fn from_number(number: u8) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.number() == number)
    }
}

/// Renders a step with its path.
struct ChildStep<'a>(&'a Step, Option<&'a PathBuf>);

impl fmt::Display for ChildStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.0 {
            Step::Synchronize => "talk to the parent process",
            Step::JoinNamespace => "join the namespace",
            Step::NewNamespace => "make a new namespace",
            Step::JoinCgroup => "join the cgroup",
            Step::BecomeRoot => "become root in the user namespace",
            Step::Propagation => "set the propagation of the root mount",
            Step::IdMap => "show with other owners",
            Step::RootFs => "mount the root file system",
            Step::MountSource => "open the source of the mount",
            Step::MountTarget => "make the mount point",
            Step::Mount => "mount",
            Step::CopyUp => "copy what is below into the file system at",
            Step::Device => "make the device",
            Step::Symlink => "make the symbolic link",
            Step::Terminal => "allocate a terminal",
            Step::Sysctl => "set the kernel parameter",
            Step::Hostname => "set the host name",
            Step::MaskPath => "hide the path",
            Step::ReadonlyPath => "make read-only the path",
            Step::ReadonlyRoot => "make the root file system read-only",
            Step::PivotRoot => "change the root to",
            Step::Keyring => "make a session keyring",
            Step::Rlimit => "set the resource limit",
            Step::OomScore => "set oom_score_adj to",
            Step::SecurityLabel => "set the security label",
            Step::Session => "start a new session",
            Step::Stdio => "set up the standard streams",
            Step::Chdir => "change the working directory to",
            Step::Capabilities => "set the capabilities",
            Step::User => "change the user to",
            Step::NoNewPrivileges => "forbid new privileges",
            Step::Seccomp => "load the seccomp filter",
            Step::Personality => "set the personality",
            Step::ForkCommand => "fork the command",
            Step::Scheduling => "set the scheduling",
            Step::IoPriority => "set the IO priority",
            Step::MemoryPolicy => "set the memory policy",
            Step::Processors => "set the processors",
        };
        f.write_str(words)?;
        if let Some(path) = self.1 {
            write!(f, " {}", path.display())?;
        }
        f.write_str(" in the container")
    }
}

/// Renders what the kernel said beyond the errno.
struct Detail<'a>(&'a Option<String>);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

/// The words of an errno, lowercase and without the number: "permission denied".
pub(crate) fn errno_name(errno: i32) -> String {
    errno_text(&io::Error::from_raw_os_error(errno))
}

/// The words of an error of the kernel, lowercase and without the number.
pub(crate) fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default()
}
