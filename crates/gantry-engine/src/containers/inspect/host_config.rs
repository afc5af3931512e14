//! The part of it that came from the flags.

use std::collections::BTreeMap;

use gantry_model::ContainerRecord;
use gantry_model::container::{DeviceValue, Resources};
use gantry_model::mount::{MountFlag, MountSource};
use gantry_model::record::ResolvedMountKind;
use gantry_model::restart::RestartPolicy;
use gantry_runtime::defaults;
use serde::Serialize;

use super::{PortBinding, bindings, flag_of};

/// Docker's `HostConfig`, fields in its order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    binds: Option<Vec<String>>,
    #[serde(rename = "ContainerIDFile")]
    container_id_file: String,
    log_config: LogConfig,
    network_mode: String,
    port_bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    restart_policy: Policy,
    auto_remove: bool,
    volume_driver: String,
    volumes_from: Option<Vec<String>>,
    console_size: [u16; 2],
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    cgroupns_mode: String,
    dns: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    extra_hosts: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    ipc_mode: String,
    cgroup: String,
    links: Option<Vec<String>>,
    oom_score_adj: i32,
    pid_mode: String,
    privileged: bool,
    publish_all_ports: bool,
    readonly_rootfs: bool,
    security_opt: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sysctls: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tmpfs: BTreeMap<String, String>,
    #[serde(rename = "UTSMode")]
    uts_mode: String,
    userns_mode: String,
    shm_size: u64,
    runtime: String,
    isolation: String,
    cpu_shares: u64,
    memory: u64,
    nano_cpus: u64,
    cgroup_parent: String,
    blkio_weight: u16,
    blkio_weight_device: Vec<DeviceWeight>,
    blkio_device_read_bps: Vec<DeviceRate>,
    blkio_device_write_bps: Vec<DeviceRate>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: Vec<DeviceRate>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: Vec<DeviceRate>,
    cpu_period: u64,
    cpu_quota: i64,
    cpu_realtime_period: u64,
    cpu_realtime_runtime: i64,
    cpuset_cpus: String,
    cpuset_mems: String,
    devices: Vec<Device>,
    device_cgroup_rules: Option<Vec<String>>,
    device_requests: Option<Vec<DeviceRequest>>,
    memory_reservation: u64,
    memory_swap: i64,
    memory_swappiness: Option<u64>,
    oom_kill_disable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<bool>,
    pids_limit: Option<i64>,
    ulimits: Vec<Limit>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    cpu_count: u64,
    cpu_percent: u64,
    #[serde(rename = "IOMaximumIOps")]
    io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth")]
    io_maximum_bandwidth: u64,
    masked_paths: Vec<&'static str>,
    readonly_paths: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<WrittenMount>,
}

/// A mount of `--mount`, as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenMount {
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    target: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tmpfs_options: Option<TmpfsOptions>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TmpfsOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    #[serde(rename = "Type")]
    kind: String,
    config: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    name: String,
    maximum_retry_count: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Device {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeviceRequest {
    driver: String,
    count: i64,
    #[serde(rename = "DeviceIDs")]
    device_ids: Option<Vec<String>>,
    capabilities: Vec<Vec<String>>,
    options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeviceWeight {
    path: String,
    weight: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeviceRate {
    path: String,
    rate: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Limit {
    name: String,
    hard: i64,
    soft: i64,
}

impl HostConfig {
    pub(super) fn of(record: &ContainerRecord) -> Self {
        let spec = &record.spec;
        let resources = &spec.resources;
        let open = spec.privileged
            || spec
                .security_opt
                .iter()
                .any(|option| option.starts_with("systempaths"));
        let paths = |paths: &[&'static str]| if open { Vec::new() } else { paths.to_vec() };
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let or_private = |mode: &str| {
            if mode.is_empty() {
                "private".to_owned()
            } else {
                mode.to_owned()
            }
        };
        Self {
            binds: binds(record),
            container_id_file: String::new(),
            log_config: LogConfig {
                kind: match spec.log.driver.as_str() {
                    "" => "json-file".into(),
                    driver => driver.into(),
                },
                config: spec.log.options.clone(),
            },
            network_mode: spec.network.to_string(),
            port_bindings: bindings(&spec.ports),
            restart_policy: policy(spec.restart),
            auto_remove: spec.auto_remove,
            volume_driver: spec.volume_driver.clone().unwrap_or_default(),
            volumes_from: list(&spec.volumes_from),
            // Fields from here to the end that are always empty are of Windows, or of what a
            // container does not have; clients look for them.
            console_size: [0, 0],
            cap_add: capabilities(&spec.cap_add),
            cap_drop: capabilities(&spec.cap_drop),
            cgroupns_mode: or_private(&spec.cgroupns_mode),
            dns: spec.dns.clone(),
            dns_options: spec.dns_options.clone(),
            dns_search: spec.dns_search.clone(),
            extra_hosts: list(&spec.add_hosts),
            group_add: list(&spec.group_add),
            ipc_mode: or_private(&spec.ipc_mode),
            cgroup: String::new(),
            links: links(record),
            oom_score_adj: spec.oom_score_adj.unwrap_or(0),
            pid_mode: spec.pid_mode.clone(),
            privileged: spec.privileged,
            publish_all_ports: spec.publish_all,
            readonly_rootfs: spec.read_only,
            security_opt: list(&spec.security_opt),
            sysctls: spec.sysctls.clone(),
            tmpfs: tmpfs(record),
            uts_mode: spec.uts_mode.clone(),
            userns_mode: spec.userns_mode.clone(),
            shm_size: spec.shm_size.unwrap_or(defaults::SHARED_MEMORY),
            runtime: "gantry".into(),
            isolation: String::new(),
            cpu_shares: resources.cpu_shares.unwrap_or(0),
            memory: resources.memory.unwrap_or(0),
            nano_cpus: resources.nano_cpus.unwrap_or(0),
            cgroup_parent: spec.cgroup_parent.clone().unwrap_or_default(),
            blkio_weight: resources.blkio_weight.unwrap_or(0),
            blkio_weight_device: weights(&resources.blkio_weight_devices),
            blkio_device_read_bps: rates(&resources.device_read_bps),
            blkio_device_write_bps: rates(&resources.device_write_bps),
            blkio_device_read_iops: rates(&resources.device_read_iops),
            blkio_device_write_iops: rates(&resources.device_write_iops),
            cpu_period: resources.cpu_period.unwrap_or(0),
            cpu_quota: resources.cpu_quota.unwrap_or(0),
            cpu_realtime_period: resources.cpu_rt_period.unwrap_or(0),
            cpu_realtime_runtime: resources.cpu_rt_runtime.unwrap_or(0),
            cpuset_cpus: resources.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: resources.cpuset_mems.clone().unwrap_or_default(),
            devices: devices(&spec.devices),
            device_cgroup_rules: list(&spec.device_cgroup_rules),
            device_requests: requests(&spec.device_requests),
            memory_reservation: resources.memory_reservation.unwrap_or(0),
            memory_swap: memory_swap(resources),
            memory_swappiness: resources.memory_swappiness,
            oom_kill_disable: resources.oom_kill_disable,
            init: spec.init.then_some(true),
            pids_limit: resources.pids_limit,
            ulimits: limits(spec),
            annotations: spec.annotations.clone(),
            cpu_count: 0,
            cpu_percent: 0,
            io_maximum_iops: 0,
            io_maximum_bandwidth: 0,
            masked_paths: paths(defaults::MASKED_PATHS),
            readonly_paths: paths(defaults::READONLY_PATHS),
            mounts: written_mounts(record),
        }
    }
}

/// As Docker shows them: the container and its name as seen from this one.
fn links(record: &ContainerRecord) -> Option<Vec<String>> {
    let links = record.spec.links.iter();
    let links: Vec<String> = links
        .filter_map(|link| crate::containers::links::parse(link).ok())
        .map(|(name, alias)| format!("/{name}:/{}/{alias}", record.name))
        .collect();
    (!links.is_empty()).then_some(links)
}

/// Names as Docker shows them: `CAP_NET_ADMIN`, but `ALL`.
fn capabilities(names: &[String]) -> Option<Vec<String>> {
    let whole = |name: &String| match name.as_str() {
        "ALL" => name.clone(),
        _ => format!("CAP_{name}"),
    };
    (!names.is_empty()).then(|| names.iter().map(whole).collect())
}

fn policy(policy: RestartPolicy) -> Policy {
    let maximum_retry_count = match policy {
        RestartPolicy::OnFailure { maximum_retries } => maximum_retries.unwrap_or(0),
        _ => 0,
    };
    let name = policy
        .to_string()
        .split(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    Policy {
        name,
        maximum_retry_count,
    }
}

/// As Docker shows it: as much swap as memory unless something else was said.
fn memory_swap(resources: &Resources) -> i64 {
    let twice = |limit: u64| i64::try_from(limit.saturating_mul(2)).unwrap_or(i64::MAX);
    resources
        .memory_swap
        .unwrap_or_else(|| resources.memory.map_or(0, twice))
}

fn requests(list: &[gantry_model::container::DeviceRequest]) -> Option<Vec<DeviceRequest>> {
    let shown = list.iter().map(|request| DeviceRequest {
        driver: request.driver.clone(),
        count: request.count,
        device_ids: (!request.device_ids.is_empty()).then(|| request.device_ids.clone()),
        capabilities: request.capabilities.clone(),
        options: request.options.clone(),
    });
    (!list.is_empty()).then(|| shown.collect())
}

fn weights(list: &[DeviceValue]) -> Vec<DeviceWeight> {
    let weight = |device: &DeviceValue| DeviceWeight {
        path: device.path.clone(),
        weight: device.value,
    };
    list.iter().map(weight).collect()
}

fn rates(list: &[DeviceValue]) -> Vec<DeviceRate> {
    let rate = |device: &DeviceValue| DeviceRate {
        path: device.path.clone(),
        rate: device.value,
    };
    list.iter().map(rate).collect()
}

fn devices(written: &[String]) -> Vec<Device> {
    written
        .iter()
        .filter_map(|text| crate::containers::spec::devices::parse(text).ok())
        .map(|wanted| Device {
            path_on_host: wanted.host.to_string_lossy().into_owned(),
            path_in_container: wanted.container.to_string_lossy().into_owned(),
            cgroup_permissions: wanted.permissions,
        })
        .collect()
}

fn limits(spec: &gantry_model::ContainerSpec) -> Vec<Limit> {
    let number = |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(-1));
    spec.ulimits
        .iter()
        .map(|limit| Limit {
            name: limit.name.clone(),
            hard: number(limit.hard),
            soft: number(limit.soft),
        })
        .collect()
}

fn binds(record: &ContainerRecord) -> Option<Vec<String>> {
    let binds: Vec<String> = record
        .mounts
        .iter()
        .filter(|mount| flag_of(record, mount) == MountFlag::Volume)
        .filter_map(|mount| {
            let mode = if mount.read_only { ":ro" } else { "" };
            match &mount.kind {
                ResolvedMountKind::Bind { source, .. } => {
                    Some(format!("{source}:{}{mode}", mount.target))
                }
                ResolvedMountKind::Volume {
                    name,
                    anonymous: false,
                    ..
                } => Some(format!("{name}:{}{mode}", mount.target)),
                _ => None,
            }
        })
        .collect();
    (!binds.is_empty()).then_some(binds)
}

/// Those of `--mount`.
fn written_mounts(record: &ContainerRecord) -> Vec<WrittenMount> {
    let written = record.spec.mounts.iter();
    written
        .filter(|mount| mount.flag == MountFlag::Mount)
        .map(|mount| {
            let mut tmpfs_options = None;
            let (kind, source) = match &mount.source {
                MountSource::Bind { path, .. } => ("bind", Some(path.clone())),
                MountSource::Volume { name, .. } => ("volume", name.clone()),
                MountSource::Image { image, .. } => ("image", Some(image.clone())),
                MountSource::Tmpfs { size, mode, .. } => {
                    let (size_bytes, mode) = (*size, *mode);
                    let some = size_bytes.is_some() || mode.is_some();
                    tmpfs_options = some.then_some(TmpfsOptions { size_bytes, mode });
                    ("tmpfs", None)
                }
            };
            WrittenMount {
                kind,
                source,
                target: mount.target.clone(),
                // An image is read-only whatever was said.
                read_only: mount.read_only && kind != "image",
                tmpfs_options,
            }
        })
        .collect()
}

fn tmpfs(record: &ContainerRecord) -> BTreeMap<String, String> {
    record
        .mounts
        .iter()
        .filter(|mount| flag_of(record, mount) == MountFlag::Tmpfs)
        .filter_map(|mount| match &mount.kind {
            ResolvedMountKind::Tmpfs {
                size,
                mode,
                options,
            } => {
                let mut all = options.clone();
                all.extend(size.map(|size| format!("size={size}")));
                all.extend(mode.map(|mode| format!("mode={mode:o}")));
                Some((mount.target.clone(), all.join(",")))
            }
            _ => None,
        })
        .collect()
}
