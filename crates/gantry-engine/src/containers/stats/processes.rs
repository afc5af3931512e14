//! What processes use by their own figures (proc(5)), where no cgroup counts them together.

use gantry_sys::cgroup::Stats;

use super::{TICK, text};

/// The sum over these processes; one that ended meanwhile counts for nothing.
pub(super) fn stats(pids: &[i32]) -> Stats {
    let mut sum = Usage::default();
    for pid in pids {
        let of = |file: &str| text(format!("/proc/{pid}/{file}"));
        sum.add(&of("stat"), &of("smaps_rollup"), &of("io"));
    }
    Stats {
        cpu_total: Some(sum.ticks.saturating_mul(TICK)),
        memory_usage: Some(sum.kibibytes.saturating_mul(1024)),
        pids: Some(sum.tasks),
        io_read: Some(sum.read),
        io_written: Some(sum.written),
        ..Stats::default()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Usage {
    ticks: u64,
    kibibytes: u64,
    tasks: u64,
    read: u64,
    written: u64,
}

impl Usage {
    fn add(&mut self, stat: &str, rollup: &str, io: &str) {
        // The name before the parenthesis may hold anything.
        let Some((_, fields)) = stat.rsplit_once(')') else {
            return;
        };
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |at: usize| {
            let field = fields.get(at).and_then(|field| field.parse::<u64>().ok());
            field.unwrap_or(0)
        };
        // Its own time, and that of its children that have ended.
        self.ticks += (11..=14).map(number).sum::<u64>();
        self.tasks += number(17);
        // Of what processes share each has its part.
        self.kibibytes += figure(rollup, "Pss:");
        self.read += figure(io, "read_bytes:");
        self.written += figure(io, "write_bytes:");
    }
}

fn figure(text: &str, key: &str) -> u64 {
    let found = text.lines().find_map(|line| line.strip_prefix(key));
    let number = found.and_then(|rest| rest.split_ascii_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_added_up() {
        let mut sum = Usage::default();
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 5 6 7 8 20 0 3 0 100 0 0";
        let io = "rchar: 9\nread_bytes: 4096\nwrite_bytes: 512\ncancelled_write_bytes: 1\n";
        for _ in 0..2 {
            sum.add(
                stat,
                "00-ff rollup\nRss: 9 kB\nPss:       40 kB\nPss_Anon: 1 kB\n",
                io,
            );
        }
        sum.add("", "Pss: 100 kB\n", io);
        let expected = Usage {
            ticks: 52,
            kibibytes: 80,
            tasks: 6,
            read: 8192,
            written: 1024,
        };
        assert_eq!(sum, expected, "one that has ended counts for nothing");
    }
}
