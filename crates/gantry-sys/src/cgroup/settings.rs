//! What a cgroup may use, and which file gets which value for it.

use std::collections::BTreeMap;

use super::devices::DeviceRule;

/// What the processes of a cgroup may use. Nothing is limited by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of memory; -1 = unlimited.
    pub memory: Option<i64>,
    /// Bytes of memory that are protected from (v2) or aimed at under (v1) memory pressure.
    pub memory_reservation: Option<i64>,
    /// Bytes of memory and swap together; -1 = unlimited.
    pub memory_swap: Option<i64>,
    /// 0 to 100; version 1 only.
    pub swappiness: Option<u64>,
    /// Let processes wait instead of killing one when memory is out; version 1 only.
    pub disable_oom_killer: bool,
    /// Relative share of processor time, 2 to 262144, 1024 being usual.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time per period; -1 = unlimited.
    pub cpu_quota: Option<i64>,
    /// Microseconds of a period.
    pub cpu_period: Option<u64>,
    /// Microseconds that may be saved up beyond the quota.
    pub cpu_burst: Option<u64>,
    /// 1: run only when nobody else wants to.
    pub cpu_idle: Option<i64>,
    /// Microseconds of real-time scheduling per real-time period; version 1 only.
    pub realtime_runtime: Option<i64>,
    /// Microseconds of a real-time period; version 1 only.
    pub realtime_period: Option<u64>,
    /// Processors, as a list of ranges: `0-2,7`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, as a list of ranges.
    pub cpuset_mems: Option<String>,
    /// Number of processes; 0 or less = unlimited.
    pub pids: Option<i64>,
    /// Relative share of block IO, 10 to 1000.
    pub io_weight: Option<u16>,
    /// Relative share of IO on one device.
    pub io_weight_devices: Vec<(BlockDevice, u16)>,
    /// Rates of IO on one device.
    pub io_throttle: Vec<Throttle>,
    /// Huge pages.
    pub huge_pages: Vec<HugePages>,
    /// Class of outgoing packets; version 1 only.
    pub net_class: Option<u32>,
    /// Priorities of outgoing packets by interface; version 1 only.
    pub net_priorities: Vec<(String, u32)>,
    /// RDMA limits: device and value as in `rdma.max`.
    pub rdma: Vec<(String, String)>,
    /// Files of version 2 with the values they get as they are.
    pub unified: BTreeMap<String, String>,
    /// Device rules, the last matching one counting; `None` = every device.
    pub devices: Option<Vec<DeviceRule>>,
}

/// The number of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockDevice {
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

/// Rates of IO on one device; `None` is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// The device.
    pub device: BlockDevice,
    /// Bytes read per second.
    pub read_bytes: Option<u64>,
    /// Bytes written per second.
    pub write_bytes: Option<u64>,
    /// Reads per second.
    pub read_operations: Option<u64>,
    /// Writes per second.
    pub write_operations: Option<u64>,
}

/// A limit of huge pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugePages {
    /// The page size as the kernel names it: `2MB`.
    pub page_size: String,
    /// Bytes of pages of this size.
    pub limit: u64,
}

/// One value for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The controller the file belongs to.
    pub controller: String,
    /// The file's name.
    pub file: String,
    /// What to write.
    pub value: String,
}

/// Collects writes.
#[derive(Default)]
struct Writes(Vec<Write>);

impl Writes {
    fn add(&mut self, controller: &str, file: &str, value: impl ToString) {
        self.0.push(Write {
            controller: controller.to_owned(),
            file: file.to_owned(),
            value: value.to_string(),
        });
    }

    fn add_if(&mut self, controller: &str, file: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(controller, file, value);
        }
    }
}

impl Settings {
    /// What to write for the controllers of version 1, in order. Device rules are apart.
    pub fn v1_writes(&self) -> Vec<Write> {
        let mut writes = Writes::default();
        let memory = "memory";
        writes.add_if(memory, "memory.limit_in_bytes", self.memory);
        writes.add_if(memory, "memory.memsw.limit_in_bytes", self.memory_swap);
        let soft = self.memory_reservation;
        writes.add_if(memory, "memory.soft_limit_in_bytes", soft);
        writes.add_if(memory, "memory.swappiness", self.swappiness);
        let disable = self.disable_oom_killer.then_some(1);
        writes.add_if(memory, "memory.oom_control", disable);
        let cpu = "cpu";
        writes.add_if(cpu, "cpu.shares", self.cpu_shares);
        writes.add_if(cpu, "cpu.cfs_period_us", self.cpu_period);
        writes.add_if(cpu, "cpu.cfs_quota_us", self.cpu_quota);
        writes.add_if(cpu, "cpu.cfs_burst_us", self.cpu_burst);
        writes.add_if(cpu, "cpu.idle", self.cpu_idle);
        writes.add_if(cpu, "cpu.rt_period_us", self.realtime_period);
        writes.add_if(cpu, "cpu.rt_runtime_us", self.realtime_runtime);
        let cpuset = "cpuset";
        writes.add_if(cpuset, "cpuset.cpus", self.cpuset_cpus.as_ref());
        writes.add_if(cpuset, "cpuset.mems", self.cpuset_mems.as_ref());
        writes.add_if("pids", "pids.max", self.pids.map(pids_max));
        self.v1_block_writes(&mut writes);
        for pages in &self.huge_pages {
            let file = format!("hugetlb.{}.limit_in_bytes", pages.page_size);
            writes.add("hugetlb", &file, pages.limit);
        }
        writes.add_if("net_cls", "net_cls.classid", self.net_class);
        for (interface, priority) in &self.net_priorities {
            let value = format!("{interface} {priority}");
            writes.add("net_prio", "net_prio.ifpriomap", value);
        }
        self.rdma_writes(&mut writes);
        writes.0
    }

    fn v1_block_writes(&self, writes: &mut Writes) {
        let io = "blkio";
        writes.add_if(io, "blkio.weight", self.io_weight);
        for (BlockDevice { major, minor }, weight) in &self.io_weight_devices {
            let value = format!("{major}:{minor} {weight}");
            writes.add(io, "blkio.weight_device", value);
        }
        for throttle in &self.io_throttle {
            let BlockDevice { major, minor } = throttle.device;
            let rates = [
                ("blkio.throttle.read_bps_device", throttle.read_bytes),
                ("blkio.throttle.write_bps_device", throttle.write_bytes),
                ("blkio.throttle.read_iops_device", throttle.read_operations),
                (
                    "blkio.throttle.write_iops_device",
                    throttle.write_operations,
                ),
            ];
            for (file, rate) in rates {
                writes.add_if(io, file, rate.map(|rate| format!("{major}:{minor} {rate}")));
            }
        }
    }

    fn rdma_writes(&self, writes: &mut Writes) {
        for (device, value) in &self.rdma {
            writes.add("rdma", "rdma.max", format!("{device} {value}"));
        }
    }

    /// What to write for the controllers of version 2, in order. Device rules are apart. Settings
    /// that only version 1 knows are left out, as every other runtime does.
    pub fn v2_writes(&self) -> Vec<Write> {
        let mut writes = Writes::default();
        let memory = "memory";
        writes.add_if(memory, "memory.max", self.memory.map(or_max));
        writes.add_if(memory, "memory.swap.max", self.v2_swap());
        writes.add_if(memory, "memory.low", self.memory_reservation.map(or_max));
        let cpu = "cpu";
        writes.add_if(
            cpu,
            "cpu.weight",
            self.cpu_shares.and_then(weight_of_shares),
        );
        if self.cpu_quota.is_some() || self.cpu_period.is_some() {
            let quota = match self.cpu_quota {
                Some(quota) if quota > 0 => quota.to_string(),
                _ => "max".to_owned(),
            };
            let period = self.cpu_period.unwrap_or(100_000);
            writes.add(cpu, "cpu.max", format!("{quota} {period}"));
        }
        writes.add_if(cpu, "cpu.max.burst", self.cpu_burst);
        writes.add_if(cpu, "cpu.idle", self.cpu_idle);
        let cpuset = "cpuset";
        writes.add_if(cpuset, "cpuset.cpus", self.cpuset_cpus.as_ref());
        writes.add_if(cpuset, "cpuset.mems", self.cpuset_mems.as_ref());
        writes.add_if("pids", "pids.max", self.pids.map(pids_max));
        self.v2_io_writes(&mut writes);
        for pages in &self.huge_pages {
            let file = format!("hugetlb.{}.max", pages.page_size);
            writes.add("hugetlb", &file, pages.limit);
        }
        self.rdma_writes(&mut writes);
        for (file, value) in &self.unified {
            let controller = file.split('.').next().unwrap_or_default();
            writes.add(controller, file, value);
        }
        writes.0
    }

    fn v2_io_writes(&self, writes: &mut Writes) {
        let weight = self.io_weight.and_then(io_weight_of_blkio);
        writes.add_if("io", "io.weight", weight);
        for (BlockDevice { major, minor }, weight) in &self.io_weight_devices {
            if let Some(weight) = io_weight_of_blkio(*weight) {
                writes.add("io", "io.weight", format!("{major}:{minor} {weight}"));
            }
        }
        for throttle in &self.io_throttle {
            let BlockDevice { major, minor } = throttle.device;
            let rates = [
                ("rbps", throttle.read_bytes),
                ("wbps", throttle.write_bytes),
                ("riops", throttle.read_operations),
                ("wiops", throttle.write_operations),
            ];
            for (key, rate) in rates {
                let value = rate.map(|rate| format!("{major}:{minor} {key}={rate}"));
                writes.add_if("io", "io.max", value);
            }
        }
    }

    /// Version 2 counts swap alone, version 1 (and OCI) memory and swap together.
    fn v2_swap(&self) -> Option<String> {
        match (self.memory_swap?, self.memory) {
            (swap, _) if swap < 0 => Some("max".to_owned()),
            (swap, Some(memory)) if memory >= 0 => Some((swap - memory).max(0).to_string()),
            // Without a memory limit there is nothing to subtract from.
            (swap, _) => Some(swap.to_string()),
        }
    }
}

fn or_max(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

fn pids_max(limit: i64) -> String {
    if limit <= 0 {
        "max".to_owned()
    } else {
        limit.to_string()
    }
}

/// `cpu.shares` (2 to 262144) to `cpu.weight` (1 to 10000), linearly, as systemd, runc and the
/// kubelet do. 0 means "not set".
fn weight_of_shares(shares: u64) -> Option<u64> {
    (shares != 0).then(|| 1 + ((shares.clamp(2, 262_144) - 2) * 9999) / 262_142)
}

/// `blkio.weight` (10 to 1000) to `io.weight` (1 to 10000). 0 means "not set".
pub fn io_weight_of_blkio(weight: u16) -> Option<u64> {
    (weight != 0).then(|| 1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writes: Vec<Write>) -> Vec<String> {
        writes
            .into_iter()
            .map(|write| format!("{} {}={}", write.controller, write.file, write.value))
            .collect()
    }

    #[test]
    fn shares_become_weight() {
        let cases = [
            (0, None),
            (1, Some(1)),
            (2, Some(1)),
            (512, Some(20)),
            (1024, Some(39)),
            (262_144, Some(10_000)),
            (999_999, Some(10_000)),
        ];
        for (shares, weight) in cases {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn block_weight_converts() {
        let cases = [
            (0, None),
            (10, Some(1)),
            (500, Some(4950)),
            (1000, Some(10_000)),
        ];
        for (weight, converted) in cases {
            assert_eq!(io_weight_of_blkio(weight), converted, "{weight}");
        }
    }

    #[test]
    fn nothing_asked_nothing_written() {
        assert!(Settings::default().v1_writes().is_empty());
        assert!(Settings::default().v2_writes().is_empty());
    }

    #[test]
    fn memory_and_swap() {
        let cases: [(Option<i64>, Option<i64>, &[&str]); 5] = [
            (Some(100), None, &["memory memory.max=100"]),
            (
                Some(100),
                Some(300),
                &["memory memory.max=100", "memory memory.swap.max=200"],
            ),
            (
                Some(100),
                Some(100),
                &["memory memory.max=100", "memory memory.swap.max=0"],
            ),
            (
                Some(100),
                Some(-1),
                &["memory memory.max=100", "memory memory.swap.max=max"],
            ),
            (Some(-1), None, &["memory memory.max=max"]),
        ];
        for (memory, memory_swap, expected) in cases {
            let settings = Settings {
                memory,
                memory_swap,
                ..Settings::default()
            };
            assert_eq!(lines(settings.v2_writes()), expected);
        }
    }

    #[test]
    fn both_versions_of_one_request() {
        let settings = Settings {
            memory: Some(64),
            memory_swap: Some(128),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            cpu_shares: Some(1024),
            cpuset_cpus: Some("0-1".to_owned()),
            pids: Some(0),
            io_throttle: vec![Throttle {
                device: BlockDevice { major: 8, minor: 0 },
                read_bytes: Some(1000),
                write_bytes: None,
                read_operations: None,
                write_operations: Some(7),
            }],
            huge_pages: vec![HugePages {
                page_size: "2MB".to_owned(),
                limit: 4,
            }],
            unified: BTreeMap::from([("memory.high".to_owned(), "60".to_owned())]),
            ..Settings::default()
        };
        assert_eq!(
            lines(settings.v1_writes()),
            [
                "memory memory.limit_in_bytes=64",
                "memory memory.memsw.limit_in_bytes=128",
                "cpu cpu.shares=1024",
                "cpu cpu.cfs_period_us=100000",
                "cpu cpu.cfs_quota_us=50000",
                "cpuset cpuset.cpus=0-1",
                "pids pids.max=max",
                "blkio blkio.throttle.read_bps_device=8:0 1000",
                "blkio blkio.throttle.write_iops_device=8:0 7",
                "hugetlb hugetlb.2MB.limit_in_bytes=4",
            ]
        );
        assert_eq!(
            lines(settings.v2_writes()),
            [
                "memory memory.max=64",
                "memory memory.swap.max=64",
                "cpu cpu.weight=39",
                "cpu cpu.max=50000 100000",
                "cpuset cpuset.cpus=0-1",
                "pids pids.max=max",
                "io io.max=8:0 rbps=1000",
                "io io.max=8:0 wiops=7",
                "hugetlb hugetlb.2MB.max=4",
                "memory memory.high=60",
            ]
        );
    }
}
