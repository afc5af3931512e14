//! What can be told to be wrong with a container before it is made.

use gantry_model::container::{ContainerSpec, NetworkMode};

use super::{
    OwnNamespaces, SpecError, UTS_LENGTH, capabilities, cgroup_path, devices, resources, security,
    shared_with, sysctls,
};

/// What can be told to be impossible at creation, long before a start.
pub(crate) fn check(spec: &ContainerSpec, cpus: impl FnOnce() -> u64) -> Result<(), SpecError> {
    // Whether the devices are there shows at a start.
    resources::decide(&spec.resources, &|_| Ok((0, 0)))?;
    resources::check_cpus(&spec.resources, cpus)?;
    gantry_runtime::rlimits(&spec.ulimits)?;
    security::parse(&spec.security_opt)?;
    capabilities::decide(&spec.cap_add, &spec.cap_drop, spec.privileged, &[])?;
    for device in spec
        .devices
        .iter()
        .filter(|name| !crate::cdi::is_name(name))
    {
        devices::parse(device)?;
    }
    for rule in &spec.device_cgroup_rules {
        devices::parse_rule(rule)?;
    }
    if !matches!(spec.runtime.as_deref(), None | Some("" | "gantry")) {
        let name = spec.runtime.clone().unwrap_or_default();
        return Err(SpecError::Runtime { name });
    }
    for entry in &spec.add_hosts {
        let address = entry
            .split_once(['=', ':'])
            .filter(|(name, _)| !name.is_empty());
        if !address.is_some_and(|(_, address)| is_host_address(address)) {
            let value = entry.chars().take(200).collect();
            return Err(SpecError::Value {
                field: "entry of --add-host",
                value,
            });
        }
    }
    for server in &spec.dns {
        if server.parse::<std::net::IpAddr>().is_err() {
            let value = server.chars().take(100).collect();
            return Err(SpecError::Value {
                field: "DNS address",
                value,
            });
        }
    }
    check_lines(spec)?;
    let own = OwnNamespaces::of(spec);
    sysctls(spec, own)?;
    cgroup_path(spec.cgroup_parent.as_deref(), "id")?;
    for (namespace, mode, allowed) in [
        ("PID", &spec.pid_mode, &["", "host", "private"][..]),
        (
            "IPC",
            &spec.ipc_mode,
            &["", "host", "none", "private", "shareable"],
        ),
        ("UTS", &spec.uts_mode, &["", "host"]),
        (
            "cgroup namespace",
            &spec.cgroupns_mode,
            &["", "host", "private"],
        ),
    ] {
        let shared = matches!(namespace, "PID" | "IPC") && shared_with(mode).is_some();
        if !shared && !allowed.contains(&mode.as_str()) {
            let mode = mode.chars().take(100).collect();
            return Err(SpecError::NamespaceMode { namespace, mode });
        }
    }
    if !own.uts && spec.hostname.is_some() {
        return Err(SpecError::Conflict("hostname and the UTS mode"));
    }
    if !own.uts && spec.domainname.is_some() {
        return Err(SpecError::Conflict("domainname and the UTS mode"));
    }
    if let NetworkMode::Container(_) = spec.network {
        let other = "port publishing and the container type network mode";
        if !spec.ports.is_empty() || spec.publish_all {
            return Err(SpecError::Conflict(other));
        }
        if spec.hostname.is_some() {
            return Err(SpecError::Conflict("hostname and the network mode"));
        }
    }
    if spec.auto_remove && spec.restart != gantry_model::restart::RestartPolicy::No {
        return Err(SpecError::Conflict("--restart and --rm"));
    }
    if let Some(folder) = &spec.working_dir
        && !folder.starts_with('/')
        && !folder.is_empty()
    {
        return Err(SpecError::Value {
            field: "working directory (it must be absolute)",
            value: folder.clone(),
        });
    }
    let fits = |name: &String| !name.is_empty() && name.len() <= UTS_LENGTH;
    if let Some(value) = spec.hostname.clone().filter(|name| !fits(name)) {
        let field = "hostname";
        return Err(SpecError::Value { field, value });
    }
    let domain = spec.domainname.clone().unwrap_or_default();
    if domain.len() > UTS_LENGTH {
        return Err(SpecError::Value {
            field: "domain name",
            value: domain,
        });
    }
    if spec
        .oom_score_adj
        .is_some_and(|adjust| !(-1000..=1000).contains(&adjust))
    {
        return Err(SpecError::Resources(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            spec.oom_score_adj.unwrap_or_default()
        )));
    }
    Ok(())
}

/// Checks what becomes part of a line of `/etc/hosts`, `/etc/hostname` or `/etc/resolv.conf`:
/// none may begin a further line there.
fn check_lines(spec: &ContainerSpec) -> Result<(), SpecError> {
    fn each<'a>(
        field: &'static str,
        values: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), SpecError> {
        match values
            .into_iter()
            .find(|value| value.contains(char::is_control))
        {
            Some(value) => Err(SpecError::ControlCharacter {
                field,
                value: value.chars().take(200).collect(),
            }),
            None => Ok(()),
        }
    }
    each("--hostname", &spec.hostname)?;
    each("--domainname", &spec.domainname)?;
    each("--add-host", &spec.add_hosts)?;
    each("--dns-search", &spec.dns_search)?;
    each("--dns-option", &spec.dns_options)
}

/// Whether a text is an address that `/etc/hosts` takes.
fn is_host_address(text: &str) -> bool {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare == "host-gateway" || bare.parse::<std::net::IpAddr>().is_ok()
}
