//! The child's side: applies a plan step by step inside the new namespaces.
//!
//! Nothing is decided here. Each step that fails ends the child with a report of the step, the
//! path and the errno.

mod command;
mod copy_up;
mod dev;
mod finish;
mod gate;
mod mask;
mod mounts;
mod procfs;
mod reaper;
mod root;
pub(crate) mod target;
pub(crate) mod toolbox;

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_sys::cgroup::{CgroupError, Entrance};
use gantry_sys::lsm;
use gantry_sys::mount;
use gantry_sys::path::Directory;
use gantry_sys::process::{self, Namespace, NamespaceSet};
use gantry_sys::{pty, signal};

use crate::error::Step;
use crate::hooks::Turn;
use crate::launch::Stdio;
use crate::plan::{Plan, ProcessPlan};
use crate::prepared::Prepared;
use crate::protocol::{Channel, Failure, Order, Report};
use crate::state::{ContainerState, Status};

pub(crate) use finish::{Streams, become_root, execute, open_terminal};
pub(crate) use mounts::part_of;

/// How an error becomes a failed step.
pub(crate) trait OrFail<T> {
    /// Fails a step.
    fn or_fail(self, step: Step) -> Result<T, Failure>;
    /// Fails a step on a path.
    fn or_fail_at(self, step: Step, path: impl AsRef<Path>) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> OrFail<T> for Result<T, E> {
    fn or_fail(self, step: Step) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step, &error.into()))
    }

    fn or_fail_at(self, step: Step, path: impl AsRef<Path>) -> Result<T, Failure> {
        self.map_err(|error| Failure::at(step, path.as_ref(), &error.into()))
    }
}

/// The same for mounts, where the kernel may have said more than an errno.
pub(crate) fn mount_failed(
    step: Step,
    path: impl AsRef<Path>,
) -> impl FnOnce(mount::MountError) -> Failure {
    move |error| Failure {
        detail: (!error.log.is_empty()).then(|| error.log.join("; ")),
        ..Failure::at(step, path.as_ref(), &error.source)
    }
}

/// The first process of a container: sets it up, waits for [`Order::Go`] and executes the command.
/// Returns the exit code of its failure.
pub(crate) fn container(birth: &Birth<'_>) -> i32 {
    let Err(failure) = set_up(birth);
    fail(birth.channel, failure)
}

/// What the first process of a container is born with.
#[derive(Debug)]
pub(crate) struct Birth<'a> {
    /// The identifier of the container.
    pub id: &'a str,
    pub plan: &'a Plan,
    pub channel: &'a Channel,
    pub stdio: &'a Stdio<'a>,
    /// The process ID of the parent, as the parent sees it.
    pub parent: i32,
    /// What the parent has mounted for it.
    pub prepared: &'a Prepared,
    /// The way into its cgroup.
    pub entrance: Option<&'a Entrance>,
    /// What hooks are told.
    pub state: &'a ContainerState,
    /// Where to wait for the one who starts the command, if that is not the parent.
    pub gate: Option<BorrowedFd<'a>>,
    /// How many descriptors from 3 on the command inherits.
    pub preserve_fds: u32,
}

/// Moves the calling process into its cgroup, if it has one of its own.
pub(crate) fn enter(entrance: Option<&Entrance>) -> Result<(), Failure> {
    entrance
        .map_or(Ok(()), Entrance::enter)
        .map_err(|error| match error {
            CgroupError::Write { path, source, .. } => Failure::at(Step::JoinCgroup, path, &source),
            other => Failure::new(Step::JoinCgroup, &io::Error::other(other)),
        })
}

/// Reports a failure, and waits for the parent to have done with this process: it may be looking
/// into it at this moment.
pub(crate) fn fail(channel: &Channel, failure: Failure) -> i32 {
    // A parent that is gone needs no report.
    if channel.report(&Report::Failed(failure), &[]).is_ok() {
        channel.wait_for_end();
    }
    1
}

fn set_up(birth: &Birth<'_>) -> Result<Infallible, Failure> {
    let Birth {
        id,
        plan,
        channel,
        stdio,
        parent,
        prepared,
        ..
    } = *birth;
    begin(plan.die_with_parent.then_some(parent))?;
    enter(birth.entrance)?;
    name_process(&format!("gantry-{:.8}", id));
    let null = match plan.init {
        true => Some(fs::File::open("/dev/null").or_fail_at(Step::Stdio, "/dev/null")?),
        false => None,
    };
    let streams = Streams::keep(stdio)?;
    let kept = prepared.copies.iter().chain([&prepared.root]);
    let kept = kept.flatten().map(AsFd::as_fd);
    let kept = kept.chain(null.iter().map(AsFd::as_fd));
    let kept = kept.chain(birth.gate);
    streams.close_others(channel, kept, birth.preserve_fds)?;
    if plan.namespaces.id_maps.is_some() {
        channel.wait_for(Order::Mapped).or_fail(Step::Synchronize)?;
        become_root()?;
    }
    if plan.namespaces.joins_users() {
        become_root()?;
    }
    join_namespaces(plan)?;
    if plan.namespaces.new_time {
        enter_new_time(&plan.time_offsets)?;
    }
    own_process_files(&plan.process)?;
    if plan.has_scope() {
        // What is mounted may be a part of it.
        channel.wait_for(Order::Placed).or_fail(Step::Synchronize)?;
    }
    let root = root::mount(&plan.root, prepared.root.as_ref())?;
    mounts::mount_all(&root, plan, &prepared.copies)?;
    target::make_working_directory(&root, &plan.process.cwd)?;
    if plan.fill_dev {
        dev::fill(&root, plan)?;
    }
    let terminal = match plan.terminal {
        Some(size) => Some(terminal(&root, size, plan.process.uid)?),
        None => None,
    };
    if plan.hooks.hold_the_root() {
        channel.wait_for(Order::Seen).or_fail(Step::Synchronize)?;
        run_creation_hooks(birth)?;
    }
    confine(&plan.process)?;
    names(plan)?;
    sysctls(plan)?;
    mask::hide(&root, &plan.masked)?;
    mask::protect(&root, &plan.read_only)?;
    root::seal(&root, &plan.root)?;
    // Only now does anything depend on the parent, which had time to do its part meanwhile.
    if !plan.hooks.hold_the_root() {
        channel.wait_for(Order::Seen).or_fail(Step::Synchronize)?;
    }
    // From here on nobody needs to look into this process any more.
    process::set_dumpable(false).or_fail(Step::Synchronize)?;
    if plan.namespaces.new_cgroup {
        let cgroup: NamespaceSet = [Namespace::Cgroup].into_iter().collect();
        cgroup.unshare().or_fail(Step::NewNamespace)?;
    }
    let (streams, master) = match terminal {
        Some(pty::Pair { master, slave, .. }) => (Streams::terminal(slave), Some(master)),
        None => (streams, None),
    };
    let parent = plan.die_with_parent.then_some(parent);
    if let Some(gate) = birth.gate {
        let prepared = finish::prepare(&plan.process, streams, parent)?;
        if let Err(report) = prepared.find_command() {
            return tell(channel, &report);
        }
        ready(channel, master)?;
        return gate::pass(gate, birth, &prepared);
    }
    ready(channel, master)?;
    if let Some(null) = null {
        return reaper::run(birth, streams, &null);
    }
    let prepared = finish::prepare(&plan.process, streams, parent)?;
    run_start_hooks(birth, channel)?;
    prepared.execute(channel)
}

/// Has the parent run the hooks of its namespaces, and runs those of the container's.
fn run_creation_hooks(birth: &Birth<'_>) -> Result<(), Failure> {
    let channel = birth.channel;
    channel
        .report(&Report::Mounted, &[])
        .and_then(|()| channel.wait_for(Order::Hooked))
        .or_fail(Step::Synchronize)?;
    let state = birth.state.at(Status::Creating, own_pid());
    match birth.plan.hooks.run(Turn::CreateContainer, &state) {
        Ok(()) => Ok(()),
        Err(error) => match tell(channel, &Report::HookFailed(error))? {},
    }
}

/// Runs the hooks just before the command, in the container.
fn run_start_hooks(birth: &Birth<'_>, channel: &Channel) -> Result<(), Failure> {
    if birth.plan.hooks.is_empty_at(Turn::StartContainer) {
        return Ok(());
    }
    let state = birth.state.at(Status::Created, own_pid());
    match birth.plan.hooks.run(Turn::StartContainer, &state) {
        Ok(()) => Ok(()),
        Err(error) => match tell(channel, &Report::HookFailed(error))? {},
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Reports why this process ends, and ends it when the parent has done with it.
fn tell(channel: &Channel, report: &Report) -> Result<Infallible, Failure> {
    if channel.report(report, &[]).is_ok() {
        channel.wait_for_end();
    }
    process::exit_now(1)
}

/// Says that everything is there, and waits until the command may execute.
pub(crate) fn ready(channel: &Channel, master: Option<OwnedFd>) -> Result<(), Failure> {
    let fds: Vec<_> = master.iter().map(AsFd::as_fd).collect();
    channel
        .report(&Report::Ready, &fds)
        .and_then(|()| channel.wait_for(Order::Go))
        .or_fail(Step::Synchronize)
}

/// What every child begins with.
pub(crate) fn begin(parent: Option<i32>) -> Result<(), Failure> {
    signal::reset().or_fail(Step::Synchronize)?;
    if let Some(parent) = parent {
        process::die_with_parent(parent).or_fail(Step::Synchronize)?;
    }
    Ok(())
}

/// Names this process for those who look at a list of processes.
pub(crate) fn name_process(name: &str) {
    // A name with a zero byte, or one the kernel does not take, is not worth failing for.
    if let Ok(name) = CString::new(name) {
        rustix::thread::set_name(&name).ok();
    }
}

fn join_namespaces(plan: &Plan) -> Result<(), Failure> {
    for (kind, path) in &plan.namespaces.join {
        // These were joined on the way here.
        if matches!(kind, Namespace::Pid | Namespace::User) {
            continue;
        }
        fs::File::open(path)
            .and_then(|file| process::join(file, *kind))
            .or_fail_at(Step::JoinNamespace, path)?;
    }
    Ok(())
}

/// Makes a time namespace, sets its clocks and enters it.
fn enter_new_time(offsets: &[String]) -> Result<(), Failure> {
    let time: NamespaceSet = [Namespace::Time].into_iter().collect();
    time.unshare().or_fail(Step::NewNamespace)?;
    if !offsets.is_empty() {
        let path = "/proc/self/timens_offsets";
        fs::write(path, offsets.join("\n")).or_fail_at(Step::NewNamespace, path)?;
    }
    let path = "/proc/self/ns/time_for_children";
    fs::File::open(path)
        .and_then(|file| process::join(file, Namespace::Time))
        .or_fail_at(Step::NewNamespace, path)
}

/// What is set through `/proc/self`, as long as that is the host's.
pub(crate) fn own_process_files(plan: &ProcessPlan) -> Result<(), Failure> {
    if let Some(score) = plan.oom_score_adj {
        let score = score.to_string();
        match fs::write("/proc/self/oom_score_adj", &score) {
            // Lowering needs a privilege that rootless callers and many hosts' roots lack.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other.or_fail_at(Step::OomScore, score)?,
        }
    }
    Ok(())
}

/// Has the command execute under the names of its document; what this process executes before is
/// under them as well. `/proc` is the host's still.
pub(crate) fn confine(plan: &ProcessPlan) -> Result<(), Failure> {
    if let Some(profile) = &plan.apparmor_profile {
        lsm::set_exec_profile(profile).or_fail_at(Step::SecurityLabel, profile)?;
    }
    if let Some(label) = &plan.selinux_label {
        lsm::set_exec_label(label).or_fail_at(Step::SecurityLabel, label)?;
    }
    Ok(())
}

fn names(plan: &Plan) -> Result<(), Failure> {
    if let Some(name) = &plan.host_name {
        rustix::system::sethostname(name.as_bytes()).or_fail_at(Step::Hostname, name)?;
    }
    if let Some(name) = &plan.domain_name {
        process::set_domain_name(name.as_ref()).or_fail_at(Step::Hostname, name)?;
    }
    Ok(())
}

/// Writes kernel parameters. They are those of this process's namespaces, whichever procfs they
/// are written through, and the host's is one that no image has touched.
fn sysctls(plan: &Plan) -> Result<(), Failure> {
    for (path, value) in &plan.sysctls {
        fs::write(Path::new("/proc/sys").join(path), value).or_fail_at(Step::Sysctl, path)?;
    }
    Ok(())
}

/// Opens a terminal of the container's own devpts and shows it as `/dev/console`.
fn terminal(root: &Directory, size: (u16, u16), uid: u32) -> Result<pty::Pair, Failure> {
    let pair = open_terminal(root, size, uid)?;
    let console = target::file(root, Path::new("/dev/console"))?;
    mount::Mount::copy_of_fd(&pair.slave, false)
        .and_then(|slave| slave.attach(&console))
        .map_err(mount_failed(Step::Terminal, "/dev/console"))?;
    Ok(pair)
}
