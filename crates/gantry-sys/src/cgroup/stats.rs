//! What the processes of a cgroup have used.

use super::group::Cgroup;

/// What the processes of a cgroup have used. A figure nobody counts is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of memory in use, caches included.
    pub memory_usage: Option<u64>,
    /// The limit of it; `None` when unlimited.
    pub memory_limit: Option<u64>,
    /// Bytes of file cache that can be dropped at once; Docker subtracts them from the usage.
    pub memory_inactive_file: Option<u64>,
    /// Nanoseconds of processor time.
    pub cpu_total: Option<u64>,
    /// Nanoseconds of it in user mode.
    pub cpu_user: Option<u64>,
    /// Nanoseconds of it in the kernel.
    pub cpu_system: Option<u64>,
    /// Periods in which the quota was used up.
    pub cpu_throttled_periods: Option<u64>,
    /// Nanoseconds spent waiting for the next period.
    pub cpu_throttled: Option<u64>,
    /// Number of tasks.
    pub pids: Option<u64>,
    /// The limit of it; `None` when unlimited.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: Option<u64>,
    /// Bytes written to block devices.
    pub io_written: Option<u64>,
}

/// Version 1 gives "unlimited" as the greatest multiple of the page size.
const V1_UNLIMITED: u64 = 0x7fff_ffff_ffff_f000;

impl Cgroup {
    /// Reads what the processes have used. A file that cannot be read gives no figure.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.memory_stats(&mut stats);
        self.cpu_stats(&mut stats);
        let pids = |file| self.read("pids", file).and_then(|text| number(&text));
        stats.pids = pids("pids.current");
        stats.pids_limit = pids("pids.max");
        self.io_stats(&mut stats);
        stats
    }

    /// Every figure that the kernel keeps about the memory, by its own names.
    pub fn memory_details(&self) -> Vec<(String, u64)> {
        let text = self.read("memory", "memory.stat").unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let (name, value) = line.split_once(' ')?;
                Some((name.to_owned(), number(value)?))
            })
            .collect()
    }

    fn memory_stats(&self, stats: &mut Stats) {
        let v1 = self.has_v1("memory");
        let read = |file| self.read("memory", file);
        let value = |file| read(file).and_then(|text| number(&text));
        let flat = read("memory.stat").unwrap_or_default();
        if v1 {
            stats.memory_usage = value("memory.usage_in_bytes");
            stats.memory_limit = value("memory.limit_in_bytes").filter(|max| *max < V1_UNLIMITED);
            stats.memory_inactive_file = keyed(&flat, "total_inactive_file");
        } else {
            stats.memory_usage = value("memory.current");
            stats.memory_limit = value("memory.max");
            stats.memory_inactive_file = keyed(&flat, "inactive_file");
        }
    }

    fn cpu_stats(&self, stats: &mut Stats) {
        let flat = self.read("cpu", "cpu.stat").unwrap_or_default();
        if self.has_v1("cpuacct") {
            let value = |file| {
                let text = self.read("cpuacct", file)?;
                number(&text)
            };
            stats.cpu_total = value("cpuacct.usage");
            stats.cpu_user = value("cpuacct.usage_user");
            stats.cpu_system = value("cpuacct.usage_sys");
            stats.cpu_throttled = keyed(&flat, "throttled_time");
        } else {
            let microseconds = |key| keyed(&flat, key).map(|value: u64| value.saturating_mul(1000));
            stats.cpu_total = microseconds("usage_usec");
            stats.cpu_user = microseconds("user_usec");
            stats.cpu_system = microseconds("system_usec");
            stats.cpu_throttled = microseconds("throttled_usec");
        }
        stats.cpu_throttled_periods = keyed(&flat, "nr_throttled");
    }

    fn io_stats(&self, stats: &mut Stats) {
        if self.has_v1("blkio") {
            let text = self
                .read("blkio", "blkio.throttle.io_service_bytes_recursive")
                .or_else(|| self.read("blkio", "blkio.throttle.io_service_bytes"));
            if let Some(text) = text {
                stats.io_read = Some(v1_io(&text, "Read"));
                stats.io_written = Some(v1_io(&text, "Write"));
            }
        } else if let Some(text) = self.read("io", "io.stat") {
            stats.io_read = Some(v2_io(&text, "rbytes="));
            stats.io_written = Some(v2_io(&text, "wbytes="));
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value of a key in a file of `key value` lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| number(value)).flatten()
    })
}

/// The sum over `major:minor Operation bytes` lines.
fn v1_io(text: &str, operation: &str) -> u64 {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (_, name, value) = (words.next()?, words.next()?, words.next()?);
            (name == operation).then(|| number(value)).flatten()
        })
        .fold(0, u64::saturating_add)
}

/// The sum over `major:minor key=value …` lines.
fn v2_io(text: &str, key: &str) -> u64 {
    text.split_whitespace()
        .filter_map(|word| number(word.strip_prefix(key)?))
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_parse() {
        assert_eq!(keyed("a 1\noom_kill 7\n", "oom_kill"), Some(7));
        assert_eq!(keyed("oom_kill_x 7\n", "oom_kill"), None);
        assert_eq!(number("max\n"), None);
        let v1 = "8:0 Read 10\n8:0 Write 4\n8:16 Read 5\nTotal 19\n";
        assert_eq!((v1_io(v1, "Read"), v1_io(v1, "Write")), (15, 4));
        let v2 = "8:0 rbytes=10 wbytes=4 rios=1\n8:16 rbytes=5 wbytes=0\n";
        assert_eq!((v2_io(v2, "rbytes="), v2_io(v2, "wbytes=")), (15, 4));
    }
}
