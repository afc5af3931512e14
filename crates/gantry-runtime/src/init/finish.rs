//! The last steps, which a container's first process and an exec'd one have in common: streams,
//! limits, directory, user, capabilities, seccomp, and the command itself.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_sys::capability::{self, Capability, Set};
use gantry_sys::path::Directory;
use gantry_sys::process;
use gantry_sys::seccomp::Filter;
use gantry_sys::{devices, fd, pty, rlimit, scheduling};
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};

use super::OrFail;
use super::command::Command;
use crate::error::Step;
use crate::launch::Stdio;
use crate::plan::{Placement, ProcessPlan};
use crate::protocol::{Channel, Failure, Report};

/// The standard streams, waiting to be put into their places.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Three files.
    Files([OwnedFd; 3]),
    /// A terminal's slave side.
    Terminal(OwnedFd),
    /// A terminal that is still to be opened.
    Later,
}

impl Streams {
    /// Keeps the caller's files out of the way of the numbers they will get.
    pub(crate) fn keep(stdio: &Stdio<'_>) -> Result<Streams, Failure> {
        match stdio {
            Stdio::Terminal { .. } => Ok(Streams::Later),
            Stdio::Files {
                stdin,
                stdout,
                stderr,
            } => {
                let keep = |file| fd::duplicate_above(file, 3).or_fail(Step::Stdio);
                Ok(Streams::Files([keep(stdin)?, keep(stdout)?, keep(stderr)?]))
            }
        }
    }

    /// Closes every file but these, the connection to the parent, `others` and the first
    /// `preserved` ones after the standard streams: what else this process has inherited is the caller's own and must not come near the container.
    pub(crate) fn close_others<'a>(
        &'a self,
        channel: &'a Channel,
        others: impl IntoIterator<Item = BorrowedFd<'a>>,
        preserved: u32,
    ) -> Result<(), Failure> {
        let mut keep: Vec<BorrowedFd<'a>> = others.into_iter().collect();
        keep.push(channel.as_fd());
        match self {
            Streams::Files(files) => keep.extend(files.iter().map(AsFd::as_fd)),
            Streams::Terminal(slave) => keep.push(slave.as_fd()),
            Streams::Later => {}
        }
        process::close_everything_from(3 + preserved, &keep).or_fail(Step::Synchronize)
    }

    /// A terminal.
    pub(crate) fn terminal(slave: OwnedFd) -> Streams {
        Streams::Terminal(slave)
    }

    /// Starts a session and puts the streams into their places.
    fn install(self, uid: u32) -> Result<(), Failure> {
        rustix::process::setsid().or_fail(Step::Session)?;
        let files: Vec<OwnedFd> = match self {
            Streams::Later => return Ok(()),
            Streams::Terminal(slave) => {
                rustix::process::ioctl_tiocsctty(&slave).or_fail(Step::Terminal)?;
                let second = slave.try_clone().or_fail(Step::Stdio)?;
                let third = slave.try_clone().or_fail(Step::Stdio)?;
                vec![slave, second, third]
            }
            Streams::Files(files) => {
                let files = files.map(|file| own_null(&file).unwrap_or(file));
                files.iter().try_for_each(|file| give_to(file, uid))?;
                files.into()
            }
        };
        for (number, file) in (0..).zip(files) {
            fd::replace_standard(&file, number).or_fail(Step::Stdio)?;
        }
        Ok(())
    }
}

/// The container's own null device in place of the host's, which cannot be found again from inside:
/// neither by its path nor by who writes the container to disk.
fn own_null(file: &OwnedFd) -> Option<OwnedFd> {
    let is_null =
        |file: &OwnedFd| rustix::fs::fstat(file).is_ok_and(|stat| devices::is_null(&stat));
    if !is_null(file) {
        return None;
    }
    let access = rustix::fs::fcntl_getfl(file).ok()? & OFlags::ACCMODE;
    // What lies there may be a pipe that nobody writes to.
    let flags = access | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    // An image without one keeps the host's.
    let own = rustix::fs::open("/dev/null", flags, Mode::empty()).ok()?;
    let plain = is_null(&own) && fd::set_nonblocking(&own, false).is_ok();
    plain.then_some(own)
}

/// Gives a pipe to the user of the process, so that it can open `/dev/stdout`.
fn give_to(file: &OwnedFd, uid: u32) -> Result<(), Failure> {
    let stat = rustix::fs::fstat(file).or_fail(Step::Stdio)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && stat.st_uid != uid {
        // It may belong to a user that this namespace does not know; then it stays as it is.
        rustix::fs::fchown(file, Some(Uid::from_raw(uid)), None).ok();
    }
    Ok(())
}

/// Opens a terminal of the devpts at `/dev/pts` inside `root`, gives it a size and an owner.
pub(crate) fn open_terminal(
    root: &Directory,
    (rows, columns): (u16, u16),
    uid: u32,
) -> Result<pty::Pair, Failure> {
    let at = "/dev/pts";
    let devpts = root
        .open_in_root(at, OFlags::PATH | OFlags::DIRECTORY, 0)
        .or_fail_at(Step::Terminal, at)?;
    let pair = pty::open(&devpts).or_fail_at(Step::Terminal, at)?;
    if rows != 0 || columns != 0 {
        pty::set_size(&pair.master, rows, columns).or_fail_at(Step::Terminal, at)?;
    }
    if uid != 0 {
        rustix::fs::fchown(&pair.slave, Some(Uid::from_raw(uid)), None)
            .or_fail_at(Step::Terminal, at)?;
    }
    Ok(pair)
}

/// Becomes root of a user namespace this process has just entered.
pub(crate) fn become_root() -> Result<(), Failure> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    // A namespace that was made without the privilege to change groups keeps those it has.
    match rustix::thread::set_thread_groups(&[]) {
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(errno) => return Err(errno).or_fail(Step::BecomeRoot),
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid).or_fail(Step::BecomeRoot)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).or_fail(Step::BecomeRoot)
}

/// Takes the last steps and executes the command.
pub(crate) fn execute(
    plan: &ProcessPlan,
    channel: &Channel,
    streams: Streams,
    parent: Option<i32>,
) -> Result<Infallible, Failure> {
    prepare(plan, streams, parent)?.execute(channel)
}

/// Takes every step that can be taken before the command may execute.
pub(crate) fn prepare(
    plan: &ProcessPlan,
    streams: Streams,
    parent: Option<i32>,
) -> Result<Prepared<'_>, Failure> {
    streams.install(plan.uid)?;
    if !plan.keep_keyring {
        leave_keyrings()?;
    }
    limits(plan)?;
    if let Some(persona) = plan.personality {
        process::set_personality(persona).or_fail(Step::Personality)?;
    }
    place(&plan.placement)?;
    rustix::process::umask(Mode::from_raw_mode(plan.umask));
    let command = Command::new(plan);
    // Root may enter where the user may not, or the other way round.
    let entered = enter(&plan.cwd);
    let own = capability::permitted().or_fail(Step::Capabilities)?;
    capability::limit_bounding(plan.capabilities.bounding).or_fail(Step::Capabilities)?;
    switch_user(plan)?;
    if entered.is_err() {
        enter(&plan.cwd)?;
    }
    if plan.no_new_privileges {
        rustix::thread::set_no_new_privs(true).or_fail(Step::NoNewPrivileges)?;
    }
    // A change of the user takes the order to die with the parent away.
    if let Some(parent) = parent {
        process::die_with_parent(parent).or_fail(Step::Synchronize)?;
    }
    Prepared::new(plan, command, own)
}

/// Leaves the session keyring of whoever started the container: its keys are not the container's.
pub(super) fn leave_keyrings() -> Result<(), Failure> {
    match process::new_session_keyring() {
        // A kernel without keys has none to show, and where a filter forbids the call the
        // container has that filter, too.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other.or_fail(Step::Keyring),
    }
}

/// Settles when and where the process runs.
fn place(placement: &Placement) -> Result<(), Failure> {
    if let Some(wanted) = &placement.scheduling {
        scheduling::set_scheduling(wanted).or_fail(Step::Scheduling)?;
    }
    if let Some((class, level)) = placement.io_priority {
        scheduling::set_io_priority(class, level).or_fail(Step::IoPriority)?;
    }
    if let Some((mode, nodes)) = &placement.memory {
        scheduling::set_memory_policy(*mode, nodes).or_fail(Step::MemoryPolicy)?;
    }
    if let Some(processors) = &placement.final_processors {
        scheduling::set_processors(processors).or_fail(Step::Processors)?;
    }
    Ok(())
}

fn limits(plan: &ProcessPlan) -> Result<(), Failure> {
    for limit in &plan.rlimits {
        match rlimit::set(limit) {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied && !plan.strict_rlimits => {}
            other => other.or_fail_at(Step::Rlimit, limit.resource)?,
        }
    }
    Ok(())
}

/// Enters the working directory, which must lie inside the root: a descriptor of the host's that
/// slipped in could lead out (CVE-2024-21626).
fn enter(path: &Path) -> Result<(), Failure> {
    rustix::process::chdir(path).or_fail_at(Step::Chdir, path)?;
    let now = rustix::process::getcwd(Vec::new()).or_fail_at(Step::Chdir, path)?;
    // The kernel writes "(unreachable)" before a directory outside the root.
    if now.as_bytes().first() != Some(&b'/') {
        return Err(rustix::io::Errno::NOENT).or_fail_at(Step::Chdir, path);
    }
    Ok(())
}

pub(super) fn switch_user(plan: &ProcessPlan) -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    let groups: Vec<Gid> = plan.groups.iter().copied().map(Gid::from_raw).collect();
    let name = || format!("{}:{}", plan.uid, plan.gid);
    capability::keep_across_user_change(true).or_fail(Step::Capabilities)?;
    match rustix::thread::set_thread_groups(&groups) {
        // There is nothing to give up, and it may be forbidden.
        Err(rustix::io::Errno::PERM) if groups.is_empty() => {}
        other => other.or_fail_at(Step::User, name())?,
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid).or_fail_at(Step::User, name())?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).or_fail_at(Step::User, name())?;
    capability::keep_across_user_change(false).or_fail(Step::Capabilities)
}

/// A process that only has its command to execute any more.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    command: Command<'a>,
    filter: Option<&'a Filter>,
    /// The sets to take when the filter is loaded, where loading it needs more than they hold.
    after_filter: Option<[Set; 3]>,
}

impl<'a> Prepared<'a> {
    /// Sets the capabilities; those that loading the seccomp filter needs are kept until then.
    fn new(plan: &'a ProcessPlan, command: Command<'a>, own: Set) -> Result<Self, Failure> {
        // What this process does not have it cannot give.
        let wanted = &plan.capabilities;
        let permitted = wanted.permitted.intersection(own);
        let effective = wanted.effective.intersection(permitted);
        let inheritable = wanted.inheritable.intersection(own);
        let ambient = wanted
            .ambient
            .intersection(permitted)
            .intersection(inheritable);
        // Without no_new_privs, loading a filter needs a capability that the command may not have.
        let mut loader = Set::EMPTY;
        if plan.seccomp.is_some() && !plan.no_new_privileges && own.contains(Capability::SYS_ADMIN)
        {
            loader.insert(Capability::SYS_ADMIN);
        }
        let failed = Step::Capabilities;
        capability::set(
            effective.union(loader),
            permitted.union(loader),
            inheritable,
        )
        .or_fail(failed)?;
        capability::set_ambient(ambient).or_fail(failed)?;
        Ok(Prepared {
            command,
            filter: plan.seccomp.as_ref(),
            after_filter: (!loader.is_empty()).then_some([effective, permitted, inheritable]),
        })
    }

    /// Whether the command is there to be executed; what to tell if it is not.
    pub(crate) fn find_command(&self) -> Result<(), Report> {
        self.command.find()
    }

    /// Loads the seccomp filter and executes the command.
    pub(crate) fn execute(&self, channel: &Channel) -> Result<Infallible, Failure> {
        channel
            .report(&Report::Executing, &[])
            .or_fail(Step::Synchronize)?;
        if let Some(filter) = self.filter {
            if filter.listens() {
                let listener = filter.load_listening().or_fail(Step::Seccomp)?;
                channel
                    .report(&Report::Listening, &[listener.as_fd()])
                    .or_fail(Step::Seccomp)?;
            } else {
                filter.load().or_fail(Step::Seccomp)?;
            }
        }
        if let Some([effective, permitted, inheritable]) = self.after_filter {
            capability::set(effective, permitted, inheritable).or_fail(Step::Capabilities)?;
        }
        channel.report(&self.command.execute(), &[]).ok();
        process::exit_now(127)
    }
}

/// Gives up what the command of the container does not have: for a process of ours that stays.
pub(super) fn lower(plan: &ProcessPlan) -> Result<(), Failure> {
    let own = capability::permitted().or_fail(Step::Capabilities)?;
    capability::limit_bounding(plan.capabilities.bounding).or_fail(Step::Capabilities)?;
    switch_user(plan)?;
    let permitted = plan.capabilities.permitted.intersection(own);
    let effective = plan.capabilities.effective.intersection(permitted);
    capability::set(effective, permitted, Set::EMPTY).or_fail(Step::Capabilities)?;
    rustix::thread::set_no_new_privs(true).or_fail(Step::NoNewPrivileges)
}
