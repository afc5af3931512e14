//! Limits: from flags to the document, by Docker's rules.

use gantry_model::container::{DeviceValue, Resources};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
};

use super::SpecError;

const LEAST_MEMORY: u64 = 6 << 20;
/// Period of the CPU quota that `--cpus` is told in, in microseconds.
const PERIOD: u64 = 100_000;
const BILLION: u64 = 1_000_000_000;

/// Whether the host has as many CPUs as are asked for; they are counted only then.
pub(crate) fn check_cpus(wanted: &Resources, count: impl FnOnce() -> u64) -> Result<(), SpecError> {
    let Some(nano) = wanted.nano_cpus.filter(|nano| *nano > 0) else {
        return Ok(());
    };
    let cpus = count();
    if nano < BILLION / 100 || nano > cpus * BILLION {
        return Err(invalid(format!(
            "Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    Ok(())
}

/// The number of a block device of the host, by its path.
pub(crate) type DeviceNumber<'a> = &'a dyn Fn(&str) -> Result<(i64, i64), SpecError>;

/// What the document says of limits; `number` looks devices up.
pub(crate) fn decide(
    wanted: &Resources,
    number: DeviceNumber<'_>,
) -> Result<LinuxResources, SpecError> {
    let mut resources = LinuxResources::default();
    resources.set_devices(None);
    resources.set_memory(memory(wanted)?);
    resources.set_cpu(cpu(wanted)?);
    if let Some(limit) = wanted.pids_limit.filter(|limit| *limit > 0) {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    resources.set_block_io(block_io(wanted, number)?);
    Ok(resources)
}

fn block_io(
    wanted: &Resources,
    number: DeviceNumber<'_>,
) -> Result<Option<LinuxBlockIo>, SpecError> {
    let mut block = LinuxBlockIo::default();
    if let Some(weight) = wanted.blkio_weight.filter(|weight| *weight != 0) {
        if !(10..=1000).contains(&weight) {
            return Err(invalid("Range of blkio weight is from 10 to 1000"));
        }
        block.set_weight(Some(weight));
    }
    if !wanted.blkio_weight_devices.is_empty() {
        let devices = wanted.blkio_weight_devices.iter();
        let devices = devices.map(|device| weight_device(device, number));
        block.set_weight_device(Some(devices.collect::<Result<_, _>>()?));
    }
    type Set = fn(&mut LinuxBlockIo, Option<Vec<LinuxThrottleDevice>>) -> &mut LinuxBlockIo;
    let rates: [(&[DeviceValue], Set); 4] = [
        (
            &wanted.device_read_bps,
            LinuxBlockIo::set_throttle_read_bps_device,
        ),
        (
            &wanted.device_write_bps,
            LinuxBlockIo::set_throttle_write_bps_device,
        ),
        (
            &wanted.device_read_iops,
            LinuxBlockIo::set_throttle_read_iops_device,
        ),
        (
            &wanted.device_write_iops,
            LinuxBlockIo::set_throttle_write_iops_device,
        ),
    ];
    for (list, set) in rates {
        let devices = list.iter().map(|device| throttle_device(device, number));
        let devices: Vec<_> = devices.collect::<Result<_, _>>()?;
        if !devices.is_empty() {
            set(&mut block, Some(devices));
        }
    }
    Ok((block != LinuxBlockIo::default()).then_some(block))
}

fn weight_device(
    wanted: &DeviceValue,
    number: DeviceNumber<'_>,
) -> Result<LinuxWeightDevice, SpecError> {
    let (major, minor) = number(&wanted.path)?;
    let weight = u16::try_from(wanted.value)
        .ok()
        .filter(|weight| (10..=1000).contains(weight))
        .ok_or_else(|| invalid(format!("invalid weight for device: {}", wanted.path)))?;
    LinuxWeightDeviceBuilder::default()
        .major(major)
        .minor(minor)
        .weight(weight)
        .build()
        .map_err(|error| invalid(error.to_string()))
}

fn throttle_device(
    wanted: &DeviceValue,
    number: DeviceNumber<'_>,
) -> Result<LinuxThrottleDevice, SpecError> {
    let (major, minor) = number(&wanted.path)?;
    LinuxThrottleDeviceBuilder::default()
        .major(major)
        .minor(minor)
        .rate(wanted.value)
        .build()
        .map_err(|error| invalid(error.to_string()))
}

fn invalid(text: impl Into<String>) -> SpecError {
    SpecError::Resources(text.into())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn memory(wanted: &Resources) -> Result<Option<LinuxMemory>, SpecError> {
    let limit = wanted.memory.filter(|limit| *limit > 0);
    let swap = wanted.memory_swap.filter(|swap| *swap != 0);
    if limit.is_some_and(|limit| limit < LEAST_MEMORY) {
        return Err(invalid("Minimum memory limit allowed is 6MB"));
    }
    if limit.is_none() && swap.is_some_and(|swap| swap > 0) {
        return Err(invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap > 0
        && swap < signed(limit)
    {
        return Err(invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    let reservation = wanted
        .memory_reservation
        .filter(|reservation| *reservation > 0);
    if let (Some(limit), Some(reservation)) = (limit, reservation)
        && reservation > limit
    {
        return Err(invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    if reservation.is_some_and(|reservation| reservation < LEAST_MEMORY) {
        return Err(invalid("Minimum memory reservation allowed is 6MB"));
    }
    let swappiness = wanted.memory_swappiness;
    if let Some(value) = swappiness.filter(|value| *value > 100) {
        return Err(invalid(format!(
            "Invalid value: {value}, valid memory swappiness range is 0-100"
        )));
    }
    if limit.is_none() && reservation.is_none() && swappiness.is_none() && !wanted.oom_kill_disable
    {
        return Ok(None);
    }
    let mut memory = LinuxMemory::default();
    memory.set_limit(limit.map(signed));
    memory.set_reservation(reservation.map(signed));
    // As much swap as memory unless something else was said.
    memory.set_swap(swap.or_else(|| limit.map(|limit| signed(limit.saturating_mul(2)))));
    memory.set_swappiness(swappiness);
    memory.set_disable_oom_killer(wanted.oom_kill_disable.then_some(true));
    Ok(Some(memory))
}

fn cpu(wanted: &Resources) -> Result<Option<LinuxCpu>, SpecError> {
    let mut cpu = LinuxCpu::default();
    let mut any = false;
    if let Some(nano) = wanted.nano_cpus.filter(|nano| *nano > 0) {
        if wanted.cpu_period.is_some_and(|period| period > 0) {
            return Err(invalid(
                "Conflicting options: Nano CPUs and CPU Period cannot both be set",
            ));
        }
        if wanted.cpu_quota.is_some_and(|quota| quota > 0) {
            return Err(invalid(
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            ));
        }
        cpu.set_period(Some(PERIOD));
        cpu.set_quota(Some(signed(nano / (BILLION / PERIOD))));
        any = true;
    }
    if let Some(period) = wanted.cpu_period.filter(|period| *period > 0) {
        if !(1000..=1_000_000).contains(&period) {
            return Err(invalid(
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            ));
        }
        cpu.set_period(Some(period));
        any = true;
    }
    if let Some(quota) = wanted.cpu_quota.filter(|quota| *quota > 0) {
        if quota < 1000 {
            return Err(invalid(
                "CPU cfs quota can not be less than 1ms (i.e. 1000)",
            ));
        }
        cpu.set_quota(Some(quota));
        any = true;
    }
    if let (Some(period), Some(runtime)) = (wanted.cpu_rt_period, wanted.cpu_rt_runtime)
        && i128::from(runtime) > i128::from(period)
    {
        return Err(invalid(
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ));
    }
    if let Some(period) = wanted.cpu_rt_period.filter(|period| *period > 0) {
        cpu.set_realtime_period(Some(period));
        any = true;
    }
    if let Some(runtime) = wanted.cpu_rt_runtime.filter(|runtime| *runtime != 0) {
        cpu.set_realtime_runtime(Some(runtime));
        any = true;
    }
    if let Some(shares) = wanted.cpu_shares.filter(|shares| *shares > 0) {
        cpu.set_shares(Some(shares));
        any = true;
    }
    if let Some(set) = wanted.cpuset_cpus.as_ref().filter(|set| !set.is_empty()) {
        cpu.set_cpus(Some(set.clone()));
        any = true;
    }
    if let Some(set) = wanted.cpuset_mems.as_ref().filter(|set| !set.is_empty()) {
        cpu.set_mems(Some(set.clone()));
        any = true;
    }
    Ok(any.then_some(cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(wanted: &Resources) -> String {
        match check_cpus(wanted, || 2).and_then(|()| decide(wanted, &|_| Ok((8, 16)))) {
            Ok(resources) => serde_json::to_string(&resources).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    fn one_device(value: u64) -> Vec<DeviceValue> {
        vec![DeviceValue {
            path: "/dev/sdb".into(),
            value,
        }]
    }

    #[test]
    fn limits_are_dockers() {
        let base = Resources::default;
        for (wanted, want) in [
            (base(), "{}"),
            (
                Resources {
                    memory: Some(64 << 20),
                    ..base()
                },
                r#"{"memory":{"limit":67108864,"swap":134217728}}"#,
            ),
            (
                Resources {
                    memory: Some(64 << 20),
                    memory_swap: Some(-1),
                    ..base()
                },
                r#"{"memory":{"limit":67108864,"swap":-1}}"#,
            ),
            (
                Resources {
                    memory: Some(1 << 20),
                    ..base()
                },
                "Minimum memory limit allowed is 6MB",
            ),
            (
                Resources {
                    memory: Some(64 << 20),
                    memory_swap: Some(32 << 20),
                    ..base()
                },
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                Resources {
                    nano_cpus: Some(1_500_000_000),
                    ..base()
                },
                r#"{"cpu":{"quota":150000,"period":100000}}"#,
            ),
            (
                Resources {
                    nano_cpus: Some(3_000_000_000),
                    ..base()
                },
                "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                Resources {
                    nano_cpus: Some(BILLION),
                    cpu_quota: Some(5000),
                    ..base()
                },
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            ),
            (
                Resources {
                    pids_limit: Some(100),
                    ..base()
                },
                r#"{"pids":{"limit":100}}"#,
            ),
            (
                Resources {
                    pids_limit: Some(-1),
                    ..base()
                },
                "{}",
            ),
            (
                Resources {
                    cpuset_cpus: Some("0".into()),
                    cpu_shares: Some(512),
                    ..base()
                },
                r#"{"cpu":{"shares":512,"cpus":"0"}}"#,
            ),
            (
                Resources {
                    memory_swappiness: Some(0),
                    ..base()
                },
                r#"{"memory":{"swappiness":0}}"#,
            ),
            (
                Resources {
                    cpu_rt_period: Some(1000),
                    cpu_rt_runtime: Some(2000),
                    ..base()
                },
                "cpu real-time runtime cannot be higher than cpu real-time period",
            ),
            (
                Resources {
                    blkio_weight_devices: one_device(300),
                    device_read_bps: one_device(1024),
                    device_write_iops: one_device(7),
                    ..base()
                },
                r#"{"blockIO":{"weightDevice":[{"major":8,"minor":16,"weight":300}],"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":1024}],"throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":7}]}}"#,
            ),
            (
                Resources {
                    blkio_weight: Some(5),
                    ..base()
                },
                "Range of blkio weight is from 10 to 1000",
            ),
        ] {
            assert_eq!(json(&wanted), want);
        }
    }
}
