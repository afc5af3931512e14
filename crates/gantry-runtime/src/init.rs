//! The child's side: applies a plan step by step inside the new namespaces.
//!
//! Nothing is decided here. Each step that fails ends the child with a report of the step, the
//! path and the errno.

mod command;
mod dev;
mod finish;
mod mask;
mod mounts;
mod reaper;
mod root;
mod target;

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use gantry_sys::mount;
use gantry_sys::path::Directory;
use gantry_sys::process::{self, Namespace, NamespaceSet};
use gantry_sys::{pty, signal};

use crate::error::Step;
use crate::launch::Stdio;
use crate::plan::{Plan, ProcessPlan};
use crate::protocol::{Channel, Failure, Order, Report};

pub(crate) use finish::{Streams, become_root, execute, open_terminal};

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
    /// For each mount of the plan the user namespace through which its owners are seen.
    pub id_maps: &'a [Option<OwnedFd>],
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
        id_maps,
    } = *birth;
    begin(plan.die_with_parent.then_some(parent))?;
    name_process(&format!("gantry-{:.8}", id));
    let null = match plan.init {
        true => Some(fs::File::open("/dev/null").or_fail_at(Step::Stdio, "/dev/null")?),
        false => None,
    };
    let streams = Streams::keep(stdio)?;
    let kept = id_maps.iter().flatten().map(AsFd::as_fd);
    let kept = kept.chain(null.iter().map(AsFd::as_fd));
    streams.close_others(channel, kept)?;
    if plan.namespaces.id_maps.is_some() {
        channel.wait_for(Order::Mapped).or_fail(Step::Synchronize)?;
        become_root()?;
    }
    join_namespaces(plan)?;
    own_process_files(&plan.process)?;
    let root = root::mount(&plan.root)?;
    mounts::mount_all(&root, plan, id_maps)?;
    target::make_working_directory(&root, &plan.process.cwd)?;
    if plan.fill_dev {
        dev::fill(&root, plan)?;
    }
    let terminal = match plan.terminal {
        Some(size) => Some(terminal(&root, size, plan.process.uid)?),
        None => None,
    };
    names(plan)?;
    sysctls(plan)?;
    mask::hide(&root, &plan.masked)?;
    mask::protect(&root, &plan.read_only)?;
    root::seal(&root, &plan.root)?;
    // Only now does anything depend on the parent, which had time to do its part meanwhile.
    channel.wait_for(Order::Joined).or_fail(Step::Synchronize)?;
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
    ready(channel, master)?;
    if let Some(null) = null {
        return reaper::run(birth, streams, &null);
    }
    execute(
        &plan.process,
        channel,
        streams,
        plan.die_with_parent.then_some(parent),
    )
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
        // The PID namespace was joined by the parent, for its children.
        if *kind == Namespace::Pid {
            continue;
        }
        fs::File::open(path)
            .and_then(|file| process::join(file, *kind))
            .or_fail_at(Step::JoinNamespace, path)?;
    }
    Ok(())
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
    if let Some(profile) = &plan.apparmor_profile {
        let text = format!("exec {profile}");
        let written = match fs::write("/proc/self/attr/apparmor/exec", &text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write("/proc/self/attr/exec", &text)
            }
            other => other,
        };
        written.or_fail_at(Step::SecurityLabel, profile)?;
    }
    if let Some(label) = &plan.selinux_label {
        fs::write("/proc/self/attr/exec", label).or_fail_at(Step::SecurityLabel, label)?;
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
