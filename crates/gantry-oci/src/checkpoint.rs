//! Writing a running container to disk.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use gantry_runtime::Status;
use gantry_runtime::hooks::HookError;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::container::{Container, write_atomically};
use crate::create::name_cgroup;
use crate::criu::{CriuRequest, Kind, Options, Session};
use crate::delete::destroy;
use crate::error::OciError;
use crate::root::Root;

/// A container to write to disk.
#[derive(Debug, Clone)]
pub struct Checkpoint<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// How to.
    pub criu: CriuRequest,
    /// The folder of an earlier checkpoint, relative to that of this one.
    pub parent: Option<PathBuf>,
    /// Let the container go on.
    pub leave_running: bool,
    /// Write the memory only and let the container go on.
    pub pre_dump: bool,
}

/// The file beside criu's own that says what the standard streams were.
pub(crate) const DESCRIPTORS: &str = "descriptors.json";

const LOG: &str = "dump.log";
const ACTION: &str = "checkpoint";

/// Writes a running container to disk. Unless it is to go on, it is deleted then; returns the
/// hooks that failed afterwards.
pub fn checkpoint(root: &Root, request: &Checkpoint<'_>) -> Result<Vec<HookError>, OciError> {
    let program = request.criu.program(ACTION)?;
    let container = root.take(request.id)?;
    let pid = running(&container)?;
    let mut spec = container.spec()?;
    name_cgroup(&mut spec, request.id, false);
    ready_folders(&request.criu, LOG, true)?;
    let start = || Session::start(&program, &request.criu, LOG, None, &[]);
    if (request.pre_dump || request.parent.is_some()) && !start()?.tracks_memory()? {
        return Err(OciError::Contradiction {
            reason: "a checkpoint in steps (--pre-dump, --parent-path) needs a kernel that tracks \
                changes of memory (CONFIG_MEM_SOFT_DIRTY)",
        });
    }
    let session = start()?;
    let mut options = session.options(&request.criu);
    let record = container.made(ACTION)?;
    options.process(pid, request.leave_running);
    options.root(&record.rootfs);
    if let Some(parent) = &request.parent {
        options.parent(parent);
    }
    // Not where the memory is only read: nothing stands still long enough to need it.
    let cgroup = record.cgroup.as_ref().filter(|_| !request.pre_dump);
    if let Some(freezer) = cgroup.and_then(|cgroup| cgroup.freezer()) {
        options.freezer(&freezer);
    }
    describe(&mut options, &spec)?;
    if !request.pre_dump {
        for mount in gantry_runtime::external_mounts(&spec)? {
            options.external_mount(&mount, &mount.target);
        }
        let streams = serde_json::json!(streams(pid)).to_string();
        let path = request.criu.images.join(DESCRIPTORS);
        write_atomically(&path, streams.as_bytes(), 0o600)?;
    }
    let kind = match request.pre_dump {
        true => Kind::PreDump,
        false => Kind::Dump,
    };
    session.obey(kind, &options, |_, _| Ok(()))?;
    match request.leave_running || request.pre_dump {
        true => Ok(Vec::new()),
        false => destroy(&container),
    }
}

/// The first process of a container that can be written to disk.
fn running(container: &Container) -> Result<i32, OciError> {
    match (container.status(), container.first_process()) {
        (Status::Running | Status::Paused, Some(first)) => Ok(first.pid()),
        (Status::Stopped, _) | (_, None) => Err(OciError::NotRunning {
            id: container.id().to_owned(),
            action: ACTION,
        }),
        (other, _) => Err(OciError::WrongState {
            id: container.id().to_owned(),
            action: ACTION,
            status: other.name(),
        }),
    }
}

/// What the standard streams of a process are, as the kernel names them.
fn streams(pid: i32) -> [String; 3] {
    [0, 1, 2].map(|number| {
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}"));
        link.map_or(String::new(), |path| path.display().to_string())
    })
}

/// The namespaces that others made: they are not written to disk but found again.
fn describe(options: &mut Options, spec: &Spec) -> Result<(), OciError> {
    configure(options, spec);
    for (kind, path) in joined_namespaces(spec) {
        if let Some(key) = external_key(kind) {
            let file = fs::metadata(path).map_err(OciError::file("find", path))?;
            options.external(&format!("{}[{}]:{key}", criu_name(kind), file.ino()));
        }
    }
    Ok(())
}

/// A file with more options, which the annotation `org.criu.config` names.
pub(crate) fn configure(options: &mut Options, spec: &Spec) {
    let annotations = spec.annotations().iter().flatten();
    let file = annotations
        .filter(|(name, file)| *name == "org.criu.config" && !file.is_empty())
        .map(|(_, file)| file);
    file.for_each(|file| options.configuration(file));
}

/// The namespaces of a document that are joined, by their files.
pub(crate) fn joined_namespaces(spec: &Spec) -> impl Iterator<Item = (LinuxNamespaceType, &Path)> {
    let linux = spec.linux().iter();
    let namespaces = linux.flat_map(|linux| linux.namespaces().iter().flatten());
    namespaces.filter_map(|namespace| {
        let path = namespace.path().as_deref()?;
        (!path.as_os_str().is_empty()).then_some((namespace.typ(), path))
    })
}

/// criu's word for a kind of namespaces.
pub(crate) fn criu_name(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::Mount => "mnt",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Time => "time",
    }
}

/// What a namespace that is not written to disk is called there; `None` for a kind that criu
/// joins by another way.
pub(crate) fn external_key(kind: LinuxNamespaceType) -> Option<&'static str> {
    match kind {
        LinuxNamespaceType::Network => Some("extRootNetNS"),
        LinuxNamespaceType::Pid => Some("extRootPidNS"),
        _ => None,
    }
}

/// Readies the folders of a call for its log; `make` makes that of the checkpoint.
pub(crate) fn ready_folders(request: &CriuRequest, log: &str, make: bool) -> Result<(), OciError> {
    let images = make.then_some(&request.images);
    for path in images.into_iter().chain(&request.work) {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(OciError::file("make", path)(error));
            }
            _ => {}
        }
    }
    // An older log would explain another failure.
    let logs = request.work.as_ref().unwrap_or(&request.images);
    match fs::remove_file(logs.join(log)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OciError::file("remove the earlier log in", logs)(error))
        }
        _ => Ok(()),
    }
}
