//! Creating a container that waits for its start.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_runtime::hooks::{Hooks, Turn};
use gantry_runtime::{
    CgroupHandle, ContainerState, Created, Gate, Launch, OciOptions, RootFs, SeccompChoice,
    StartError, Status, Stdio, Systemd,
};
use gantry_sys::cgroup::CgroupError;
use gantry_sys::fd;
use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};

use crate::bundle::Bundle;
use crate::console;
use crate::container::{Container, write_atomically};
use crate::error::OciError;
use crate::process::Stat;
use crate::record::Record;
use crate::root::Root;

/// A container to create.
#[derive(Debug, Clone, Copy)]
pub struct NewContainer<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its bundle.
    pub bundle: &'a Path,
    /// The socket that the master side of its terminal is sent to.
    pub console_socket: Option<&'a Path>,
    /// Where to write the process ID of its first process.
    pub pid_file: Option<&'a Path>,
    /// How many descriptors from 3 on it inherits.
    pub preserve_fds: u32,
    /// Do not exchange the root.
    pub no_pivot: bool,
    /// Leave it the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many of those are sockets that systemd opened, which the container is told.
    pub listen_fds: u32,
    /// Go on without a cgroup where the caller may not make one.
    pub cgroup_optional: bool,
    /// The systemd that is to make the cgroup, which is otherwise made in the file system.
    pub systemd: Option<&'a Systemd>,
}

/// Creates a container; its command waits for [`start`](crate::start()).
pub fn create(root: &Root, request: &NewContainer<'_>) -> Result<(), OciError> {
    let made = make(root, request, Kind::Waiting)?;
    made.created.leave()?;
    Ok(())
}

/// What becomes of the container after its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It waits for somebody else to start it.
    Waiting,
    /// This process starts it and leaves.
    Detached,
    /// This process starts it and stays.
    Attached,
}

/// A container that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) container: Container,
    pub(crate) created: Created,
    /// The terminal, when this process is to show it.
    pub(crate) terminal: Option<OwnedFd>,
}

/// Makes a container. On failure nothing of it is left.
pub(crate) fn make(root: &Root, request: &NewContainer<'_>, kind: Kind) -> Result<Made, OciError> {
    let mut bundle = Bundle::read(request.bundle)?;
    let hooks = Hooks::of(bundle.spec.hooks().as_ref())?;
    let stdio = stdio(&bundle.spec, request.console_socket, kind)?;
    check_preserved(request.preserve_fds)?;
    name_cgroup(&mut bundle.spec, request.id, request.systemd.is_some());
    tell_of_sockets(&mut bundle.spec, request.listen_fds);
    let rootfs = bundle.rootfs()?;
    let folder = root.reserve(request.id)?;
    let mut container = Container::open(request.id, folder)?;
    container.lock()?;
    let state = ContainerState::creating(request.id, bundle.path.clone(), &bundle.spec);
    match fill(&mut container, request, &bundle, rootfs, &stdio, kind) {
        Ok((created, terminal)) => Ok(Made {
            container,
            created,
            terminal,
        }),
        Err(error) => {
            container.forget().ok();
            if !matches!(error, OciError::Plan(_)) {
                // The first failure is the one to tell.
                hooks.run_all(Turn::Poststop, &state.at(Status::Stopped, 0));
            }
            Err(error)
        }
    }
}

fn fill(
    container: &mut Container,
    request: &NewContainer<'_>,
    bundle: &Bundle,
    rootfs: PathBuf,
    stdio: &StdioChoice,
    kind: Kind,
) -> Result<(Created, Option<OwnedFd>), OciError> {
    container.keep_config(&bundle.bytes)?;
    let gate = match kind {
        Kind::Waiting => Some(container.make_gate()?),
        Kind::Detached | Kind::Attached => None,
    };
    let mut created = launch(request, bundle, &rootfs, stdio, gate.as_ref())?;
    // What is inherited is the container's and nobody else's, hooks included.
    fd::close_on_exec_from(3).map_err(OciError::system("keep descriptors from other programs"))?;
    let mut terminal = created.take_terminal();
    if let Some(socket) = request.console_socket
        && let Some(master) = terminal.take()
    {
        console::send(socket, &master)?;
    }
    let (pid, cgroup) = (created.pid(), created.cgroup());
    container.remember(record(request.id, bundle, rootfs, pid, cgroup)?)?;
    if let Some(file) = request.pid_file {
        write_atomically(file, created.pid().to_string().as_bytes(), 0o644)?;
    }
    Ok((created, terminal))
}

fn launch(
    request: &NewContainer<'_>,
    bundle: &Bundle,
    rootfs: &Path,
    stdio: &StdioChoice,
    gate: Option<&OwnedFd>,
) -> Result<Created, OciError> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let mut spec = bundle.spec.clone();
    loop {
        let launch = Launch {
            id: request.id,
            spec: &spec,
            rootfs: RootFs::Directory(rootfs.to_owned()),
            stdio: match *stdio {
                StdioChoice::Inherited => Stdio::Files {
                    stdin: stdin.as_fd(),
                    stdout: stdout.as_fd(),
                    stderr: stderr.as_fd(),
                },
                StdioChoice::Terminal { rows, columns } => Stdio::Terminal { rows, columns },
            },
            seccomp: SeccompChoice::Document,
            init: false,
            die_with_parent: false,
            strict_rlimits: true,
            oci: OciOptions {
                gate: gate.map_or(Gate::Creator, |gate| Gate::Socket(gate.as_fd())),
                bundle: Some(&bundle.path),
                preserve_fds: request.preserve_fds,
                no_pivot: request.no_pivot,
                keep_keyring: request.no_new_keyring,
                systemd: request.systemd,
            },
        };
        match gantry_runtime::create(&launch, |_| Ok::<(), io::Error>(())) {
            Err(error) if request.cgroup_optional && may_not_make_cgroups(&error) => {
                let mut linux = spec.linux().clone().unwrap_or_default();
                if linux.cgroups_path().is_none() {
                    return Err(error.into());
                }
                linux.set_cgroups_path(None).set_resources(None);
                spec.set_linux(Some(linux));
            }
            other => return Ok(other?),
        }
    }
}

/// Whether it is only the privilege to make cgroups that is missing.
fn may_not_make_cgroups(error: &StartError) -> bool {
    let StartError::Cgroup { source } = error else {
        return false;
    };
    match source {
        CgroupError::NotMounted => true,
        CgroupError::Io { source, .. } | CgroupError::Write { source, .. } => matches!(
            source.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
        ),
        _ => false,
    }
}

/// What the process reads from and writes to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StdioChoice {
    Inherited,
    Terminal { rows: u16, columns: u16 },
}

pub(crate) fn stdio(
    spec: &Spec,
    socket: Option<&Path>,
    kind: Kind,
) -> Result<StdioChoice, OciError> {
    let process = spec.process().as_ref();
    let terminal = process
        .and_then(|process| process.terminal())
        .unwrap_or(false);
    let contradiction = |reason| Err(OciError::Contradiction { reason });
    if !terminal {
        if socket.is_some() {
            return contradiction(
                "cannot use console socket if the container has no terminal (process.terminal)",
            );
        }
        return Ok(StdioChoice::Inherited);
    }
    if socket.is_none() && kind != Kind::Attached {
        return contradiction(
            "cannot allocate a terminal if the runtime will detach without setting console socket",
        );
    }
    let size = process.and_then(|process| process.console_size());
    let part = |part: u64| u16::try_from(part).unwrap_or(u16::MAX);
    Ok(StdioChoice::Terminal {
        rows: size.map_or(0, |size| part(size.height())),
        columns: size.map_or(0, |size| part(size.width())),
    })
}

/// A number that is not open would be taken by a file of this process.
pub(crate) fn check_preserved(count: u32) -> Result<(), OciError> {
    for number in 3..count.saturating_add(3) {
        if !Path::new(&format!("/proc/self/fd/{number}")).exists() {
            return Err(OciError::File {
                action: "preserve the descriptor, which is not open,",
                path: number.to_string().into(),
                source: io::Error::from_raw_os_error(rustix::io::Errno::BADF.raw_os_error()),
            });
        }
    }
    Ok(())
}

/// Tells the command of the sockets that systemd opened for it (sd_listen_fds(3)).
fn tell_of_sockets(spec: &mut Spec, count: u32) {
    if let (1.., Some(process)) = (count, spec.process_mut()) {
        let mut environment = process.env().clone().unwrap_or_default();
        environment.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
        process.set_env(Some(environment));
    }
}

/// Gives the container a cgroup of its own when the document names none.
pub(crate) fn name_cgroup(spec: &mut Spec, id: &str, systemd: bool) {
    let Some(linux) = spec.linux_mut() else {
        return;
    };
    let named = linux.cgroups_path().as_ref();
    if named.is_none_or(|path| path.as_os_str().is_empty()) {
        let path = match systemd {
            true => format!(":gantry-runtime:{id}"),
            false => format!("/gantry-runtime-{id}"),
        };
        linux.set_cgroups_path(Some(path.into()));
    }
}

/// What is remembered of a container whose first process is `pid`.
pub(crate) fn record(
    id: &str,
    bundle: &Bundle,
    rootfs: PathBuf,
    pid: i32,
    cgroup: Option<&CgroupHandle>,
) -> Result<Record, OciError> {
    let state = ContainerState::creating(id, bundle.path.clone(), &bundle.spec);
    let gone = || OciError::NotRunning {
        id: id.to_owned(),
        action: "create",
    };
    Ok(Record {
        state: state.at(Status::Created, pid),
        start_time: Stat::of(pid).ok_or_else(gone)?.start_time,
        rootfs,
        created: jiff::Timestamp::now().to_string(),
        owner: rustix::process::geteuid().as_raw(),
        cgroup: cgroup.cloned(),
        resource_group: None,
        own_pids: bundle.spec.linux().as_ref().is_some_and(has_own_pids),
    })
}

pub(crate) fn has_own_pids(linux: &Linux) -> bool {
    let own = |namespace: &oci_spec::runtime::LinuxNamespace| {
        namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none()
    };
    linux.namespaces().iter().flatten().any(own)
}
