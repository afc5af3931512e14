//! Limits as the properties of a unit (systemd.resource-control(5), org.freedesktop.systemd1(5)).

use gantry_sys::cgroup::{BlockDevice, Settings, Throttle, io_weight_of_blkio};
use gantry_systemd::{Property, Value};

use crate::error::PlanError;

/// What systemd's infinity is on the bus.
const INFINITY: u64 = u64::MAX;
/// Microseconds of a second.
const SECOND: u64 = 1_000_000;
/// systemd keeps whole percents: microseconds of a second that are one.
const PERCENT: u64 = 10_000;

/// What of these limits systemd knows, in the terms of cgroup version 2.
pub(super) fn of_settings(settings: &Settings) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut add = |name, value| properties.push(Property::new(name, value));
    // The values are those of the files that systemd writes them to.
    for write in settings.v2_writes() {
        let number = || match write.value.as_str() {
            "max" => Some(Value::Number(INFINITY)),
            other => other.parse().ok().map(Value::Number),
        };
        if settings.unified.contains_key(&write.file) {
            continue;
        }
        match write.file.as_str() {
            "cpu.max" => {
                add("CPUQuotaPerSecUSec", Value::Number(quota(settings)));
                let period = settings.cpu_period.unwrap_or(INFINITY);
                add("CPUQuotaPeriodUSec", Value::Number(period));
            }
            "cpuset.cpus" | "cpuset.mems" => {
                let name = match write.file.as_str() {
                    "cpuset.cpus" => "AllowedCPUs",
                    _ => "AllowedMemoryNodes",
                };
                if let Some(bits) = bits_of_list(&write.value) {
                    add(name, Value::Bits(bits));
                }
            }
            file => {
                if let (Some(name), Some(value)) = (simple_name(file), number()) {
                    add(name, value);
                }
            }
        }
    }
    properties.extend(of_devices(settings));
    properties
}

/// The property that is one number in one file.
fn simple_name(file: &str) -> Option<&'static str> {
    Some(match file {
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "memory.low" => "MemoryLow",
        "cpu.weight" => "CPUWeight",
        "pids.max" => "TasksMax",
        "io.weight" => "IOWeight",
        _ => return None,
    })
}

/// Microseconds of processor time in a second, in whole percents, which are rounded up: the exact
/// value is written to the file.
fn quota(settings: &Settings) -> u64 {
    let period = settings.cpu_period.unwrap_or(100_000).max(1);
    match settings
        .cpu_quota
        .and_then(|quota| u64::try_from(quota).ok())
    {
        Some(quota) if quota > 0 => {
            let part = u128::from(quota) * u128::from(SECOND) / u128::from(period);
            u64::try_from(part)
                .unwrap_or(INFINITY - PERCENT)
                .next_multiple_of(PERCENT)
        }
        _ => INFINITY,
    }
}

/// Rates and shares of block devices.
fn of_devices(settings: &Settings) -> Vec<Property> {
    let path = |BlockDevice { major, minor }: BlockDevice| format!("/dev/block/{major}:{minor}");
    let rates = |rate: fn(&Throttle) -> Option<u64>| -> Vec<(String, u64)> {
        let given = settings.io_throttle.iter();
        given
            .filter_map(|throttle| Some((path(throttle.device), rate(throttle)?)))
            .collect()
    };
    let weights = settings.io_weight_devices.iter();
    [
        ("IOReadBandwidthMax", rates(|throttle| throttle.read_bytes)),
        (
            "IOWriteBandwidthMax",
            rates(|throttle| throttle.write_bytes),
        ),
        ("IOReadIOPSMax", rates(|throttle| throttle.read_operations)),
        (
            "IOWriteIOPSMax",
            rates(|throttle| throttle.write_operations),
        ),
        (
            "IODeviceWeight",
            weights
                .filter_map(|(device, share)| Some((path(*device), io_weight_of_blkio(*share)?)))
                .collect(),
        ),
    ]
    .into_iter()
    .filter(|(_, devices)| !devices.is_empty())
    .map(|(name, devices)| Property::new(name, Value::Devices(devices)))
    .collect()
}

/// A list of ranges as bits, the first byte having the first eight; `None` for what is no list.
fn bits_of_list(list: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > usize::from(u16::MAX) {
            return None;
        }
        bits.resize(bits.len().max(last / 8 + 1), 0);
        for number in first..=last {
            bits[number / 8] |= 1 << (number % 8);
        }
    }
    Some(bits)
}

/// What annotations give a unit: `org.systemd.property.NAME` with a value in the text form of
/// GVariant, as runc and crun have it.
pub(super) fn of_annotations(annotations: &[(&str, &str)]) -> Result<Vec<Property>, PlanError> {
    const PREFIX: &str = "org.systemd.property.";
    let mut properties = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let value = value_of(text.trim()).filter(|_| plain && !name.is_empty());
        let value = value.ok_or_else(|| PlanError::Invalid {
            field: "annotations, org.systemd.property.",
            value: format!("{name}={text}"),
            reason: "is no true, false, number, 'text' or ['text', …]",
        })?;
        properties.push(of_annotation(name, value));
    }
    Ok(properties)
}

/// A time in seconds is one in microseconds on the bus, under another name.
fn of_annotation(name: &str, value: Value) -> Property {
    let seconds = name.strip_suffix("Sec").filter(|rest| !rest.ends_with('U'));
    match (seconds, value) {
        (Some(rest), Value::Integer(value)) => {
            let value = u64::try_from(value).unwrap_or_default();
            let value = Value::Number(value.saturating_mul(SECOND));
            Property::new(format!("{rest}USec"), value)
        }
        (_, value) => Property::new(name.to_owned(), value),
    }
}

fn value_of(text: &str) -> Option<Value> {
    let quoted = |text: &str| {
        let text = text.trim();
        ['\'', '"'].into_iter().find_map(|quote| {
            let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
            (!inner.contains([quote, '\\'])).then(|| inner.to_owned())
        })
    };
    if let Some(list) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let texts: Option<Vec<String>> = list.split(',').map(quoted).collect();
        return texts.map(Value::Texts);
    }
    match text.split_once(' ') {
        Some(("uint64", number)) => number.trim().parse().ok().map(Value::Number),
        Some(("uint32", number)) => number.trim().parse().ok().map(Value::Unsigned),
        Some(("int32", number)) => number.trim().parse().ok().map(Value::Integer),
        _ => match text {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            other => quoted(other)
                .map(Value::Text)
                .or_else(|| other.parse().ok().map(Value::Integer)),
        },
    }
}

#[cfg(test)]
mod tests {
    use gantry_sys::cgroup::DeviceRule;

    use super::*;

    fn names(properties: &[Property]) -> Vec<(&str, &Value)> {
        let pairs = properties.iter();
        pairs.map(|p| (p.name.as_ref(), &p.value)).collect()
    }

    #[test]
    fn limits_become_properties() {
        let settings = Settings {
            memory: Some(64),
            memory_swap: Some(-1),
            cpu_quota: Some(12_345),
            cpu_period: Some(50_000),
            cpuset_cpus: Some("0-1,9".to_owned()),
            pids: Some(0),
            io_throttle: vec![Throttle {
                device: BlockDevice { major: 8, minor: 1 },
                read_bytes: Some(5),
                write_bytes: None,
                read_operations: None,
                write_operations: None,
            }],
            devices: Some(vec![DeviceRule::all(false)]),
            ..Settings::default()
        };
        assert_eq!(
            names(&of_settings(&settings)),
            [
                ("MemoryMax", &Value::Number(64)),
                ("MemorySwapMax", &Value::Number(INFINITY)),
                ("CPUQuotaPerSecUSec", &Value::Number(250_000)),
                ("CPUQuotaPeriodUSec", &Value::Number(50_000)),
                ("AllowedCPUs", &Value::Bits(vec![3, 2])),
                ("TasksMax", &Value::Number(INFINITY)),
                (
                    "IOReadBandwidthMax",
                    &Value::Devices(vec![("/dev/block/8:1".to_owned(), 5)])
                ),
            ]
        );
        assert!(of_settings(&Settings::default()).is_empty());
    }

    #[test]
    fn lists_become_bits() {
        assert_eq!(bits_of_list("0"), Some(vec![1]));
        assert_eq!(bits_of_list("7-8"), Some(vec![128, 1]));
        for bad in ["", "x", "3-1", "99999999"] {
            assert_eq!(bits_of_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn annotations_become_properties() {
        let given = [
            ("org.systemd.property.TimeoutStopUSec", "uint64 5"),
            ("org.systemd.property.TimeoutStopSec", "2"),
            ("org.systemd.property.KillSignal", "15"),
            ("org.systemd.property.CollectMode", "'inactive'"),
            ("org.systemd.property.Before", "['a.service', 'b.service']"),
            ("org.example", "anything"),
        ];
        assert_eq!(
            names(&of_annotations(&given).unwrap()),
            [
                ("TimeoutStopUSec", &Value::Number(5)),
                ("TimeoutStopUSec", &Value::Number(2_000_000)),
                ("KillSignal", &Value::Integer(15)),
                ("CollectMode", &Value::Text("inactive".to_owned())),
                (
                    "Before",
                    &Value::Texts(vec!["a.service".to_owned(), "b.service".to_owned()])
                ),
            ]
        );
        for bad in ["", "x y", "'a", "[1]", "{}"] {
            let given = [("org.systemd.property.X", bad)];
            assert!(of_annotations(&given).is_err(), "{bad}");
        }
        assert!(of_annotations(&[("org.systemd.property.", "true")]).is_err());
    }
}
