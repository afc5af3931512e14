//! The document's `linux.resources` as the settings of a cgroup.

use gantry_sys::cgroup::{
    BlockDevice, DeviceAccess, DeviceKind, DeviceRule, HugePages, Settings, Throttle,
};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxDeviceCgroup, LinuxDeviceType, LinuxResources, LinuxThrottleDevice,
};

use crate::error::PlanError;

/// What `linux.resources` says (OCI runtime-spec, `config-linux.md`, "Control groups"), the
/// standard devices of every container added to its device rules.
///
/// # Errors
/// [`PlanError`] naming a value that cannot be.
pub(crate) fn settings(document: &LinuxResources) -> Result<Settings, PlanError> {
    let mut settings = Settings {
        devices: devices(document)?,
        ..Settings::default()
    };
    if let Some(memory) = document.memory() {
        settings.memory = memory.limit();
        settings.memory_reservation = memory.reservation();
        settings.memory_swap = memory.swap();
        settings.swappiness = memory.swappiness();
        settings.disable_oom_killer = memory.disable_oom_killer().unwrap_or_default();
        if memory.kernel().is_some_and(|limit| limit > 0) {
            return Err(unsupported("linux.resources.memory.kernel"));
        }
        if memory.kernel_tcp().is_some_and(|limit| limit > 0) {
            return Err(unsupported("linux.resources.memory.kernelTCP"));
        }
    }
    if let Some(cpu) = document.cpu() {
        // 0 is what callers write for "not given".
        settings.cpu_shares = cpu.shares().filter(|shares| *shares > 0);
        settings.cpu_quota = cpu.quota().filter(|quota| *quota != 0);
        settings.cpu_period = cpu.period().filter(|period| *period > 0);
        settings.cpu_burst = cpu.burst();
        settings.cpu_idle = cpu.idle();
        settings.realtime_runtime = cpu.realtime_runtime().filter(|runtime| *runtime != 0);
        settings.realtime_period = cpu.realtime_period().filter(|period| *period > 0);
        settings.cpuset_cpus = cpu.cpus().clone().filter(|list| !list.is_empty());
        settings.cpuset_mems = cpu.mems().clone().filter(|list| !list.is_empty());
    }
    settings.pids = document
        .pids()
        .as_ref()
        .map(|pids| pids.limit())
        .filter(|limit| *limit != 0);
    if let Some(io) = document.block_io() {
        block_io(io, &mut settings)?;
    }
    for limit in document.hugepage_limits().iter().flatten() {
        settings.huge_pages.push(HugePages {
            page_size: limit.page_size().clone(),
            limit: u64::try_from(limit.limit()).unwrap_or(u64::MAX),
        });
    }
    if let Some(network) = document.network() {
        settings.net_class = network.class_id();
        let priorities = network.priorities().iter().flatten();
        settings.net_priorities = priorities
            .map(|p| (p.name().clone(), p.priority()))
            .collect();
    }
    let mut rdma: Vec<_> = document.rdma().iter().flatten().collect();
    rdma.sort_by_key(|(device, _)| (*device).clone());
    for (device, limit) in rdma {
        let handles = limit.hca_handles().map(|n| format!("hca_handle={n}"));
        let objects = limit.hca_objects().map(|n| format!("hca_object={n}"));
        let value: Vec<String> = handles.into_iter().chain(objects).collect();
        settings.rdma.push((device.clone(), value.join(" ")));
    }
    for (file, value) in document.unified().iter().flatten() {
        if file.is_empty() || file.contains('/') || file == "." || file == ".." {
            return Err(invalid(
                "linux.resources.unified",
                file,
                "is no name of a file",
            ));
        }
        settings.unified.insert(file.clone(), value.clone());
    }
    Ok(settings)
}

fn block_io(document: &LinuxBlockIo, settings: &mut Settings) -> Result<(), PlanError> {
    if document.leaf_weight().is_some_and(|weight| weight > 0) {
        return Err(unsupported("linux.resources.blockIO.leafWeight"));
    }
    settings.io_weight = document.weight().filter(|weight| *weight > 0);
    for device in document.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let number = block_device(device.major(), device.minor())?;
            settings.io_weight_devices.push((number, weight));
        }
    }
    type Field = fn(&mut Throttle) -> &mut Option<u64>;
    let lists: [(&Option<Vec<LinuxThrottleDevice>>, Field); 4] = [
        (document.throttle_read_bps_device(), |t| &mut t.read_bytes),
        (document.throttle_write_bps_device(), |t| &mut t.write_bytes),
        (document.throttle_read_iops_device(), |t| {
            &mut t.read_operations
        }),
        (document.throttle_write_iops_device(), |t| {
            &mut t.write_operations
        }),
    ];
    for (list, field) in lists {
        for limit in list.iter().flatten() {
            let device = block_device(limit.major(), limit.minor())?;
            *field(throttle(&mut settings.io_throttle, device)) = Some(limit.rate());
        }
    }
    Ok(())
}

/// The entry of this device, made when there is none yet.
fn throttle(all: &mut Vec<Throttle>, device: BlockDevice) -> &mut Throttle {
    let found = all.iter().position(|throttle| throttle.device == device);
    let index = found.unwrap_or_else(|| {
        all.push(Throttle {
            device,
            read_bytes: None,
            write_bytes: None,
            read_operations: None,
            write_operations: None,
        });
        all.len() - 1
    });
    &mut all[index]
}

fn block_device(major: i64, minor: i64) -> Result<BlockDevice, PlanError> {
    let number = |value: i64| {
        u32::try_from(value).map_err(|_| {
            invalid(
                "linux.resources.blockIO device",
                &value.to_string(),
                "is no device number",
            )
        })
    };
    Ok(BlockDevice {
        major: number(major)?,
        minor: number(minor)?,
    })
}

/// The device rules in order; those of the standard devices and terminals come last, since
/// every container has them. No rule at all leaves every device usable.
fn devices(document: &LinuxResources) -> Result<Option<Vec<DeviceRule>>, PlanError> {
    let Some(written) = document
        .devices()
        .as_ref()
        .filter(|rules| !rules.is_empty())
    else {
        return Ok(None);
    };
    let mut rules = written
        .iter()
        .map(device_rule)
        .collect::<Result<Vec<_>, _>>()?;
    let everything = rules.len() == 1 && rules[0].allow && rules[0].kind == DeviceKind::All;
    if !everything {
        rules.extend(standard_rules());
    }
    Ok(Some(rules))
}

fn device_rule(document: &LinuxDeviceCgroup) -> Result<DeviceRule, PlanError> {
    let kind = match document.typ() {
        None | Some(LinuxDeviceType::A) => DeviceKind::All,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceKind::Character,
        Some(LinuxDeviceType::B) => DeviceKind::Block,
        Some(LinuxDeviceType::P) => {
            return Err(invalid(
                "linux.resources.devices type",
                "p",
                "is no kind of device rule",
            ));
        }
    };
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| {
            invalid(
                "linux.resources.devices",
                &value.to_string(),
                "is no device number",
            )
        }),
    };
    let access = document
        .access()
        .as_deref()
        .filter(|access| !access.is_empty())
        .unwrap_or("rwm");
    Ok(DeviceRule {
        allow: document.allow(),
        kind,
        major: number(document.major())?,
        minor: number(document.minor())?,
        access: DeviceAccess::parse(access).ok_or_else(|| {
            invalid(
                "linux.resources.devices access",
                access,
                "has other letters than r, w, m",
            )
        })?,
    })
}

/// What runc allows in every container: making nodes, the standard devices, its terminals.
fn standard_rules() -> impl Iterator<Item = DeviceRule> {
    let mknod = DeviceAccess {
        read: false,
        write: false,
        mknod: true,
    };
    let make = [DeviceKind::Character, DeviceKind::Block].map(|kind| DeviceRule {
        allow: true,
        kind,
        major: None,
        minor: None,
        access: mknod,
    });
    let use_of = |(major, minor)| DeviceRule {
        allow: true,
        kind: DeviceKind::Character,
        major: Some(major),
        minor,
        access: DeviceAccess::ALL,
    };
    let devices = [
        (1, Some(3)),
        (1, Some(5)),
        (1, Some(7)),
        (1, Some(8)),
        (1, Some(9)),
        (5, Some(0)),
        (5, Some(2)),
        (136, None),
    ];
    make.into_iter().chain(devices.into_iter().map(use_of))
}

fn invalid(field: &'static str, value: &str, reason: &'static str) -> PlanError {
    PlanError::Invalid {
        field,
        value: value.to_owned(),
        reason,
    }
}

fn unsupported(feature: &str) -> PlanError {
    PlanError::Unsupported {
        feature: feature.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, PlanError> {
        settings(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn limits_become_settings() {
        let got = read(
            r#"{"memory":{"limit":1024,"swap":2048},"cpu":{"shares":0,"quota":50000,"period":100000,
            "cpus":"0-1"},"pids":{"limit":20},"blockIO":{"weight":300,
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5}],
            "throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":6}]}}"#,
        )
        .unwrap();
        assert_eq!((got.memory, got.memory_swap), (Some(1024), Some(2048)));
        assert_eq!((got.cpu_shares, got.cpu_quota), (None, Some(50000)));
        assert_eq!(got.pids, Some(20));
        assert_eq!(got.io_throttle.len(), 1);
        assert_eq!(
            (
                got.io_throttle[0].read_bytes,
                got.io_throttle[0].write_bytes
            ),
            (Some(5), Some(6))
        );
        assert_eq!(got.devices, None);
    }

    #[test]
    fn a_refusal_of_all_devices_leaves_the_standard_ones() {
        let rules = read(r#"{"devices":[{"allow":false,"access":"rwm"}]}"#)
            .unwrap()
            .devices
            .unwrap();
        assert!(!rules[0].allow);
        assert!(
            rules
                .iter()
                .any(|r| r.allow && r.major == Some(1) && r.minor == Some(3))
        );
        let all = read(r#"{"devices":[{"allow":true,"access":"rwm"}]}"#)
            .unwrap()
            .devices
            .unwrap();
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            r#"{"devices":[{"allow":true,"access":"x"}]}"#,
            r#"{"devices":[{"allow":true,"major":-2}]}"#,
            r#"{"unified":{"../memory.max":"1"}}"#,
            r#"{"memory":{"kernel":1}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
