//! What this kernel's cgroups can do, and resource limits cut to it as Docker cuts them.

use std::fs;
use std::path::Path;

use gantry_model::container::Resources;
use gantry_sys::cgroup::Layout;

use super::error::ContainerError;
use super::spec::SpecError;

/// What can be limited here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Support {
    pub(crate) memory: bool,
    pub(crate) swap: bool,
    pub(crate) swappiness: bool,
    pub(crate) oom_kill_disable: bool,
    pub(crate) cpu_shares: bool,
    pub(crate) cpu_quota: bool,
    pub(crate) cpu_realtime: bool,
    pub(crate) cpuset: bool,
    /// The processors there are, as a list of ranges.
    pub(crate) cpus: String,
    /// The memory nodes there are.
    pub(crate) mems: String,
    pub(crate) pids: bool,
    pub(crate) io_weight: bool,
    pub(crate) io_weight_devices: bool,
    pub(crate) io_rates: bool,
}

impl Support {
    /// Looks at the hierarchies of this host.
    pub(crate) fn of(layout: &Layout) -> Self {
        let v1 = |controller: &str, file: &str| {
            layout
                .v1_of(controller)
                .map(|hierarchy| hierarchy.mount_point.join(file).exists())
        };
        let read = |path: &Path| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let sets = |v1_file: &str, v2_file: &str| match layout.v1_of("cpuset") {
            Some(hierarchy) => read(&hierarchy.mount_point.join(v1_file)),
            None => layout
                .v2
                .as_ref()
                .map(|v2| read(&v2.mount_point.join(v2_file)))
                .unwrap_or_default(),
        };
        Self {
            memory: layout.has("memory"),
            swap: layout.limits_swap(),
            swappiness: v1("memory", "memory.swappiness").unwrap_or(false),
            oom_kill_disable: v1("memory", "memory.oom_control").unwrap_or(false),
            cpu_shares: v1("cpu", "cpu.shares").unwrap_or_else(|| layout.has("cpu")),
            cpu_quota: v1("cpu", "cpu.cfs_quota_us").unwrap_or_else(|| layout.has("cpu")),
            cpu_realtime: v1("cpu", "cpu.rt_runtime_us").unwrap_or(false),
            cpuset: layout.has("cpuset"),
            cpus: sets("cpuset.effective_cpus", "cpuset.cpus.effective"),
            mems: sets("cpuset.effective_mems", "cpuset.mems.effective"),
            pids: layout.has("pids"),
            io_weight: v1("blkio", "blkio.weight").unwrap_or_else(|| layout.has("io")),
            io_weight_devices: v1("blkio", "blkio.weight_device")
                .unwrap_or_else(|| layout.has("io")),
            io_rates: v1("blkio", "blkio.throttle.read_bps_device")
                .unwrap_or_else(|| layout.has("io")),
        }
    }
}

/// Cuts limits to what this kernel has; says what that took away. Nobody looks at the kernel when
/// nothing is limited.
pub(super) fn fit_here(wanted: &mut Resources) -> Result<Vec<String>, ContainerError> {
    if *wanted == Resources::default() {
        return Ok(Vec::new());
    }
    let layout = Layout::detect().map_err(|source| ContainerError::Cgroups { source })?;
    let (fitted, warnings) = fit(wanted, &Support::of(&layout))?;
    *wanted = fitted;
    Ok(warnings)
}

/// The limits that can be had, and a sentence for each that cannot: Docker discards those too.
pub(crate) fn fit(
    wanted: &Resources,
    support: &Support,
) -> Result<(Resources, Vec<String>), SpecError> {
    let mut fitted = wanted.clone();
    let mut warnings = Vec::new();
    memory(&mut fitted, support, &mut warnings);
    if fitted.pids_limit.is_some_and(|limit| limit > 0) && !support.pids {
        fitted.pids_limit = None;
        warnings.push(lacks("PIDs limit capabilities", "PIDs limit discarded"));
    }
    cpu(&mut fitted, support, &mut warnings)?;
    for (set, available, what, name) in [
        (&mut fitted.cpuset_cpus, &support.cpus, "cpus", "CPUs"),
        (
            &mut fitted.cpuset_mems,
            &support.mems,
            "mems",
            "memory nodes",
        ),
    ] {
        let Some(list) = set.clone().filter(|list| !list.is_empty()) else {
            continue;
        };
        let asked = members(&list).ok_or_else(|| {
            SpecError::Resources(format!(
                "Invalid value {list} for cpuset {what}: invalid format: {list}"
            ))
        })?;
        if !support.cpuset {
            *set = None;
            warnings.push(lacks("cpuset", "Cpuset discarded"));
            continue;
        }
        let there = members(available).unwrap_or_default();
        if !there.is_empty() && !asked.iter().all(|one| there.contains(one)) {
            return Err(SpecError::Resources(format!(
                "Requested {name} are not available - requested {list}, available: {available}"
            )));
        }
    }
    block_io(&mut fitted, support, &mut warnings);
    Ok((fitted, warnings))
}

fn lacks(what: &str, so: &str) -> String {
    format!("Your kernel does not support {what} or the cgroup is not mounted. {so}.")
}

fn memory(fitted: &mut Resources, support: &Support, warnings: &mut Vec<String>) {
    if fitted.memory.is_some() && !support.memory {
        fitted.memory = None;
        fitted.memory_swap = None;
        warnings.push(lacks("memory limit capabilities", "Limitation discarded"));
    }
    if fitted.memory.is_some() && fitted.memory_swap != Some(-1) && !support.swap {
        fitted.memory_swap = Some(-1);
        warnings.push(lacks(
            "swap limit capabilities",
            "Memory limited without swap",
        ));
    }
    if fitted.memory_swappiness.is_some() && !support.swappiness {
        fitted.memory_swappiness = None;
        warnings.push(lacks(
            "memory swappiness capabilities",
            "Memory swappiness discarded",
        ));
    }
    if fitted.memory_reservation.is_some() && !support.memory {
        fitted.memory_reservation = None;
        warnings.push(lacks(
            "memory soft limit capabilities",
            "Limitation discarded",
        ));
    }
    if fitted.oom_kill_disable && !support.oom_kill_disable {
        fitted.oom_kill_disable = false;
        warnings.push(
            "Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned(),
        );
    }
    if fitted.oom_kill_disable && fitted.memory.is_none() {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can \
             result in the system running out of resources."
                .to_owned(),
        );
    }
}

fn cpu(
    fitted: &mut Resources,
    support: &Support,
    warnings: &mut Vec<String>,
) -> Result<(), SpecError> {
    if fitted.nano_cpus.is_some() && !support.cpu_quota {
        return Err(SpecError::Resources(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the \
             cgroup is not mounted"
                .to_owned(),
        ));
    }
    if fitted.cpu_shares.is_some() && !support.cpu_shares {
        fitted.cpu_shares = None;
        warnings.push(lacks("CPU shares", "Shares discarded"));
    }
    if (fitted.cpu_period.is_some() || fitted.cpu_quota.is_some()) && !support.cpu_quota {
        fitted.cpu_period = None;
        fitted.cpu_quota = None;
        warnings.push(lacks("CPU CFS scheduler", "CPU period/quota discarded"));
    }
    if (fitted.cpu_rt_period.is_some() || fitted.cpu_rt_runtime.is_some()) && !support.cpu_realtime
    {
        return Err(SpecError::Resources(
            "this kernel does not limit real-time scheduling of cgroups".to_owned(),
        ));
    }
    Ok(())
}

fn block_io(fitted: &mut Resources, support: &Support, warnings: &mut Vec<String>) {
    if fitted.blkio_weight.is_some() && !support.io_weight {
        fitted.blkio_weight = None;
        warnings.push(lacks("Block I/O weight", "Weight discarded"));
    }
    if !fitted.blkio_weight_devices.is_empty() && !support.io_weight_devices {
        fitted.blkio_weight_devices.clear();
        warnings.push(lacks("Block I/O weight_device", "Weight-device discarded"));
    }
    for (list, what, so) in [
        (
            &mut fitted.device_read_bps,
            "BPS Block I/O read limit",
            "Block I/O BPS read limit discarded",
        ),
        (
            &mut fitted.device_write_bps,
            "BPS Block I/O write limit",
            "Block I/O BPS write limit discarded",
        ),
        (
            &mut fitted.device_read_iops,
            "IOPS Block read limit",
            "Block I/O IOPS read limit discarded",
        ),
        (
            &mut fitted.device_write_iops,
            "IOPS Block write limit",
            "Block I/O IOPS write limit discarded",
        ),
    ] {
        if !list.is_empty() && !support.io_rates {
            list.clear();
            warnings.push(lacks(what, so));
        }
    }
}

/// Most processors or memory nodes a list may name.
const MOST: usize = 8192;

/// The members of a list of ranges; `None` when it is none.
fn members(list: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in list
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || all.len() + usize::try_from(last - first).ok()? >= MOST {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::container::DeviceValue;

    fn all() -> Support {
        Support {
            memory: true,
            swap: true,
            swappiness: true,
            oom_kill_disable: true,
            cpu_shares: true,
            cpu_quota: true,
            cpu_realtime: true,
            cpuset: true,
            cpus: "0-1".into(),
            mems: "0".into(),
            pids: true,
            io_weight: true,
            io_weight_devices: true,
            io_rates: true,
        }
    }

    fn everything() -> Resources {
        let rate = || {
            vec![DeviceValue {
                path: "/dev/vda".into(),
                value: 1,
            }]
        };
        Resources {
            memory: Some(64 << 20),
            memory_reservation: Some(32 << 20),
            memory_swap: Some(128 << 20),
            memory_swappiness: Some(5),
            cpu_shares: Some(5),
            cpu_period: Some(5000),
            cpu_quota: Some(5000),
            cpuset_cpus: Some("0,1".into()),
            cpuset_mems: Some("0".into()),
            pids_limit: Some(5),
            blkio_weight: Some(500),
            blkio_weight_devices: rate(),
            device_read_bps: rate(),
            device_write_bps: rate(),
            device_read_iops: rate(),
            device_write_iops: rate(),
            oom_kill_disable: true,
            ..Resources::default()
        }
    }

    #[test]
    fn what_can_be_had_stays() {
        assert_eq!(fit(&everything(), &all()).unwrap(), (everything(), vec![]));
    }

    #[test]
    fn what_cannot_be_had_is_discarded_and_told() {
        let (fitted, warnings) = fit(&everything(), &Support::default()).unwrap();
        assert_eq!(fitted, Resources::default());
        assert_eq!(warnings.len(), 15, "{warnings:#?}");
    }

    #[test]
    fn memory_without_swap_is_dockers() {
        let support = Support {
            swap: false,
            ..all()
        };
        let wanted = Resources {
            memory: Some(64 << 20),
            ..Resources::default()
        };
        let (fitted, warnings) = fit(&wanted, &support).unwrap();
        assert_eq!(fitted.memory_swap, Some(-1));
        assert_eq!(
            warnings,
            [
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. \
              Memory limited without swap."
            ]
        );
    }

    #[test]
    fn what_must_be_had_is_an_error() {
        let error =
            |wanted: Resources, support: &Support| fit(&wanted, support).unwrap_err().to_string();
        let cpus = |list: &str| Resources {
            cpuset_cpus: Some(list.into()),
            ..Resources::default()
        };
        assert_eq!(
            error(cpus("0,7"), &all()),
            "Requested CPUs are not available - requested 0,7, available: 0-1"
        );
        assert_eq!(
            error(cpus("x"), &all()),
            "Invalid value x for cpuset cpus: invalid format: x"
        );
        assert!(fit(&cpus("0-4000000000"), &all()).is_err());
        let nano = Resources {
            nano_cpus: Some(1),
            ..Resources::default()
        };
        assert!(error(nano, &Support::default()).starts_with("NanoCPUs can not be set"));
        let realtime = Resources {
            cpu_rt_runtime: Some(1),
            ..Resources::default()
        };
        assert!(error(realtime, &Support::default()).contains("real-time"));
    }
}
