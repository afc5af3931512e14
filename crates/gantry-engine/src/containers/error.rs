//! Why something about containers failed; texts are Docker's where it has one.

use std::io;
use std::path::{Path, PathBuf};

use gantry_model::{ContainerId, Fault, FaultKind};
use gantry_supervisor::client::ClientError;
use gantry_supervisor::removal::RemovalError;

use super::logging::LoggingError;
use super::spec::SpecError;
use super::user::UserError;
use crate::volumes::VolumeError;

/// Why something about containers failed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// No container of that name or id.
    #[error("No such container: {name}")]
    NotFound {
        /// As asked for.
        name: String,
    },
    /// A prefix of several ids.
    #[error("Multiple IDs found with provided prefix: {prefix}")]
    Ambiguous {
        /// As asked for.
        prefix: String,
    },
    /// A name that is taken.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        id: String,
    },
    /// A name that is none.
    #[error("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    Name {
        /// As asked for.
        name: String,
    },
    /// No image of that name here: pull it and try again.
    #[error("No such image: {name}")]
    NoImage {
        /// As asked for.
        name: String,
    },
    /// Neither user nor image say what to run.
    #[error("no command specified")]
    NoCommand,
    /// Its writable layer cannot be limited.
    #[error(transparent)]
    Storage(#[from] super::storage::StorageError),
    /// No tools for `debug`.
    #[error("no tools: there is no static busybox on this host")]
    NoToolbox,
    /// It does not run.
    #[error("container {name} is not running")]
    NotRunning {
        /// As asked for.
        name: String,
    },
    /// It runs.
    #[error("cannot {action} container {name:?}: container is {status}: {advice}")]
    Running {
        /// What was to be done.
        action: &'static str,
        /// As asked for.
        name: String,
        /// Its status.
        status: &'static str,
        /// What to do before.
        advice: &'static str,
    },
    /// It runs already.
    #[error("container {name} is already running")]
    AlreadyRunning {
        /// As asked for.
        name: String,
    },
    /// Another command is at it.
    #[error("container {name} is being worked on by another command")]
    Busy {
        /// As asked for.
        name: String,
    },
    /// A signal that is none.
    #[error("Invalid signal: {signal}")]
    Signal {
        /// As asked for.
        signal: String,
    },
    /// A wish that cannot be granted.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// An AppArmor profile that is not loaded.
    #[error("the AppArmor profile {profile:?} is not loaded")]
    NoProfile {
        /// Its name.
        profile: String,
    },
    /// AppArmor's default profile cannot be loaded.
    #[error("cannot load the AppArmor profile of containers: {said}")]
    DefaultProfile {
        /// What the program said that loads profiles.
        said: String,
    },
    /// The user namespace that was asked for.
    #[error("cannot give the container its user namespace: {reason}")]
    Userns {
        /// Why not.
        reason: String,
    },
    /// What it needs cannot be had without root.
    #[error(transparent)]
    Unprivileged(#[from] gantry_runtime::AdaptError),
    /// Where its output goes.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// Its output is kept nowhere.
    #[error("configured logging driver does not support reading")]
    NotReadable,
    /// Devices by the Container Device Interface.
    #[error(transparent)]
    Cdi(#[from] crate::cdi::CdiError),
    /// A user or group that cannot be told.
    #[error(transparent)]
    User(#[from] UserError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The images.
    #[error(transparent)]
    Store(#[from] gantry_store::StoreError),
    /// Files that cannot be packed.
    #[error(transparent)]
    Pack(#[from] gantry_store::PackError),
    /// A change to an image's configuration that cannot be applied.
    #[error(transparent)]
    Change(#[from] crate::images::ChangeError),
    /// The supervisor, or what it says.
    #[error(transparent)]
    Supervisor(#[from] ClientError),
    /// Its supervisor answers nothing, and does not die of SIGKILL either.
    #[error(
        "the processes of container {name} are killed, but its supervisor (process {pid}) neither answers nor ends"
    )]
    SupervisorStays {
        /// Its name.
        name: String,
        /// The supervisor's number.
        pid: i32,
    },
    /// The networks of this installation.
    #[error(transparent)]
    Network(#[from] gantry_network::NetworkError),
    /// What is left of it.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// A bind mount's source that is not there.
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {}", path.display())]
    BindSource {
        /// The path.
        path: PathBuf,
    },
    /// Two mounts at one place.
    #[error("Duplicate mount point: {target}")]
    DuplicateMount {
        /// The place.
        target: String,
    },
    /// A link that is written wrongly.
    #[error("bad format for links: {text}")]
    Link {
        /// As asked for.
        text: String,
    },
    /// A link to a container that is not there.
    #[error("could not get container for {name}: No such container: {name}")]
    LinkTo {
        /// The container.
        name: String,
    },
    /// A link to a container that has no address now.
    #[error("Cannot link to a non running container: /{name} AS {alias}")]
    LinkNotRunning {
        /// The container.
        name: String,
        /// What it was to be called.
        alias: String,
    },
    /// Links with the host's network.
    #[error(
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior"
    )]
    LinksOfHost,
    /// An image to mount that is not here.
    #[error("No such image: {name}")]
    NoMountedImage {
        /// As asked for.
        name: String,
    },
    /// A part of a volume that is a file system of its own.
    #[error("a subpath of the volume {volume} cannot be mounted: it is on a device")]
    SubpathOfDevice {
        /// The volume.
        volume: String,
    },
    /// A mode of `--volumes-from` that is none.
    #[error("invalid mode: {mode}")]
    VolumesFromMode {
        /// As asked for.
        mode: String,
    },
    /// The namespace of another container cannot be joined.
    #[error("failed to join {namespace} namespace: container {id} {reason}")]
    Join {
        /// Which namespace.
        namespace: String,
        /// The other container.
        id: String,
        /// Why not.
        reason: &'static str,
    },
    /// The cgroups of this host.
    #[error("cannot tell what can be limited here")]
    Cgroups {
        /// Why not.
        #[source]
        source: gantry_sys::cgroup::CgroupError,
    },
    /// A time for `--since` or `--until` that is none.
    #[error("invalid value for time: {text:?}")]
    Time {
        /// As asked for.
        text: String,
    },
    /// The host's `ps` does not say what was asked for.
    #[error("{reason}")]
    Ps {
        /// Why.
        reason: String,
    },
    /// The kernel does not take the new limits.
    #[error("cannot change the limits of the container")]
    Apply {
        /// Why.
        #[source]
        source: gantry_runtime::StartError,
    },
    /// A container's document is there and cannot be understood.
    #[error("the document of container {} is damaged: {}", id.short(), path.display())]
    Damaged {
        /// The container.
        id: ContainerId,
        /// The document.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A file or folder of a container.
    #[error("cannot {task} {}", path.display())]
    File {
        /// What was to be done.
        task: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it could not.
        #[source]
        source: io::Error,
    },
}

/// For `map_err`: what was being done with a file when it failed.
pub(crate) fn file(task: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContainerError {
    let path = path.to_owned();
    move |source| ContainerError::File { task, path, source }
}

impl Fault for ContainerError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::NotFound { .. }
            | Self::LinkTo { .. }
            | Self::NoImage { .. }
            | Self::NoMountedImage { .. } => FaultKind::NotFound,
            Self::Ambiguous { .. }
            | Self::Name { .. }
            | Self::NoCommand
            | Self::NoToolbox
            | Self::Signal { .. }
            | Self::BindSource { .. }
            | Self::DuplicateMount { .. }
            | Self::Change(_)
            | Self::SubpathOfDevice { .. }
            | Self::VolumesFromMode { .. }
            | Self::Link { .. }
            | Self::LinksOfHost
            | Self::Time { .. }
            | Self::Ps { .. }
            | Self::Userns { .. }
            | Self::User(_) => FaultKind::Invalid,
            Self::NameTaken { .. }
            | Self::NotRunning { .. }
            | Self::Running { .. }
            | Self::AlreadyRunning { .. }
            | Self::Join { .. }
            | Self::LinkNotRunning { .. }
            | Self::Busy { .. } => FaultKind::Conflict,
            Self::Spec(error) => error.kind(),
            Self::NoProfile { .. } => FaultKind::Invalid,
            Self::Cdi(error) => error.kind(),
            Self::Unprivileged(error) => error.kind(),
            Self::Logging(error) => error.kind(),
            Self::NotReadable | Self::Storage(_) => FaultKind::Unsupported,
            Self::Volume(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Pack(error) => error.kind(),
            Self::Supervisor(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::SupervisorStays { .. }
            | Self::Removal(_)
            | Self::Apply { .. }
            | Self::Cgroups { .. }
            | Self::DefaultProfile { .. }
            | Self::Damaged { .. }
            | Self::File { .. } => FaultKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NameTaken { name, .. } => vec![
                format!("remove it: gantry rm -f {name}"),
                format!("or rename it: gantry rename {name} NEW_NAME"),
            ],
            Self::Ambiguous { .. } => vec!["give more digits of the id, or the name".into()],
            Self::NoToolbox => vec![
                "name an image with tools: gantry debug --image busybox CONTAINER".into(),
                "or install busybox-static".into(),
            ],
            Self::NoImage { name } | Self::NoMountedImage { name } => {
                vec![format!("pull it: gantry pull {name}")]
            }
            Self::Running { name, action, .. } if *action == "remove" => {
                vec![format!("force it: gantry rm -f {name}")]
            }
            Self::Damaged { id, .. } => super::damage::advice(id),
            Self::NoProfile { .. } => {
                vec!["load it: apparmor_parser --replace FILE".to_owned()]
            }
            Self::DefaultProfile { .. } => {
                vec!["do without: --security-opt apparmor=unconfined".to_owned()]
            }
            Self::Spec(error) => error.hints(),
            Self::Unprivileged(error) => error.hints(),
            Self::Logging(error) => error.hints(),
            Self::Cdi(error) => error.hints(),
            Self::Volume(error) => error.hints(),
            Self::Store(error) => error.hints(),
            Self::Supervisor(error) => error.hints(),
            Self::SupervisorStays { pid, .. } => vec![format!(
                "thaw the freezer that /proc/{pid}/cgroup names if it is frozen, then try again"
            )],
            Self::Network(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
