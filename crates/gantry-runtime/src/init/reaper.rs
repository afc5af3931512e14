//! Our own PID 1 (`--init`): forwards signals to the command, reaps orphans, and ends as the
//! command ends.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::AsFd;

use gantry_sys::fd;
use gantry_sys::process::{self, Fork, Process};
use gantry_sys::signal::{self, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, WaitOptions, WaitStatus};

use super::finish::{self, Streams};
use super::{Birth, OrFail, name_process, run_start_hooks};
use crate::error::Step;
use crate::protocol::{Failure, Report};

/// Forks the command and stays as PID 1, with nothing left of its own but `null`.
pub(super) fn run(birth: &Birth<'_>, streams: Streams, null: &File) -> Result<Infallible, Failure> {
    let Birth { plan, channel, .. } = *birth;
    process::become_reaper().or_fail(Step::ForkCommand)?;
    finish::leave_keyrings()?;
    // From before the fork on, so that no signal is lost.
    let every: Vec<i32> = (1..=signal::LAST).collect();
    let signals = SignalFd::new(&every).or_fail(Step::ForkCommand)?;
    let child = Fork::default()
        .run(|| {
            let Err(failure) = signal::reset()
                .or_fail(Step::ForkCommand)
                .and_then(|()| finish::prepare(&plan.process, streams, None))
                .and_then(|prepared| {
                    run_start_hooks(birth, channel)?;
                    prepared.execute(channel)
                });
            channel.report(&Report::Failed(failure), &[]).ok();
            127
        })
        .or_fail(Step::ForkCommand)?;
    name_process("gantry-init");
    for number in 0..3 {
        fd::replace_standard(null, number).or_fail(Step::Stdio)?;
    }
    finish::lower(&plan.process)?;
    if plan.die_with_parent {
        process::die_with_parent(birth.parent).or_fail(Step::Synchronize)?;
    }
    // The end of the messages must come from the command alone.
    process::close_everything_but(&[signals.as_fd(), child.as_fd()]).or_fail(Step::ForkCommand)?;
    // As for the command: a process that can trace this one must gain nothing by it.
    if let Some(filter) = &plan.process.seccomp {
        match filter.listens() {
            // What it would have to ask about fails: this process needs none of it.
            true => drop(filter.load_listening().or_fail(Step::Seccomp)?),
            false => filter.load().or_fail(Step::Seccomp)?,
        }
    }
    let code = watch(&signals, &child);
    process::exit_now(code)
}

/// Serves signals until the command has ended; returns its exit code.
fn watch(signals: &SignalFd, child: &Process) -> i32 {
    loop {
        let mut interest = [PollFd::new(&signals, PollFlags::IN)];
        // An interrupted wait is repeated, and nothing else can go wrong with one open descriptor.
        poll(&mut interest, None).ok();
        while let Ok(Some(received)) = signals.read() {
            if received.signal == Signal::CHILD.as_raw() {
                if let Some(code) = reap(child.pid()) {
                    return code;
                }
            } else {
                // A command that has just ended is reaped in the next round.
                child.signal(received.signal).ok();
            }
        }
    }
}

/// Reaps every child that has ended; the code of the command if it is among them.
fn reap(command: i32) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == command {
            code = Some(exit_code(status));
        }
    }
    code
}

fn exit_code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    }
}
