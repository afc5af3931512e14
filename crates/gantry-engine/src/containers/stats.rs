//! What a running container uses at this moment.

mod processes;

use std::fs;
use std::path::Path;

use gantry_model::container::NetworkMode;
use gantry_model::{ContainerRecord, ContainerState};
use gantry_runtime::CgroupHandle;
use gantry_supervisor::CGROUP_FILE;

use super::Containers;
use super::folders::Folders;
use super::processes::namespace_pids;
use super::status::is_live;

/// Nanoseconds of a clock tick, which the kernel's interface counts processors in.
const TICK: u64 = 10_000_000;

/// The counters of a container at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Nanoseconds of processor time its processes have had.
    pub cpu: u64,
    /// Nanoseconds that all processors of the machine have spent, idle ones too.
    pub system: u64,
    /// Processors of the machine.
    pub processors: u64,
    /// Bytes of memory in use, without the file cache that can be dropped at once.
    pub memory: u64,
    /// The most it may have: its own limit, or the machine's memory.
    pub memory_limit: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes read from block devices.
    pub read: u64,
    /// Bytes written to them.
    pub written: u64,
    /// Tasks.
    pub pids: u64,
}

impl Sample {
    /// Share of one processor that was used since an earlier sample, in percent.
    #[must_use]
    pub fn cpu_percent(&self, before: &Self) -> f64 {
        let used = self.cpu.saturating_sub(before.cpu);
        let passed = self.system.saturating_sub(before.system);
        if passed == 0 {
            return 0.0;
        }
        ratio(used, passed) * ratio(self.processors, 1) * 100.0
    }

    /// Share of the memory it may have, in percent.
    #[must_use]
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 {
            return 0.0;
        }
        ratio(self.memory, self.memory_limit) * 100.0
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "two digits of a percentage are shown"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

impl Containers<'_> {
    /// Reads the counters of a container; `None` when it does not run.
    #[must_use]
    pub fn sample(&self, record: &ContainerRecord, state: &ContainerState) -> Option<Sample> {
        let pid = state.pid.filter(|_| is_live(state.status))?;
        let stats = match self.cgroup_of(record) {
            Some(cgroup) => cgroup.stats(),
            // Without root and a delegated cgroup there is none.
            None => processes::stats(&namespace_pids(pid)),
        };
        let usage = stats.memory_usage.unwrap_or(0);
        let cache = stats.memory_inactive_file.unwrap_or(0);
        let machine = || memory_of_machine(&text("/proc/meminfo"));
        let (system, processors) = processor_time(&text("/proc/stat"));
        // The host's own interfaces say nothing of a container.
        let (received, sent) = match record.spec.network {
            NetworkMode::Host => (0, 0),
            _ => traffic(&text(format!("/proc/{pid}/net/dev"))),
        };
        Some(Sample {
            cpu: stats.cpu_total.unwrap_or(0),
            system,
            processors,
            // The cache may be counted a moment later than the whole.
            memory: if cache < usage { usage - cache } else { usage },
            memory_limit: stats.memory_limit.unwrap_or_else(machine),
            received,
            sent,
            read: stats.io_read.unwrap_or(0),
            written: stats.io_written.unwrap_or(0),
            pids: stats.pids.unwrap_or(0),
        })
    }

    /// The cgroup of a container that runs.
    pub(super) fn cgroup_of(&self, record: &ContainerRecord) -> Option<CgroupHandle> {
        let note = Folders::of(self.engine, &record.id)
            .run_folder
            .join(CGROUP_FILE);
        serde_json::from_slice(&fs::read(note).ok()?).ok()
    }
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Time of all processors in nanoseconds, and their number.
fn processor_time(stat: &str) -> (u64, u64) {
    let mut total = 0_u64;
    let mut count = 0;
    for line in stat.lines() {
        let Some((name, fields)) = line.split_once(' ') else {
            continue;
        };
        match name.strip_prefix("cpu") {
            // Guests are counted in the time of users already.
            Some("") => {
                let ticks = fields.split_ascii_whitespace().take(8);
                total = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
            }
            Some(_) => count += 1,
            None => break,
        }
    }
    (total.saturating_mul(TICK), count)
}

fn memory_of_machine(meminfo: &str) -> u64 {
    let kibibytes = meminfo.lines().find_map(|line| {
        let value = line.strip_prefix("MemTotal:")?;
        value.split_ascii_whitespace().next()?.parse::<u64>().ok()
    });
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

/// Bytes received and sent by all interfaces but the loopback.
fn traffic(dev: &str) -> (u64, u64) {
    let mut sum = (0_u64, 0_u64);
    for line in dev.lines() {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let mut fields = counters
            .split_ascii_whitespace()
            .map(|field| field.parse::<u64>().unwrap_or(0));
        sum.0 = sum.0.saturating_add(fields.next().unwrap_or(0));
        sum.1 = sum.1.saturating_add(fields.nth(7).unwrap_or(0));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "cpu  1 2 3 4 5 6 7 8 100 100\ncpu0 1 1\ncpu1 1 1\nintr 5\ncpu9 1\n";
        assert_eq!(processor_time(stat), (36 * TICK, 2));
        assert_eq!(
            memory_of_machine("MemTotal:  2048 kB\nMemFree: 1 kB\n"),
            2 << 20
        );
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes\n    lo: 9 1 0 0 0 0 0 0 9 1\n\
                   eth0: 1048 12 0 0 0 0 0 0 126 3 0 0 0 0 0 0\n";
        assert_eq!(traffic(dev), (1048, 126));
        assert_eq!(traffic(""), (0, 0));
    }

    #[test]
    fn shares_are_dockers() {
        let before = Sample {
            cpu: 1_000,
            system: 10_000,
            ..Sample::default()
        };
        let after = Sample {
            cpu: 2_000,
            system: 14_000,
            processors: 2,
            memory: 1,
            memory_limit: 4,
            ..Sample::default()
        };
        assert!((after.cpu_percent(&before) - 50.0).abs() < 1e-9);
        assert!((after.memory_percent() - 25.0).abs() < 1e-9);
        // A container that was started again counts from zero.
        assert!(before.cpu_percent(&after).abs() < 1e-9);
    }
}
