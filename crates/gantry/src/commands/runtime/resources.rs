//! pause, resume, update.

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::Call;
use crate::failure::{Exit, Failure, Outcome};

pub(super) fn pause(call: &Call<'_>) -> Outcome {
    gantry_oci::pause(&call.root, &call.id())?;
    Ok(Exit::SUCCESS)
}

pub(super) fn resume(call: &Call<'_>) -> Outcome {
    gantry_oci::resume(&call.root, &call.id())?;
    Ok(Exit::SUCCESS)
}

pub(super) fn update(call: &Call<'_>) -> Outcome {
    for name in ["l3-cache-schema", "mem-bw-schema"] {
        if call.words.value(name).is_some() {
            return Err(Failure::unsupported(format!(
                "--{name} is not supported: the file system of resource control is set up when a \
                 container is created"
            )));
        }
    }
    let resources = match call.words.path("resources") {
        Some(path) => gantry_oci::read_resources(&path)?,
        None => resources(call)?,
    };
    gantry_oci::update(&call.root, &call.id(), &resources)?;
    Ok(Exit::SUCCESS)
}

/// What the single options ask for.
fn resources(call: &Call<'_>) -> Result<LinuxResources, Failure> {
    const NUMBERS: [(&str, &str, &str); 13] = [
        ("blkio-weight", "blockIO", "weight"),
        ("cpu-period", "cpu", "period"),
        ("cpu-quota", "cpu", "quota"),
        ("cpu-burst", "cpu", "burst"),
        ("cpu-rt-period", "cpu", "realtimePeriod"),
        ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
        ("cpu-share", "cpu", "shares"),
        ("cpu-idle", "cpu", "idle"),
        ("kernel-memory", "memory", "kernel"),
        ("kernel-memory-tcp", "memory", "kernelTCP"),
        ("memory", "memory", "limit"),
        ("memory-reservation", "memory", "reservation"),
        ("memory-swap", "memory", "swap"),
    ];
    let mut document = Map::new();
    let mut set = |part: &str, field: &str, value: Value| {
        let part = document.entry(part).or_insert_with(|| json!({}));
        part[field] = value;
    };
    for (option, part, field) in NUMBERS {
        if let Some(number) = call.words.number::<i64>(option)? {
            set(part, field, number.into());
        }
    }
    if let Some(limit) = call.words.number::<i64>("pids-limit")? {
        set("pids", "limit", limit.into());
    }
    for (option, field) in [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")] {
        if let Some(list) = call.words.value(option) {
            set("cpu", field, list.into());
        }
    }
    serde_json::from_value(document.into())
        .map_err(|error| Failure::invalid(format!("a value is out of range: {error}")))
}
