//! The life of a container: created, running, ended.

mod running;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_sys::cgroup::{Cgroup, CgroupError, Layout};
use gantry_sys::process::{self, Exit, Fork, IdMapping, Namespace, Process};
use gantry_sys::seccomp::Filter;
use rustix::fs::FileType;

use crate::cgroup::CgroupHandle;
use crate::error::{PlanError, PrepareError, StartError};
use crate::hooks::{Hooks, Turn};
use crate::init;
use crate::launch::{Gate, Launch, Namespaces, Stdio};
use crate::listener::Listening;
use crate::net_devices;
use crate::observe::observe;
use crate::plan::{self, CgroupPlan, IdMaps, Listener, NamespacePlan, Plan};
use crate::prepared::Prepared;
use crate::protocol::{Channel, Order, Report};
use crate::start::await_end;
use crate::state::{ContainerState, Status};
use crate::unit::Talk;

pub use running::Running;

/// Makes the namespaces, the cgroup and the root file system of a container, and stops just before
/// its command. `prepare` runs once, while the child is already mounting: the place for setting up
/// the network.
pub fn create<E: Into<PrepareError>>(
    launch: &Launch<'_>,
    prepare: impl FnOnce(&Namespaces<'_>) -> Result<(), E>,
) -> Result<Created, StartError> {
    let mut observed = observe();
    let mut systemd = launch.oci.systemd.map(Talk::begin).transpose()?;
    observed.units = systemd.as_ref().map(|talk| talk.place().clone());
    let plan = plan::plan(launch, &observed)?;
    let cgroup = make_cgroup(plan.cgroup.as_ref(), observed.cgroups.as_ref())?;
    let mut created = match fork(launch, &plan, cgroup.as_ref()) {
        Ok(created) => created,
        Err(error) => {
            if let Some(cgroup) = cgroup {
                cgroup.remove();
            }
            return Err(error);
        }
    };
    if let Some(maps) = &plan.namespaces.id_maps {
        give_streams(&launch.stdio, maps);
    }
    // From here on dropping `created` undoes everything.
    if plan.namespaces.joins_users() {
        let maps = joined_maps(&created, &plan.namespaces)?;
        give_streams(&launch.stdio, &maps);
    }
    let (process, channel) = created.parts();
    let network = match &plan.namespaces.id_maps {
        Some(maps) => process::write_id_maps(process.pid(), &maps.uids, &maps.gids)
            .map_err(parent_failed("map the IDs of the user namespace"))
            .and_then(|()| tell(channel, Order::Mapped))
            .and_then(|()| network_namespace(process, &plan.namespaces)),
        None => network_namespace(process, &plan.namespaces),
    };
    let pid = process.pid();
    if let (Some(talk), Some(wanted), Some(layout)) =
        (&mut systemd, &plan.cgroup, &observed.cgroups)
        && let Some(scope) = &wanted.scope
    {
        created.place(talk.start(scope, layout, &wanted.settings, pid)?);
        tell(created.parts().1, Order::Placed)?;
    }
    drop(systemd);
    let (process, channel) = created.parts();
    // Before it is answered, the child has nothing to tell but its failure; and then it needs no
    // network any more.
    let failed = channel.has_report();
    // Even if this side has failed, the child's report may say more.
    tell(channel, Order::Seen).ok();
    let prepared = network.and_then(|network| {
        if failed {
            return Ok(());
        }
        net_devices::move_all(&plan.net_devices, network.as_fd())?;
        let namespaces = Namespaces {
            pid: process.pid(),
            network: network.as_fd(),
        };
        prepare(&namespaces).map_err(|error| StartError::Prepare {
            source: error.into(),
        })
    });
    let prepared = prepared.and_then(|()| match plan.hooks.hold_the_root() && !failed {
        true => run_runtime_hooks(&created, &plan, launch),
        false => Ok(()),
    });
    created.expect_ready(prepared)?;
    created.seccomp = plan.process.seccomp;
    created.hooks = plan.hooks;
    created.listener = plan.listener;
    Ok(created)
}

/// Runs the hooks of the caller's namespaces while the child waits with everything mounted.
fn run_runtime_hooks(
    created: &Created,
    plan: &Plan,
    launch: &Launch<'_>,
) -> Result<(), StartError> {
    let (process, channel) = created.parts();
    match next_report(channel, process)?.0 {
        Report::Mounted => {}
        other => return Err(failure(other)),
    }
    let state = state(launch).at(Status::Creating, process.pid());
    plan.hooks.run(Turn::Prestart, &state)?;
    plan.hooks.run(Turn::CreateRuntime, &state)?;
    tell(channel, Order::Hooked)
}

/// What hooks are told about the container.
fn state(launch: &Launch<'_>) -> ContainerState {
    let bundle = launch.oci.bundle.unwrap_or(Path::new(""));
    ContainerState::creating(launch.id, bundle.to_owned(), launch.spec)
}

fn parent_failed(action: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Parent { action, source }
}

pub(crate) fn make_cgroup(
    wanted: Option<&CgroupPlan>,
    layout: Option<&Layout>,
) -> Result<Option<Cgroup>, StartError> {
    // A scope of systemd's needs the process first.
    let Some(wanted) = wanted.filter(|wanted| wanted.scope.is_none()) else {
        return Ok(None);
    };
    let failed = |source| StartError::Cgroup { source };
    let layout = layout.ok_or_else(|| failed(CgroupError::NotMounted))?;
    Cgroup::create(layout, &wanted.path, &wanted.settings)
        .map(Some)
        .map_err(failed)
}

/// The users of a namespace that was joined, which are those that the document says it has, if it
/// says so.
fn joined_maps(created: &Created, plan: &NamespacePlan) -> Result<IdMaps, StartError> {
    let (uids, gids) = process::id_maps(Some(created.pid()))
        .map_err(parent_failed("read the IDs of the user namespace"))?;
    let maps = IdMaps { uids, gids };
    match &plan.expected_maps {
        Some(expected) if *expected != maps => Err(PlanError::Invalid {
            field: "linux.uidMappings and gidMappings",
            value: format!("{expected:?}"),
            reason: "are not those of the user namespace that is joined",
        }
        .into()),
        _ => Ok(maps),
    }
}

/// Gives pipes to the container's root, who cannot open `/dev/stdout` otherwise. Only whoever may
/// give files away can, and nothing else depends on it.
fn give_streams(stdio: &Stdio<'_>, maps: &IdMaps) {
    let root = |ids: &[IdMapping]| {
        ids.iter()
            .find(|ids| ids.inside == 0)
            .map(|ids| ids.outside)
    };
    let Stdio::Files {
        stdin,
        stdout,
        stderr,
    } = stdio
    else {
        return;
    };
    let uid = root(&maps.uids).map(rustix::fs::Uid::from_raw);
    let gid = root(&maps.gids).map(rustix::fs::Gid::from_raw);
    for file in [stdin, stdout, stderr] {
        let kind = rustix::fs::fstat(file).map(|stat| FileType::from_raw_mode(stat.st_mode));
        if kind == Ok(FileType::Fifo) {
            rustix::fs::fchown(file, uid, gid).ok();
        }
    }
}

/// Makes the child, which begins at once.
fn fork(launch: &Launch<'_>, plan: &Plan, cgroup: Option<&Cgroup>) -> Result<Created, StartError> {
    let failed = parent_failed("make the process of the container");
    let (ours, theirs) = Channel::pair().map_err(&failed)?;
    let mut ours = Some(ours);
    let prepared = Prepared::make(plan)?;
    let directory = cgroup
        .and_then(Cgroup::open_v2)
        .transpose()
        .map_err(parent_failed("open the cgroup"))?;
    let entrance = cgroup
        .map(|cgroup| cgroup.entrance(directory.is_some()))
        .transpose()
        .map_err(|source| StartError::Cgroup { source })?;
    let open = |kind| plan.namespaces.join_path(kind).map(File::open).transpose();
    let joined = open(Namespace::Pid).map_err(parent_failed("open the PID namespace"))?;
    let users = open(Namespace::User).map_err(parent_failed("open the user namespace"))?;
    let request = Fork {
        namespaces: plan.namespaces.new,
        cgroup: directory.as_ref().map(AsFd::as_fd),
    };
    let birth = init::Birth {
        id: launch.id,
        state: &state(launch),
        gate: match launch.oci.gate {
            Gate::Creator => None,
            Gate::Socket(socket) => Some(socket),
        },
        preserve_fds: launch.oci.preserve_fds,
        plan,
        channel: &theirs,
        stdio: &launch.stdio,
        parent: std::process::id().cast_signed(),
        prepared: &prepared,
        entrance: entrance.as_ref(),
    };
    let child = || {
        // The parent's end must be the parent's alone.
        drop(ours.take());
        init::container(&birth)
    };
    let process = match (&users, &joined) {
        (Some(users), joined) => {
            // The user namespace first: it decides what may be done about the other.
            let users = (users.as_fd(), Namespace::User);
            let joined = joined
                .as_ref()
                .map(|joined| (joined.as_fd(), Namespace::Pid));
            let all: Vec<_> = std::iter::once(users).chain(joined).collect();
            request.run_inside(&all, child)
        }
        (None, Some(namespace)) => fork_into(namespace, &request, child),
        (None, None) => request.run(child),
    };
    let process = process.map_err(failed)?;
    drop(theirs);
    Ok(Created {
        inner: Some(Inner {
            process,
            channel: ours.expect("taken only in the child"),
            terminal: None,
            cgroup: cgroup.map(CgroupHandle::of),
        }),
        seccomp: None,
        hooks: Hooks::default(),
        listener: None,
        state: state(launch),
    })
}

/// Makes a child that begins in another PID namespace.
pub(crate) fn fork_into(
    namespace: impl AsFd,
    request: &Fork<'_>,
    child: impl FnOnce() -> i32,
) -> io::Result<Process> {
    if process::is_in_initial_user_namespace() {
        let joined = JoinedPid::enter(namespace)?;
        let made = request.run(child);
        drop(joined);
        return made;
    }
    // There is no way back from here, and who is not in a namespace of its own cannot make
    // another: it could not start its container again.
    request.run_inside(&[(namespace.as_fd(), Namespace::Pid)], child)
}

/// As long as it lives, children begin in another PID namespace; and nobody there may look into
/// them, which are copies of this process.
struct JoinedPid {
    own: File,
    was_dumpable: bool,
}

impl JoinedPid {
    fn enter(namespace: impl AsFd) -> io::Result<JoinedPid> {
        let own = File::open("/proc/self/ns/pid")?;
        let was_dumpable = process::is_dumpable()?;
        process::set_dumpable(false)?;
        let joined = JoinedPid { own, was_dumpable };
        process::join(namespace, Namespace::Pid)?;
        Ok(joined)
    }
}

impl Drop for JoinedPid {
    fn drop(&mut self) {
        // Going back to one's own namespace needs no more privilege than leaving it did.
        process::join(&self.own, Namespace::Pid).ok();
        process::set_dumpable(self.was_dumpable).ok();
    }
}

fn tell(channel: &Channel, order: Order) -> Result<(), StartError> {
    channel
        .order(order)
        .map_err(parent_failed("talk to the container's first process"))
}

/// The network namespace the container will run in.
fn network_namespace(process: &Process, plan: &NamespacePlan) -> Result<File, StartError> {
    let file = match plan.join_path(Namespace::Network) {
        Some(path) => File::open(path),
        None => File::open(format!("/proc/{}/ns/net", process.pid())),
    };
    file.map_err(parent_failed("open the network namespace"))
}

#[derive(Debug)]
struct Inner {
    process: Process,
    channel: Channel,
    terminal: Option<OwnedFd>,
    cgroup: Option<CgroupHandle>,
}

/// A container whose command waits to be executed. Dropping it kills and reaps it and removes its
/// cgroup.
#[derive(Debug)]
pub struct Created {
    /// `None` only after [`Created::start`].
    inner: Option<Inner>,
    seccomp: Option<Filter>,
    hooks: Hooks,
    listener: Option<Listener>,
    state: ContainerState,
}

impl Created {
    fn inner(&self) -> &Inner {
        self.inner.as_ref().expect("start consumes the container")
    }

    fn parts(&self) -> (&Process, &Channel) {
        let inner = self.inner();
        (&inner.process, &inner.channel)
    }

    /// It is in this cgroup now.
    fn place(&mut self, cgroup: CgroupHandle) {
        let inner = self.inner.as_mut().expect("start consumes the container");
        inner.cgroup = Some(cgroup);
    }

    /// The process ID of the container's first process, seen from the caller.
    pub fn pid(&self) -> i32 {
        self.inner().process.pid()
    }

    /// The pidfd of the container's first process.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.inner().process.as_fd()
    }

    /// The cgroup of the container, when it has one of its own.
    pub fn cgroup(&self) -> Option<&CgroupHandle> {
        self.inner().cgroup.as_ref()
    }

    /// The compiled seccomp filter of the container, for later [`exec()`](crate::exec())s.
    pub fn seccomp(&self) -> Option<&Filter> {
        self.seccomp.as_ref()
    }

    /// Takes the master side of the terminal.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.inner.as_mut()?.terminal.take()
    }

    /// Waits until the child has everything ready. Of two failures the child's comes first, unless
    /// it is only that this side has gone.
    fn expect_ready(&mut self, prepared: Result<(), StartError>) -> Result<(), StartError> {
        prepared?;
        let Some(inner) = &mut self.inner else {
            return Ok(());
        };
        let (report, terminal) = next_report(&inner.channel, &inner.process)?;
        match report {
            Report::Ready => {
                inner.terminal = terminal;
                Ok(())
            }
            other => Err(failure(other)),
        }
    }

    /// Lets the command execute, and returns when it has begun or failed to.
    pub fn start(mut self) -> Result<Running, StartError> {
        let (process, channel) = self.parts();
        tell(channel, Order::Go)?;
        let state = self.state.at(Status::Running, process.pid());
        let listening = self.listener.as_ref().map(|listener| Listening {
            listener,
            state: &state,
            pid: process.pid(),
        });
        await_execution(channel, process, listening.as_ref())?;
        // On failure dropping `self` ends the container.
        self.hooks.run(Turn::Poststart, &state)?;
        let inner = self.inner.take().expect("start consumes the container");
        Ok(Running {
            process: inner.process,
            terminal: inner.terminal,
            cgroup: inner.cgroup,
            last: Some((std::mem::take(&mut self.hooks), state)),
        })
    }
}

impl Created {
    /// Leaves the container waiting at its [`Gate::Socket`], without a parent; says its process ID
    /// and its cgroup.
    pub fn leave(mut self) -> Result<(i32, Option<CgroupHandle>), StartError> {
        let (_, channel) = self.parts();
        tell(channel, Order::Go)?;
        let inner = self.inner.take().expect("leave consumes the container");
        Ok((inner.process.pid(), inner.cgroup))
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        // Nothing can be told from here; what stays shows in the next check of the system.
        inner.process.signal(KILL).ok();
        inner.process.wait().ok();
        if let Some(cgroup) = &inner.cgroup {
            cgroup.remove();
        }
    }
}

const KILL: i32 = rustix::process::Signal::KILL.as_raw();

/// The next report of a child that must not end yet.
fn next_report(
    channel: &Channel,
    process: &Process,
) -> Result<(Report, Option<OwnedFd>), StartError> {
    let report = channel
        .next_report()
        .map_err(parent_failed("hear from the container's first process"))?;
    report.ok_or_else(|| ended(process))
}

/// What became of a child that said nothing. It is killed, so that this never waits long.
fn ended(process: &Process) -> StartError {
    process.signal(KILL).ok();
    let ended = match process.wait() {
        Ok(Exit::Code(code)) => format!("it exited with code {code}"),
        Ok(Exit::Signal { signal, .. }) => {
            let name = gantry_sys::signal::name(signal).unwrap_or_else(|| signal.to_string());
            format!("it was ended by {name}")
        }
        Err(error) => error.to_string(),
    };
    StartError::ChildEnded { ended }
}

/// What the child says has failed.
pub(crate) fn failure(report: Report) -> StartError {
    match report {
        Report::Failed(failure) => failure.into(),
        Report::CommandNotFound { command, reason } => {
            StartError::CommandNotFound { command, reason }
        }
        Report::CannotInvoke { command, reason } => StartError::CannotInvoke { command, reason },
        Report::HookFailed(error) => StartError::Hook(error),
        Report::Ready | Report::Mounted | Report::Listening | Report::Executing => {
            StartError::ChildEnded {
                ended: "it spoke out of turn".to_owned(),
            }
        }
    }
}

/// Waits until the command has begun to execute, or has failed to.
fn await_execution(
    channel: &Channel,
    process: &Process,
    listening: Option<&Listening<'_>>,
) -> Result<(), StartError> {
    match next_report(channel, process)?.0 {
        Report::Executing => {}
        other => return Err(failure(other)),
    }
    await_end(channel, listening)
}
