//! A container as `docker inspect` shows it.

mod host_config;

use std::collections::BTreeMap;

use gantry_model::container::NetworkMode;
use gantry_model::image::Healthcheck;
use gantry_model::mount::{MountFlag, MountSource};
use gantry_model::port::PortMapping;
use gantry_model::record::{HealthProbe, ResolvedMount, ResolvedMountKind, Status};
use gantry_model::{ContainerRecord, ContainerState};
use serde::Serialize;
use serde_json::Value;

use host_config::HostConfig;

use super::error::ContainerError;
use super::folders::Folders;
use super::spec;
use super::{Containers, confinement, host};

/// A container in Docker's shape; fields come in Docker's order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: State,
    image: String,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: String,
    platform: String,
    mount_label: String,
    process_label: String,
    app_armor_profile: String,
    #[serde(rename = "ExecIDs")]
    exec_ids: Option<Vec<String>>,
    host_config: HostConfig,
    graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<Mount>,
    config: Config,
    network_settings: NetworkSettings,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: i32,
    error: String,
    started_at: String,
    finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
    failing_streak: u32,
    log: Vec<Probe>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Probe {
    start: String,
    end: String,
    exit_code: i32,
    output: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    data: BTreeMap<String, String>,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    source: String,
    destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    mode: String,
    #[serde(rename = "RW")]
    writable: bool,
    propagation: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    hostname: String,
    domainname: String,
    user: String,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<BTreeMap<String, Value>>,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    image: String,
    volumes: Option<BTreeMap<String, Value>>,
    working_dir: String,
    entrypoint: Option<Vec<String>>,
    on_build: Option<Vec<String>>,
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    bridge: String,
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: String,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_length: u8,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_addresses: Option<Vec<String>>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: Option<Vec<String>>,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_length: u8,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    prefix_length: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    mac_address: String,
    networks: BTreeMap<String, Endpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PortBinding {
    host_ip: String,
    host_port: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<Value>,
    links: Option<Vec<String>>,
    aliases: Option<Vec<String>>,
    mac_address: String,
    driver_opts: Option<BTreeMap<String, String>>,
    gw_priority: i64,
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    prefix_length: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_length: u8,
    #[serde(rename = "DNSNames")]
    dns_names: Option<Vec<String>>,
}

/// What Docker writes for a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Containers<'_> {
    /// A container in Docker's shape; with `size` its writable layer is measured.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`] and others.
    pub fn inspect(&self, name: &str, size: bool) -> Result<Inspected, ContainerError> {
        let (record, state) = self.look(name)?;
        let folders = Folders::of(self.engine, &record.id);
        let lowers = self
            .engine
            .store()?
            .layers()
            .lowers(&record.layers)
            // An image whose layers are damaged does not keep its containers from being shown.
            .unwrap_or_default();
        let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let lower: Vec<String> = lowers.into_iter().rev().map(path).collect();
        let labels = confinement::names(&record.spec, record.id.as_str()).unwrap_or_default();
        let size_rw = size.then(|| self.writable_size(&record));
        let mut data = BTreeMap::from([
            ("ID".to_owned(), record.id.to_string()),
            ("LowerDir".to_owned(), lower.join(":")),
            ("UpperDir".to_owned(), path(folders.upper())),
            ("WorkDir".to_owned(), path(folders.work())),
        ]);
        // The overlay is mounted in the container's own namespace only.
        if let Some(pid) = state.pid {
            data.insert("MergedDir".to_owned(), format!("/proc/{pid}/root"));
        }
        Ok(Inspected {
            id: record.id.to_string(),
            created: record.created.clone(),
            path: record.args.first().cloned().unwrap_or_default(),
            args: record.args.iter().skip(1).cloned().collect(),
            state: state_of(&state),
            image: record.image_id.to_string(),
            resolv_conf_path: path(folders.resolv_conf()),
            hostname_path: path(folders.hostname()),
            hosts_path: path(folders.hosts()),
            log_path: match record.spec.log.driver.as_str() {
                "" | "json-file" => path(super::logging::path(&record, &folders.folder)),
                _ => String::new(),
            },
            name: format!("/{}", record.name),
            restart_count: state.restart_count,
            driver: "overlay2".into(),
            platform: "linux".into(),
            mount_label: labels.files,
            process_label: labels.process,
            app_armor_profile: labels.profile,
            exec_ids: None,
            host_config: HostConfig::of(&record),
            graph_driver: GraphDriver {
                data,
                name: "overlay2".into(),
            },
            size_rw,
            size_root_fs: size_rw.map(|own| own + self.image_size(&record)),
            mounts: mounts_of(&record),
            config: config_of(&record),
            network_settings: {
                let name = record.spec.network.to_string();
                let network = crate::networks::id(&name, self.engine.run_root());
                network_of(&record, &state, network)
            },
        })
    }

    /// Bytes of the image below a container; nothing when it is gone.
    fn image_size(&self, record: &ContainerRecord) -> u64 {
        let image = self
            .engine
            .images()
            .inspect(&record.image_id.to_string(), None);
        image.map_or(0, |image| image.size)
    }
}

fn state_of(state: &ContainerState) -> State {
    let time = |time: &Option<String>| time.clone().unwrap_or_else(|| NEVER.to_owned());
    let restarting = state.status == Status::Restarting;
    let paused = state.status == Status::Paused;
    State {
        status: state.status.to_string(),
        running: restarting || paused || state.status == Status::Running,
        paused,
        restarting,
        oom_killed: state.oom_killed,
        dead: state.status == Status::Dead,
        pid: state.pid.unwrap_or(0),
        exit_code: state.exit_code,
        error: state.error.clone(),
        started_at: time(&state.started_at),
        finished_at: time(&state.finished_at),
        health: state.health.as_ref().map(|health| Health {
            status: health.status.to_string(),
            failing_streak: health.failing_streak,
            log: health.log.iter().map(probe_of).collect(),
        }),
    }
}

fn probe_of(probe: &HealthProbe) -> Probe {
    Probe {
        start: probe.start.clone(),
        end: probe.end.clone(),
        exit_code: probe.exit_code,
        output: probe.output.clone(),
    }
}

/// The mounts but those of `--tmpfs`, which Docker tells of in `HostConfig` alone.
fn mounts_of(record: &ContainerRecord) -> Vec<Mount> {
    let with_flag = record
        .mounts
        .iter()
        .map(|mount| (mount, flag_of(record, mount)));
    with_flag
        .filter(|(_, flag)| *flag != MountFlag::Tmpfs)
        .map(|(mount, flag)| mount_of(mount, flag))
        .collect()
}

/// The flag that asked for a mount.
fn flag_of(record: &ContainerRecord, mount: &ResolvedMount) -> MountFlag {
    let mut written = record.spec.mounts.iter();
    written
        .find(|written| written.target == mount.target)
        .map_or(MountFlag::Volume, |written| written.flag)
}

fn mount_of(mount: &ResolvedMount, flag: MountFlag) -> Mount {
    let base = Mount {
        kind: String::new(),
        name: None,
        source: String::new(),
        destination: mount.target.clone(),
        driver: None,
        mode: match flag {
            MountFlag::Volume if mount.read_only => "ro".into(),
            _ => String::new(),
        },
        writable: !mount.read_only,
        propagation: String::new(),
    };
    match &mount.kind {
        ResolvedMountKind::Bind {
            source,
            propagation,
            ..
        } => Mount {
            kind: "bind".into(),
            source: source.clone(),
            propagation: serde_json::to_value(propagation)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_default(),
            ..base
        },
        ResolvedMountKind::Volume {
            name,
            source,
            anonymous,
            ..
        } => Mount {
            kind: "volume".into(),
            name: Some(name.clone()),
            source: source.clone(),
            driver: Some("local".into()),
            // Docker's mark of what SELinux may let several containers have.
            mode: match flag {
                MountFlag::Mount => "z".into(),
                _ if base.mode.is_empty() && !anonymous => "z".into(),
                _ => base.mode.clone(),
            },
            ..base
        },
        ResolvedMountKind::Image { image, .. } => Mount {
            kind: "image".into(),
            source: image.clone(),
            ..base
        },
        ResolvedMountKind::Tmpfs { .. } => Mount {
            kind: "tmpfs".into(),
            ..base
        },
    }
}

fn config_of(record: &ContainerRecord) -> Config {
    let spec = &record.spec;
    let process = &record.process;
    let some = |map: &BTreeMap<String, Value>| (!map.is_empty()).then(|| map.clone());
    let mut volumes = process.volumes.clone();
    // Those of `-v` without a name are told of beside the image's.
    volumes.extend(record.spec.mounts.iter().filter_map(|mount| {
        let nameless = matches!(mount.source, MountSource::Volume { name: None, .. });
        let told = nameless && mount.flag == MountFlag::Volume;
        told.then(|| (mount.target.clone(), Value::Object(serde_json::Map::new())))
    }));
    Config {
        hostname: spec::hostname(record, &host::name()).to_owned(),
        domainname: spec.domainname.clone().unwrap_or_default(),
        user: process.user.clone(),
        attach_stdin: spec.stdin_once,
        attach_stdout: spec.attach_stdout,
        attach_stderr: spec.attach_stderr,
        exposed_ports: some(&process.exposed_ports),
        tty: spec.tty,
        open_stdin: spec.interactive,
        stdin_once: spec.stdin_once,
        env: (!process.env.is_empty()).then(|| process.env.clone()),
        cmd: process.cmd.clone(),
        healthcheck: record.healthcheck.clone(),
        image: record.image_name.clone(),
        volumes: some(&volumes),
        working_dir: process.working_dir.clone(),
        entrypoint: process.entrypoint.clone(),
        on_build: None,
        labels: process.labels.clone(),
        stop_signal: process.stop_signal.clone(),
        stop_timeout: spec.stop_timeout,
    }
}

fn bindings(ports: &[PortMapping]) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut all: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    for mapping in ports {
        all.entry(mapping.container.to_string())
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: mapping.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
                host_port: match mapping.host_port {
                    0 => String::new(),
                    port => port.to_string(),
                },
            });
    }
    all
}

fn network_of(
    record: &ContainerRecord,
    state: &ContainerState,
    network_id: String,
) -> NetworkSettings {
    let network = state.network.clone();
    let (address, prefix, gateway, mac) = network
        .as_ref()
        .map(|n| {
            (
                n.ip_address.clone(),
                n.prefix_length,
                n.gateway.clone(),
                n.mac_address.clone(),
            )
        })
        .unwrap_or_default();
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    if let Some(network) = &network {
        ports = bindings(&network.ports)
            .into_iter()
            .map(|(port, list)| {
                let everywhere = |mut binding: PortBinding| {
                    if binding.host_ip.is_empty() {
                        binding.host_ip = "0.0.0.0".into();
                    }
                    binding
                };
                (
                    port,
                    list.map(|list| list.into_iter().map(everywhere).collect()),
                )
            })
            .collect();
        for exposed in record.process.exposed_ports.keys() {
            ports.entry(exposed.clone()).or_insert(None);
        }
    }
    let name = match &record.spec.network {
        NetworkMode::Container(_) => None,
        mode => Some(mode.to_string()),
    };
    // An endpoint and a sandbox are the container's, and last as long as it runs.
    let lives = |has: bool| match has {
        true => record.id.to_string(),
        false => String::new(),
    };
    let endpoint_id = lives(network.is_some());
    let endpoint = Endpoint {
        ipam_config: None,
        links: None,
        aliases: None,
        mac_address: mac.clone(),
        driver_opts: None,
        gw_priority: 0,
        network_id,
        endpoint_id: endpoint_id.clone(),
        gateway: gateway.clone(),
        ip_address: address.clone(),
        prefix_length: prefix,
        ipv6_gateway: String::new(),
        global_ipv6_address: String::new(),
        global_ipv6_prefix_length: 0,
        dns_names: None,
    };
    NetworkSettings {
        bridge: String::new(),
        sandbox_id: lives(state.pid.is_some()),
        sandbox_key: state
            .pid
            .map(|pid| format!("/proc/{pid}/ns/net"))
            .unwrap_or_default(),
        ports,
        hairpin_mode: false,
        link_local_ipv6_address: String::new(),
        link_local_ipv6_prefix_length: 0,
        secondary_addresses: None,
        secondary_ipv6_addresses: None,
        endpoint_id,
        gateway,
        global_ipv6_address: String::new(),
        global_ipv6_prefix_length: 0,
        ip_address: address,
        prefix_length: prefix,
        ipv6_gateway: String::new(),
        mac_address: mac,
        networks: name.map(|name| (name, endpoint)).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_grouped_as_dockers() {
        let ports = gantry_model::port::parse_published("127.0.0.1:8080:80").unwrap();
        let value = serde_json::to_value(bindings(&ports)).unwrap();
        assert_eq!(
            value,
            json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]})
        );
    }
}
