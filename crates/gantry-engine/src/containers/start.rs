//! Starting a container: from its document to a supervisor.

mod network;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use gantry_model::record::{ResolvedMountKind, Status};
use gantry_model::{ContainerId, ContainerRecord, ContainerSpec};
use gantry_runtime::Unprivileged;
use gantry_supervisor::client::{Session, spawn};
use gantry_supervisor::launch::{self, Launch, Overlay, Settings, Stdin};
use gantry_supervisor::protocol::{Attach, WindowSize};
use oci_spec::runtime::LinuxSeccomp;

use super::create::Prepared;
use super::error::{ContainerError, file};
use super::folders::{Folders, resolve};
use super::links;
use super::merged_root::{MergedRoot, top_first};
use super::removal::removal_of;
use super::spec::devices::Origin;
use super::spec::mounts::ImageFolders;
use super::spec::security::{SeccompChoice, Security};
use super::spec::{self, Facts, Foreign, capabilities, devices, security};
use super::status::{is_live, observe, supervisor_lives};
use super::{Containers, confinement, health, host, logging, user, userns};
use crate::cdi;

/// Most bytes that `/etc/passwd` and `/etc/group` may have.
pub(super) const MAX_USERS: u64 = 64 << 20;
/// Signal that asks a container to stop when nobody says otherwise.
const SIGTERM: i32 = 15;
/// Seconds a container has after it.
pub(super) const STOP_TIMEOUT: i64 = 10;

/// What a start is given beside the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// Streams this client wants; `None` only starts it.
    pub attach: Option<Attach>,
    /// Size of the terminal.
    pub window: Option<WindowSize>,
}

/// A container on its way: [`Session::started`] says whether it runs.
#[derive(Debug)]
pub struct Begun {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// The connection to its supervisor.
    pub session: Session,
    /// What sees to it that the container outlives a power cut.
    pub keeping: Keeping,
}

/// The document of a container on its way to the disk, beside the start.
#[derive(Debug, Default)]
pub struct Keeping(Option<JoinHandle<Result<(), ContainerError>>>);

impl Keeping {
    fn of(folders: Folders) -> Result<Self, ContainerError> {
        let own = folders.clone();
        match thread::Builder::new().spawn(move || own.keep_record()) {
            Ok(thread) => Ok(Self(Some(thread))),
            // No room for a further thread: then one after the other.
            Err(_) => folders.keep_record().map(|()| Self(None)),
        }
    }

    /// Waits until it is there: what a person is told of must not be lost.
    ///
    /// # Errors
    /// [`ContainerError::File`].
    pub fn finish(self) -> Result<(), ContainerError> {
        match self.0.map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(kept)) => kept,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

/// A container about to be started.
struct Ready<'a> {
    record: &'a ContainerRecord,
    folders: &'a Folders,
    lock: &'a File,
    lowers: Vec<PathBuf>,
    /// Folders that are shown at places of the container's beside its mounts, base first.
    shown: ImageFolders,
}

impl Containers<'_> {
    /// Creates a container and starts it. Ask the session whether it [started](Session::started);
    /// a container whose start failed stays, created, unless it is removed at its end.
    ///
    /// # Errors
    /// [`ContainerError`] when it could not be created, or not be tried to start.
    pub fn run(
        &self,
        spec: &ContainerSpec,
        options: StartOptions,
    ) -> Result<Begun, ContainerError> {
        let prepared = self.prepare(spec, false)?;
        let ready = Ready {
            record: &prepared.record,
            folders: &prepared.folders,
            lock: &prepared.lock,
            lowers: prepared.lowers,
            shown: ImageFolders::new(),
        };
        let session = match self.launch(ready, options) {
            Ok(session) => session,
            Err(error) => {
                if spec.auto_remove {
                    // What cannot be removed now is found and removed like any other garbage;
                    // the error that led here is the one to tell.
                    let removal = removal_of(self.engine, &prepared.record);
                    drop(removal.hide().and_then(|()| removal.delete()));
                } else {
                    prepared.folders.keep_record()?;
                }
                return Err(error);
            }
        };
        // One that goes with its end need not be there after a power cut.
        let keeping = if spec.auto_remove {
            Keeping::default()
        } else {
            Keeping::of(prepared.folders)?
        };
        let ContainerRecord { id, name, .. } = prepared.record;
        Ok(Begun {
            id,
            name,
            warnings: prepared.warnings,
            session,
            keeping,
        })
    }

    /// Starts a container that is there. Ask the session whether it [started](Session::started).
    ///
    /// # Errors
    /// [`ContainerError::AlreadyRunning`] and others.
    pub fn start(&self, name: &str, options: StartOptions) -> Result<Begun, ContainerError> {
        let id = resolve(self.engine, name)?;
        let folders = Folders::of(self.engine, &id);
        let not_found = || ContainerError::NotFound {
            name: name.to_owned(),
        };
        let record = folders.record()?.ok_or_else(not_found)?;
        let seen = observe(self.engine, &record)?.ok_or_else(not_found)?;
        if is_live(seen.status) {
            return Err(match seen.status {
                Status::Paused => ContainerError::Running {
                    action: "start",
                    name: name.to_owned(),
                    status: "paused",
                    advice: "try unpause instead",
                },
                _ => ContainerError::AlreadyRunning {
                    name: name.to_owned(),
                },
            });
        }
        let alive = || {
            gantry_supervisor::state::read(&folders.folder)
                .is_ok_and(|seen| is_live(seen.status) && supervisor_lives(&seen, id.as_str()))
        };
        let lock = match folders.lock_unless(alive)? {
            Some(lock) => lock,
            None if alive() => {
                return Err(ContainerError::AlreadyRunning {
                    name: name.to_owned(),
                });
            }
            None => {
                return Err(ContainerError::Busy {
                    name: name.to_owned(),
                });
            }
        };
        // Removed while this command waited.
        let record = folders.record()?.ok_or_else(not_found)?;
        let lowers = self.engine.store()?.layers().lowers(&record.layers)?;
        let ready = Ready {
            record: &record,
            folders: &folders,
            lock: &lock,
            lowers,
            shown: ImageFolders::new(),
        };
        let session = self.launch(ready, options)?;
        Ok(Begun {
            id,
            name: record.name,
            warnings: Vec::new(),
            session,
            keeping: Keeping::default(),
        })
    }

    fn launch(&self, ready: Ready<'_>, options: StartOptions) -> Result<Session, ContainerError> {
        let lock = ready.lock;
        let launch = self.launch_document(ready, options)?;
        Ok(spawn(&launch, lock)?)
    }

    fn launch_document(
        &self,
        ready: Ready<'_>,
        options: StartOptions,
    ) -> Result<Launch, ContainerError> {
        let Ready {
            record,
            folders,
            lowers,
            ..
        } = ready;
        let spec = &record.spec;
        let upper = folders.upper();
        let user = self.user(record, &upper, &lowers)?;
        let security = security::parse(&spec.security_opt)?;
        let capabilities = capabilities::decide(
            &spec.cap_add,
            &spec.cap_drop,
            spec.privileged,
            &host::capabilities(),
        )?;
        let mut own_devices = Vec::new();
        for device in spec.devices.iter().filter(|name| !cdi::is_name(name)) {
            own_devices.extend(devices::resolve(&devices::parse(device)?)?);
        }
        let host_devices = if spec.privileged {
            devices::all_of_host().map_err(file("list", Path::new("/dev")))?
        } else {
            Vec::new()
        };
        let labels = confinement::enforced(spec, record.id.as_str())?;
        let host_name = host::name();
        let links = self.links(record)?;
        let network = self.network(record, folders, &host_name, &links)?;
        let ipc = self.foreign(&spec.ipc_mode, "ipc")?;
        let mut images = self.mounted_images(record)?;
        images.extend(ready.shown);
        let mut config = spec::translate(&Facts {
            images,
            linked: links::variables(&links, &record.name),
            record,
            user: &user,
            capabilities: &capabilities,
            security: &security,
            labels: &labels,
            seccomp: own_seccomp(spec, &security, folders, &capabilities)?,
            devices: &own_devices,
            host_devices,
            files: network.files,
            foreign: Foreign {
                network: network.namespace,
                pid: self.foreign(&spec.pid_mode, "pid")?.map(|(path, _)| path),
                ipc: ipc.as_ref().map(|(path, _)| path.clone()),
                ipc_of: ipc.as_ref().map(|(_, pid)| *pid),
            },
            host_name: &host_name,
        })?;
        let mut origins: Vec<Origin> = own_devices.iter().map(Origin::from).collect();
        origins.extend(self.add_devices(spec, &mut config)?);
        userns::apply(&mut config, record, &user, &folders.folder)?;
        let caller = unprivileged()?;
        if caller.is_some() || record.id_ranges.is_some() {
            devices::show(&mut config, &origins);
        }
        if let Some(caller) = caller {
            caller.adapt(&mut config)?;
        }
        let seen = self.as_seen(record, lowers)?;
        let mut settings = self.settings(record, folders, network.launch, &host_name)?;
        settings.health = config
            .process()
            .as_ref()
            .and_then(|own| health::decide(record, own));
        Ok(Launch {
            version: launch::VERSION,
            config: Box::new(config),
            overlay: Overlay {
                lowers: seen.folders,
                data: seen.data,
                upper,
                work: folders.work(),
            },
            default_seccomp: security.seccomp == SeccompChoice::Default && !spec.privileged,
            init: spec.init,
            strict_rlimits: !spec.ulimits.is_empty(),
            window: options.window,
            attach: options.attach,
            settings,
        })
    }

    /// What the vendors of its devices want to have changed in the document; gives where the host
    /// has them.
    fn add_devices(
        &self,
        spec: &ContainerSpec,
        config: &mut oci_spec::runtime::Spec,
    ) -> Result<Vec<Origin>, ContainerError> {
        let named = spec.devices.iter().filter(|name| cdi::is_name(name));
        let mut names: Vec<String> = named.cloned().collect();
        if names.is_empty() && spec.device_requests.is_empty() {
            return Ok(Vec::new());
        }
        let registry = cdi::Registry::read(&self.engine.config().cdi_spec_dirs)?;
        for request in &spec.device_requests {
            names.extend(registry.gpus(request)?);
        }
        let edits = registry.resolve(&names)?;
        cdi::apply(config, &edits)?;
        let origin = |(host, container)| Origin { host, container };
        Ok(cdi::origins(&edits).map(origin).collect())
    }

    /// Where the files of the images are that the container has mounted.
    fn mounted_images(&self, record: &ContainerRecord) -> Result<ImageFolders, ContainerError> {
        let mut all = ImageFolders::new();
        for mount in &record.mounts {
            if let ResolvedMountKind::Image { layers, .. } = &mount.kind {
                let lowers = self.engine.store()?.layers().lowers(layers)?;
                all.insert(mount.target.clone(), lowers);
            }
        }
        Ok(all)
    }

    fn settings(
        &self,
        record: &ContainerRecord,
        folders: &Folders,
        network: launch::Network,
        host_name: &str,
    ) -> Result<Settings, ContainerError> {
        let spec = &record.spec;
        let log = &self.engine.config().log;
        Ok(Settings {
            id: record.id.clone(),
            name: record.name.clone(),
            stdin: match (spec.interactive, spec.stdin_once) {
                (false, _) => Stdin::Closed,
                (true, false) => Stdin::Open,
                (true, true) => Stdin::Once,
            },
            terminal: spec.tty,
            log: logging::settings(record, log, &folders.folder, host_name)?,
            network,
            health: None,
            restart: spec.restart,
            stop_signal: stop_signal(record)?,
            stop_timeout: spec.stop_timeout.unwrap_or(STOP_TIMEOUT),
            removal: spec.auto_remove.then(|| removal_of(self.engine, record)),
            folder: folders.folder.clone(),
            run_folder: folders.run_folder.clone(),
            run_root: self.engine.run_root().to_owned(),
            events: crate::events::facts(self.engine, record),
        })
    }

    /// Starts what was prepared and waits until it runs. What `shown` names is shown read-only at
    /// those places, which the document has as mounts of images.
    pub(super) fn start_prepared(
        &self,
        prepared: Prepared,
        shown: ImageFolders,
        options: StartOptions,
    ) -> Result<(u32, Session), ContainerError> {
        let ready = Ready {
            record: &prepared.record,
            folders: &prepared.folders,
            lock: &prepared.lock,
            lowers: prepared.lowers,
            shown,
        };
        let mut session = self.launch(ready, options).inspect_err(|_| {
            let removal = removal_of(self.engine, &prepared.record);
            drop(removal.hide().and_then(|()| removal.delete()));
        })?;
        let pid = session.started()?;
        Ok((pid, session))
    }

    /// Who the container's process runs as, by the container's own files.
    pub(super) fn user(
        &self,
        record: &ContainerRecord,
        upper: &Path,
        lowers: &[PathBuf],
    ) -> Result<user::ResolvedUser, ContainerError> {
        let root = MergedRoot::open(top_first(upper, lowers)).map_err(file("open", upper))?;
        let read = |path: &'static str| -> Result<Vec<u8>, ContainerError> {
            let found = root.read(Path::new(path), MAX_USERS);
            Ok(found
                .map_err(file("read the container's", Path::new(path)))?
                .unwrap_or_default())
        };
        let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
        Ok(user::resolve(
            &record.process.user,
            &record.spec.group_add,
            &passwd,
            &group,
        )?)
    }

    /// The highest number of a user or group in the files of an image.
    pub(super) fn highest_user(&self, lowers: &[PathBuf]) -> Result<u32, ContainerError> {
        let here = self.engine.root();
        let root = MergedRoot::open(lowers.iter().rev().map(PathBuf::as_path));
        let root = root.map_err(file("open the layers in", here))?;
        let read = |path: &'static str| {
            let found = root.read(Path::new(path), MAX_USERS);
            found
                .map(Option::unwrap_or_default)
                .map_err(file("read the image's", Path::new(path)))
        };
        Ok(user::highest(&read("/etc/passwd")?, &read("/etc/group")?))
    }
}

/// What this process can do if it is not the machine's root.
pub(super) fn unprivileged() -> Result<Option<Unprivileged>, ContainerError> {
    Unprivileged::observe().map_err(file("read", Path::new("/proc/self")))
}

/// The filter of a profile file, as kept at creation.
fn own_seccomp(
    spec: &ContainerSpec,
    security: &Security,
    folders: &Folders,
    capabilities: &[String],
) -> Result<Option<LinuxSeccomp>, ContainerError> {
    if !matches!(security.seccomp, SeccompChoice::File(_)) || spec.privileged {
        return Ok(None);
    }
    let (_, filter) = confinement::profile(&folders.seccomp_profile(), capabilities)?;
    Ok(Some(filter))
}

/// The signal that asks a container to stop.
pub(super) fn stop_signal(record: &ContainerRecord) -> Result<i32, ContainerError> {
    match record
        .process
        .stop_signal
        .as_deref()
        .filter(|signal| !signal.is_empty())
    {
        None => Ok(SIGTERM),
        Some(signal) => super::signal_number(signal),
    }
}
