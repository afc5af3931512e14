//! The part of it that came from the flags.

use std::collections::BTreeMap;

use gantry_model::ContainerRecord;
use gantry_model::record::ResolvedMountKind;
use gantry_model::restart::RestartPolicy;
use gantry_runtime::defaults;
use serde::Serialize;

use super::{PortBinding, bindings};

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
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    cgroupns_mode: String,
    dns: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    extra_hosts: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    ipc_mode: String,
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
    shm_size: u64,
    runtime: String,
    cpu_shares: u64,
    memory: u64,
    nano_cpus: u64,
    cgroup_parent: String,
    blkio_weight: u16,
    cpu_period: u64,
    cpu_quota: i64,
    cpuset_cpus: String,
    cpuset_mems: String,
    devices: Vec<Device>,
    memory_reservation: u64,
    memory_swap: i64,
    oom_kill_disable: bool,
    init: bool,
    pids_limit: Option<i64>,
    ulimits: Vec<Limit>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    masked_paths: Vec<&'static str>,
    readonly_paths: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    #[serde(rename = "Type")]
    kind: &'static str,
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
                kind: "json-file",
                config: BTreeMap::new(),
            },
            network_mode: spec.network.to_string(),
            port_bindings: bindings(&spec.ports),
            restart_policy: policy(spec.restart),
            auto_remove: spec.auto_remove,
            cap_add: list(&spec.cap_add),
            cap_drop: list(&spec.cap_drop),
            cgroupns_mode: or_private(&spec.cgroupns_mode),
            dns: spec.dns.clone(),
            dns_options: spec.dns_options.clone(),
            dns_search: spec.dns_search.clone(),
            extra_hosts: list(&spec.add_hosts),
            group_add: list(&spec.group_add),
            ipc_mode: or_private(&spec.ipc_mode),
            oom_score_adj: spec.oom_score_adj.unwrap_or(0),
            pid_mode: spec.pid_mode.clone(),
            privileged: spec.privileged,
            publish_all_ports: spec.publish_all,
            readonly_rootfs: spec.read_only,
            security_opt: list(&spec.security_opt),
            sysctls: spec.sysctls.clone(),
            tmpfs: tmpfs(record),
            uts_mode: spec.uts_mode.clone(),
            shm_size: spec.shm_size.unwrap_or(64 << 20),
            runtime: "gantry".into(),
            cpu_shares: resources.cpu_shares.unwrap_or(0),
            memory: resources.memory.unwrap_or(0),
            nano_cpus: resources.nano_cpus.unwrap_or(0),
            cgroup_parent: spec.cgroup_parent.clone().unwrap_or_default(),
            blkio_weight: resources.blkio_weight.unwrap_or(0),
            cpu_period: resources.cpu_period.unwrap_or(0),
            cpu_quota: resources.cpu_quota.unwrap_or(0),
            cpuset_cpus: resources.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: resources.cpuset_mems.clone().unwrap_or_default(),
            devices: devices(&spec.devices),
            memory_reservation: resources.memory_reservation.unwrap_or(0),
            memory_swap: resources.memory_swap.unwrap_or(0),
            oom_kill_disable: resources.oom_kill_disable,
            init: spec.init,
            pids_limit: resources.pids_limit,
            ulimits: limits(spec),
            annotations: spec.annotations.clone(),
            masked_paths: paths(defaults::MASKED_PATHS),
            readonly_paths: paths(defaults::READONLY_PATHS),
        }
    }
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

fn tmpfs(record: &ContainerRecord) -> BTreeMap<String, String> {
    record
        .mounts
        .iter()
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
