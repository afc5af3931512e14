//! What a container uses, and that it has run out of memory.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

use gantry_runtime::{CgroupHandle, Status};
use gantry_sys::event::Timer;
use gantry_sys::process::Process;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use crate::error::OciError;
use crate::pause::cgroup;
use crate::root::Root;

/// Something to be told about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What it uses.
    Statistics(Value),
    /// Processes of it were killed because memory was out.
    OutOfMemory,
}

impl Event {
    /// The event as runc writes it.
    pub fn document(&self, id: &str) -> Value {
        match self {
            Event::Statistics(data) => json!({ "type": "stats", "id": id, "data": data }),
            Event::OutOfMemory => json!({ "type": "oom", "id": id }),
        }
    }
}

/// What a container uses now.
pub fn statistics(root: &Root, id: &str) -> Result<Event, OciError> {
    let container = root.look(id)?;
    if container.status() == Status::Stopped {
        return Err(OciError::NotRunning {
            id: id.to_owned(),
            action: "read the statistics of",
        });
    }
    let cgroup = cgroup(&container, "read the statistics of")?;
    Ok(Event::Statistics(usage(cgroup)))
}

/// The events of a container until its end.
#[derive(Debug)]
pub struct Watch {
    cgroup: CgroupHandle,
    first: Process,
    timer: Timer,
    killed: u64,
    waiting: Option<Event>,
}

impl Watch {
    /// Watches a running container.
    pub fn new(root: &Root, id: &str, interval: Duration) -> Result<Watch, OciError> {
        let container = root.look(id)?;
        let not_running = || OciError::NotRunning {
            id: id.to_owned(),
            action: "watch",
        };
        let first = container.first_process().ok_or_else(not_running)?;
        let cgroup = cgroup(&container, "watch")?.clone();
        let timer = Timer::new()
            .and_then(|timer| timer.set_repeating(interval).map(|()| timer))
            .map_err(OciError::system("make a timer"))?;
        Ok(Watch {
            killed: cgroup.oom_kills(),
            cgroup,
            first,
            timer,
            waiting: None,
        })
    }
}

impl Iterator for Watch {
    type Item = Result<Event, OciError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(event) = self.waiting.take() {
            return Some(Ok(event));
        }
        let mut interest = [
            PollFd::from_borrowed_fd(self.first.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.timer.as_fd(), PollFlags::IN),
        ];
        if let Err(errno) = rustix::io::retry_on_intr(|| poll(&mut interest, None)) {
            return Some(Err(OciError::system("wait for events")(errno.into())));
        }
        let over = !interest[0].revents().is_empty();
        if let Err(error) = self.timer.read() {
            return Some(Err(OciError::system("read the timer")(error)));
        }
        let killed = self.cgroup.oom_kills();
        if killed > self.killed {
            self.killed = killed;
            self.waiting = (!over).then(|| Event::Statistics(usage(&self.cgroup)));
            return Some(Ok(Event::OutOfMemory));
        }
        (!over).then(|| Ok(Event::Statistics(usage(&self.cgroup))))
    }
}

/// The figures in runc's form.
fn usage(cgroup: &CgroupHandle) -> Value {
    let stats = cgroup.stats();
    let details: BTreeMap<String, u64> = cgroup.open().memory_details().into_iter().collect();
    let number = |value: Option<u64>| value.unwrap_or_default();
    let bytes =
        |operation: &str, value: Option<u64>| json!({ "op": operation, "value": number(value) });
    json!({
        "cpu": {
            "usage": {
                "total": number(stats.cpu_total),
                "kernel": number(stats.cpu_system),
                "user": number(stats.cpu_user),
            },
            "throttling": {
                "throttledPeriods": number(stats.cpu_throttled_periods),
                "throttledTime": number(stats.cpu_throttled),
            },
        },
        "memory": {
            "cache": details.get("cache").or(details.get("file")).copied().unwrap_or_default(),
            "usage": {
                "usage": number(stats.memory_usage),
                "limit": stats.memory_limit.unwrap_or(u64::MAX),
            },
            "raw": details,
        },
        "pids": {
            "current": number(stats.pids),
            "limit": number(stats.pids_limit),
        },
        "blkio": {
            "ioServiceBytesRecursive": [
                bytes("Read", stats.io_read),
                bytes("Write", stats.io_written),
            ],
        },
    })
}
