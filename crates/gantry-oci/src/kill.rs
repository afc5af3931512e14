//! Sending signals.

use gantry_runtime::Status;
use gantry_sys::process::Process;

use crate::container::Container;
use crate::error::OciError;
use crate::root::Root;

pub(crate) const KILL: i32 = rustix::process::Signal::KILL.as_raw();

/// Sends a signal to the first process of a container, or to all of its processes.
pub fn kill(root: &Root, id: &str, signal: i32, all: bool) -> Result<(), OciError> {
    let container = root.take(id)?;
    let record = container.made("kill")?;
    let first = container.first_process();
    // Without a PID namespace of its own the others do not end with the first.
    let all = all || (signal == KILL && !record.own_pids);
    if first.is_none() && !(all && has_processes(&container)) {
        return Err(OciError::NotRunning {
            id: id.to_owned(),
            action: "kill",
        });
    }
    if let Some(first) = first {
        first
            .signal(signal)
            .map_err(OciError::system("send the signal"))?;
    }
    if let (true, Some(cgroup)) = (all, &record.cgroup) {
        signal_all(cgroup, signal)?;
    }
    // A frozen process does not even die.
    if signal == KILL && container.status() == Status::Paused {
        thaw(&container)?;
    }
    Ok(())
}

fn has_processes(container: &Container) -> bool {
    let cgroup = container.record().and_then(|record| record.cgroup.as_ref());
    cgroup.is_some_and(|cgroup| cgroup.pids().is_ok_and(|pids| !pids.is_empty()))
}

fn signal_all(cgroup: &gantry_runtime::CgroupHandle, signal: i32) -> Result<(), OciError> {
    if signal == KILL {
        return cgroup.kill_all().map_err(OciError::cgroup("kill"));
    }
    for pid in cgroup.pids().map_err(OciError::cgroup("list"))? {
        // One that has gone meanwhile is no error.
        if let Ok(process) = Process::open(pid) {
            process
                .signal(signal)
                .map_err(OciError::system("send the signal"))?;
        }
    }
    Ok(())
}

/// Lets a frozen container go on.
pub(crate) fn thaw(container: &Container) -> Result<(), OciError> {
    match container.record().and_then(|record| record.cgroup.as_ref()) {
        Some(cgroup) => cgroup.thaw().map_err(OciError::cgroup("thaw")),
        None => Ok(()),
    }
}
