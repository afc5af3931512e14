//! From the flags of `run` and `create` to a [`ContainerSpec`]: pure but for the files that
//! `--env-file` and `--label-file` name.

mod health;

use std::collections::BTreeMap;

use gantry_model::container::{ContainerSpec, LogConfig, NetworkMode, Resources};
use gantry_model::port::{parse_exposed, parse_published};
use gantry_model::quantity::parse_nano_cpus;
use gantry_model::userns::UsernsMode;
use gantry_sys::netlink::{Mac, MacError};

use super::container::ContainerFlags;
use super::devices::{Counts, values};
use super::environment::{self, Lookup};
use super::limits::bytes;
use super::value::{FlagError, wrong};
use super::{hosts, mounts};
use crate::exit;
use crate::failure::Failure;

/// What the flags are read against.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// The caller's working folder.
    pub(crate) folder: mounts::Folder<'a>,
    /// The caller's environment.
    pub(crate) environment: Lookup<'a>,
}

impl std::fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

/// The container that `flags` ask for.
pub(crate) fn container(
    flags: &ContainerFlags,
    image: &str,
    command: &[String],
    caller: Caller<'_>,
) -> Result<ContainerSpec, Failure> {
    refuse(flags)?;
    // Read, as Docker does, and without effect, as with Docker: the kernel has no such limit.
    bytes("--kernel-memory", flags.kernel_memory.as_deref())?;
    let mut spec = ContainerSpec {
        image: image.to_owned(),
        platform: flags.platform.clone(),
        name: flags.name.clone(),
        command: command.to_vec(),
        entrypoint: flags.entrypoint.as_ref().map(|word| entrypoint(word)),
        env: environment::variables(&flags.env_file, &flags.env, caller.environment)
            .map_err(environment::failure)?,
        working_dir: flags.workdir.clone(),
        user: flags.user.clone(),
        group_add: flags.group_add.clone(),
        hostname: flags.hostname.clone(),
        domainname: flags.domainname.clone(),
        interactive: flags.interactive,
        tty: flags.tty,
        mounts: mounts::mounts(&flags.volume, &flags.mount, &flags.tmpfs, caller.folder)?,
        read_only: flags.read_only,
        shm_size: flags.limits.shm_size()?,
        ulimits: flags.limits.ulimits()?,
        publish_all: flags.publish_all,
        resources: resources(flags)?,
        privileged: flags.privileged,
        security_opt: flags.limits.security_opt.clone(),
        devices: flags.device.clone(),
        device_cgroup_rules: flags.device_cgroup_rule.clone(),
        volumes_from: flags.volumes_from.clone(),
        storage_opt: storage_options(&flags.storage_opt)?,
        volume_driver: flags.volume_driver.clone().filter(|name| !name.is_empty()),
        runtime: flags.runtime.clone().filter(|name| !name.is_empty()),
        cgroup_parent: flags.limits.cgroup_parent.clone(),
        init: flags.init,
        auto_remove: flags.rm,
        labels: environment::labels(&flags.label_file, &flags.label)
            .map_err(environment::failure)?,
        stop_signal: flags.stop_signal.clone(),
        stop_timeout: flags.stop_timeout,
        healthcheck: health::check(flags)?,
        health_on_failure: health::on_failure(flags)?,
        log: log(flags)?,
        ..ContainerSpec::default()
    };
    network(&mut spec, flags)?;
    isolation(&mut spec, flags)?;
    Ok(spec)
}

/// `--storage-opt`: whether they can be had is for the engine to say.
fn storage_options(written: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Failure::invalid(format!(
            "invalid storage option {text:?}: expected NAME=VALUE"
        ))),
    };
    written.iter().map(pair).collect()
}

/// Refuses combinations and values that Docker refuses, or that mean something we do not have.
fn refuse(flags: &ContainerFlags) -> Result<(), Failure> {
    let restarts = flags
        .restart
        .as_deref()
        .is_some_and(|policy| !matches!(policy, "" | "no"));
    if flags.rm && restarts {
        return Err(Failure::invalid(
            "conflicting options: cannot specify both --restart and --rm",
        ));
    }
    if let Some(mode) = flags.userns.as_deref().filter(|mode| !mode.is_empty()) {
        mode.parse::<UsernsMode>()
            .map_err(|error| Failure::invalid(format!("--userns: {error}")))?;
    }
    if !matches!(flags.pull.as_str(), "always" | "missing" | "never") {
        return Err(Failure::invalid(format!(
            "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"",
            flags.pull
        ))
        .with_code(exit::BAD_FLAG));
    }
    flags.limits.check_isolation()?;
    if flags
        .oom_score_adj
        .is_some_and(|adj| !(-1000..=1000).contains(&adj))
    {
        return Err(Failure::invalid(
            "invalid value for --oom-score-adj, range is [-1000, 1000]",
        ));
    }
    Ok(())
}

/// An empty word clears the image's entry point.
fn entrypoint(word: &str) -> Vec<String> {
    if word.is_empty() {
        Vec::new()
    } else {
        vec![word.to_owned()]
    }
}

fn resources(flags: &ContainerFlags) -> Result<Resources, Failure> {
    let limits = flags.limits.resources()?;
    let nano_cpus = match flags.cpus.as_deref() {
        Some(text) => Some(parse_nano_cpus(text).map_err(wrong("--cpus", text))?),
        None => None,
    };
    let of_period = flags.limits.cpu_quota.is_some() || flags.limits.cpu_period.is_some();
    if nano_cpus.is_some_and(|n| n > 0) && of_period {
        return Err(Failure::invalid(
            "conflicting options: --cpus and --cpu-period or --cpu-quota cannot both be set",
        ));
    }
    Ok(Resources {
        memory_reservation: bytes("--memory-reservation", flags.memory_reservation.as_deref())?,
        nano_cpus: nano_cpus.filter(|n| *n > 0),
        pids_limit: flags.pids_limit.filter(|n| *n != 0),
        cpu_rt_period: flags.cpu_rt_period.filter(|n| *n > 0),
        cpu_rt_runtime: flags.cpu_rt_runtime.filter(|n| *n != 0),
        memory_swappiness: swappiness(flags)?,
        blkio_weight: flags.blkio_weight.filter(|n| *n != 0),
        blkio_weight_devices: values(
            "--blkio-weight-device",
            Counts::Weight,
            &flags.blkio_weight_device,
        )?
        .into_iter()
        .filter(|device| device.value > 0)
        .collect(),
        device_read_bps: values("--device-read-bps", Counts::Bytes, &flags.device_read_bps)?,
        device_write_bps: values("--device-write-bps", Counts::Bytes, &flags.device_write_bps)?,
        device_read_iops: values(
            "--device-read-iops",
            Counts::Operations,
            &flags.device_read_iops,
        )?,
        device_write_iops: values(
            "--device-write-iops",
            Counts::Operations,
            &flags.device_write_iops,
        )?,
        oom_kill_disable: flags.oom_kill_disable,
        ..limits
    })
}

fn swappiness(flags: &ContainerFlags) -> Result<Option<u64>, Failure> {
    match flags.memory_swappiness {
        None | Some(-1) => Ok(None),
        Some(value) => u64::try_from(value)
            .ok()
            .filter(|value| *value <= 100)
            .map(Some)
            .ok_or_else(|| {
                Failure::invalid(format!(
                    "invalid value: {value}. Valid memory swappiness range is 0-100"
                ))
            }),
    }
}

fn network(spec: &mut ContainerSpec, flags: &ContainerFlags) -> Result<(), Failure> {
    spec.network = match flags.network.as_slice() {
        [] => NetworkMode::Bridge,
        [one] => one.parse().map_err(wrong("--network", one))?,
        [_, another, ..] => {
            return Err(Failure::unsupported(format!(
                "network {another:?} cannot be added: a container has one network yet"
            )));
        }
    };
    for text in &flags.publish {
        spec.ports
            .extend(parse_published(text).map_err(wrong("-p, --publish", text))?);
    }
    for text in &flags.expose {
        spec.expose
            .extend(parse_exposed(text).map_err(wrong("--expose", text))?);
    }
    for text in &flags.add_host {
        let (name, address) = hosts::split(text).map_err(wrong("--add-host", text))?;
        spec.add_hosts.push(format!("{name}:{address}"));
    }
    spec.links.clone_from(&flags.link);
    for text in &flags.link_local_ip {
        let parsed = text.parse().map_err(wrong("--link-local-ip", text))?;
        spec.link_local_ips.push(parsed);
    }
    if let Some(text) = flags.mac_address.as_deref().filter(|text| !text.is_empty()) {
        let mac: Mac = text
            .parse()
            .map_err(|error: MacError| Failure::invalid(error.to_string()))?;
        spec.mac_address = Some(mac.to_string());
    }
    for text in &flags.dns {
        spec.dns
            .push(hosts::name_server(text).map_err(wrong("--dns", text))?);
    }
    for text in &flags.dns_search {
        spec.dns_search
            .push(hosts::search_domain(text).map_err(wrong("--dns-search", text))?);
    }
    spec.dns_options.clone_from(&flags.dns_option);
    Ok(())
}

fn isolation(spec: &mut ContainerSpec, flags: &ContainerFlags) -> Result<(), Failure> {
    for (field, flag, value) in [
        (&mut spec.pid_mode, "--pid", &flags.pid),
        (&mut spec.ipc_mode, "--ipc", &flags.ipc),
        (&mut spec.uts_mode, "--uts", &flags.uts),
        (&mut spec.cgroupns_mode, "--cgroupns", &flags.cgroupns),
    ] {
        let value = value.as_deref().unwrap_or_default();
        *field = namespace(flag, value)?;
    }
    if let Some(text) = &flags.gpus {
        let request = super::gpus::parse(text).map_err(wrong("--gpus", text))?;
        spec.device_requests.push(request);
    }
    spec.userns_mode = flags.userns.clone().unwrap_or_default();
    spec.cap_add = flags.cap_add.iter().map(|name| capability(name)).collect();
    spec.cap_drop = flags.cap_drop.iter().map(|name| capability(name)).collect();
    spec.sysctls = map("--sysctl", &flags.sysctl)?;
    spec.annotations = map("--annotation", &flags.annotation)?;
    spec.oom_score_adj = flags.oom_score_adj;
    if let Some(text) = &flags.restart {
        spec.restart = text.parse().map_err(wrong("--restart", text))?;
    }
    Ok(())
}

/// A mode that this namespace has, or Docker's sentence on why not.
fn namespace(flag: &'static str, value: &str) -> Result<String, Failure> {
    let (known, of_container): (&[&str], bool) = match flag {
        "--ipc" => (&["", "host", "none", "private", "shareable"], true),
        "--cgroupns" => (&["", "host", "private"], false),
        "--pid" => (&["", "host"], true),
        _ => (&["", "host"], false),
    };
    let shared = value
        .strip_prefix("container:")
        .is_some_and(|name| of_container && !name.is_empty());
    if shared || known.contains(&value) {
        return Ok(value.to_owned());
    }
    Err(Failure::invalid(match flag {
        "--ipc" => format!("invalid IPC mode: {value}"),
        "--cgroupns" => format!("{flag}: invalid CGROUP mode"),
        "--pid" => format!("{flag}: invalid PID mode"),
        _ => format!("{flag}: invalid UTS mode"),
    }))
}

fn capability(name: &str) -> String {
    let upper = name.trim().to_ascii_uppercase();
    upper
        .strip_prefix("CAP_")
        .map_or_else(|| upper.clone(), str::to_owned)
}

fn map(flag: &'static str, texts: &[String]) -> Result<BTreeMap<String, String>, FlagError> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(wrong(flag, text)("expected NAME=VALUE")),
        })
        .collect()
}

fn log(flags: &ContainerFlags) -> Result<LogConfig, Failure> {
    let driver = flags.log_driver.clone().unwrap_or_default();
    if driver == "none" && !flags.log_opt.is_empty() {
        return Err(Failure::invalid("invalid logging opts for driver none"));
    }
    let options = flags
        .log_opt
        .iter()
        .map(|option| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect();
    Ok(LogConfig { driver, options })
}

#[cfg(test)]
mod tests;
