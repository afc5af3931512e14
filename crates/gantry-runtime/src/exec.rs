//! One more process in a running container.

use std::convert::Infallible;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use gantry_sys::capability;
use gantry_sys::cgroup::{Cgroup, Entrance};
use gantry_sys::lsm::Modules;
use gantry_sys::path::Directory;
use gantry_sys::process::{self, Fork, Namespace, NamespaceSet};
use gantry_sys::scheduling;
use gantry_sys::seccomp::Filter;
use oci_spec::runtime::Process;

use crate::cgroup::CgroupHandle;
use crate::container::{Running, fork_into};
use crate::error::{StartError, Step};
use crate::init::{self, OrFail, Streams};
use crate::launch::{OverlayRoot, Stdio};
use crate::plan::{self, Listener, ProcessPlan};
use crate::protocol::{Channel, Failure};
use crate::state::ContainerState;

/// The container a process is to join.
#[derive(Debug, Clone, Copy)]
pub struct ExecTarget<'a> {
    /// The pidfd of the container's first process.
    pub pidfd: BorrowedFd<'a>,
    /// The process ID of the container's first process, seen from the caller.
    pub pid: i32,
    /// The cgroup of the container.
    pub cgroup: Option<&'a CgroupHandle>,
    /// The seccomp filter of the container ([`crate::Created::seccomp`], `Filter::from_bytes`).
    pub seccomp: Option<&'a Filter>,
    /// Kill the process when the caller's thread dies.
    pub die_with_parent: bool,
    /// How many descriptors from 3 on the command inherits.
    pub preserve_fds: u32,
    /// Who decides about calls where the filter leaves that open, and what it is told.
    pub listening: Option<(&'a Listener, &'a ContainerState)>,
}

/// Starts `process` in all the namespaces and the cgroup of a running container, and returns when
/// its command has begun to execute or failed to. `process.terminal` is ignored in favour of
/// `stdio`.
pub fn exec(
    target: &ExecTarget<'_>,
    process: &Process,
    stdio: Stdio<'_>,
) -> Result<Running, StartError> {
    start(target, None, process, stdio)
}

/// The same with another root than the container's: `tools`, mounted in a mount namespace that
/// only the new process is in. The container's root is seen at `/container` in it, where the
/// tools must have a directory.
pub fn exec_among(
    tools: &OverlayRoot,
    target: &ExecTarget<'_>,
    process: &Process,
    stdio: Stdio<'_>,
) -> Result<Running, StartError> {
    start(target, Some(tools), process, stdio)
}

fn start(
    target: &ExecTarget<'_>,
    tools: Option<&OverlayRoot>,
    process: &Process,
    stdio: Stdio<'_>,
) -> Result<Running, StartError> {
    let mut plan = plan::process(process, capability::last_supported(), Modules::active())?;
    plan.seccomp = target.seccomp.cloned();
    let failed = |action| move |source| StartError::Parent { action, source };
    let (ours, theirs) = Channel::pair().map_err(failed("make a connection"))?;
    let mut ours = Some(ours);
    let cgroup = target.cgroup.map(CgroupHandle::open);
    let initial = plan.placement.initial_processors.take();
    let directory = cgroup
        .as_ref()
        .filter(|_| initial.is_none())
        .and_then(Cgroup::open_v2)
        .transpose()
        .map_err(failed("open the cgroup of the container"))?;
    let entrance = cgroup
        .as_ref()
        .map(|cgroup| cgroup.entrance(directory.is_some()))
        .transpose()
        .map_err(|source| StartError::Cgroup { source })?;
    let namespaces = namespaces_of(target.pid).map_err(failed("look at the container"))?;
    let parent = std::process::id().cast_signed();
    let request = Fork {
        namespaces: NamespaceSet::EMPTY,
        cgroup: directory.as_ref().map(AsFd::as_fd),
    };
    let child = || {
        // The parent's end must be the parent's alone.
        drop(ours.take());
        let joined = enter(initial.as_deref(), entrance.as_ref())
            .and_then(|()| join(target, tools, namespaces, &plan, &theirs, &stdio, parent));
        let Err(failure) = joined;
        init::fail(&theirs, failure)
    };
    let child = fork_into(target.pidfd, &request, child)
        .map_err(failed("make a process in the container's PID namespace"))?;
    drop(theirs);
    let ours = ours.expect("taken only in the child");
    Running::exec(child, &ours, target.listening)
}

/// The namespaces to join: all that differ from this process's own. Joining one's own user
/// namespace is an error, joining any other of one's own only costs time.
fn namespaces_of(pid: i32) -> std::io::Result<NamespaceSet> {
    let mut differing = NamespaceSet::EMPTY;
    for kind in Namespace::ALL {
        let name = kind.file_name();
        let own = fs::read_link(format!("/proc/self/ns/{name}"))?;
        if own != fs::read_link(format!("/proc/{pid}/ns/{name}"))? {
            differing.insert(kind);
        }
    }
    Ok(differing)
}

/// The first processors are for the way into the cgroup. The cgroup namespace must be joined from
/// inside, as the first process made it.
fn enter(processors: Option<&[u32]>, entrance: Option<&Entrance>) -> Result<(), Failure> {
    if let Some(processors) = processors {
        scheduling::set_processors(processors).or_fail(Step::Processors)?;
    }
    init::enter(entrance)
}

fn join(
    target: &ExecTarget<'_>,
    tools: Option<&OverlayRoot>,
    namespaces: NamespaceSet,
    plan: &ProcessPlan,
    channel: &Channel,
    stdio: &Stdio<'_>,
    parent: i32,
) -> Result<Infallible, Failure> {
    let parent = target.die_with_parent.then_some(parent);
    init::begin(parent)?;
    let streams = Streams::keep(stdio)?;
    streams.close_others(channel, [target.pidfd], target.preserve_fds)?;
    init::own_process_files(plan)?;
    init::confine(plan)?;
    let tools = tools.map(init::toolbox::mount).transpose()?;
    let mut now = namespaces;
    now.remove(Namespace::Pid);
    if !now.is_empty() {
        process::join_process(target.pidfd, now).or_fail(Step::JoinNamespace)?;
    }
    if namespaces.contains(Namespace::User) {
        init::become_root()?;
    }
    if let Some(tools) = tools {
        init::toolbox::enter(tools)?;
    }
    let (streams, master) = match stdio {
        Stdio::Files { .. } => (streams, None),
        Stdio::Terminal { rows, columns } => {
            let root = Directory::open("/".as_ref()).or_fail(Step::Terminal)?;
            let pair = init::open_terminal(&root, (*rows, *columns), plan.uid)?;
            (Streams::terminal(pair.slave), Some(pair.master))
        }
    };
    init::ready(channel, master)?;
    init::execute(plan, channel, streams, parent)
}
