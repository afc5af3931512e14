//! Which containers `ps` and `container prune` mean: the filters.

use gantry_model::port::ContainerPort;
use gantry_model::record::Status;
use gantry_model::{ContainerRecord, ContainerState};
use jiff::Timestamp;
use regex::Regex;

use super::row::{exposed, mounts_volume};
use crate::failure::Failure;
use crate::flags::filter::{Filters, has_label};
use crate::output::time;

/// The filters of `ps`.
pub(crate) const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

const STATUSES: [&str; 7] = [
    "created",
    "restarting",
    "running",
    "removing",
    "paused",
    "exited",
    "dead",
];

/// Containers that others are compared with, by time of creation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// Only those created before this one.
    pub(crate) before: Option<Timestamp>,
    /// Only those created after this one.
    pub(crate) since: Option<Timestamp>,
}

/// Refuses values that no container can have.
pub(crate) fn check(filters: &Filters) -> Result<(), Failure> {
    if let Some(status) = filters.values("status").find(|s| !STATUSES.contains(s)) {
        return Err(Failure::invalid(format!(
            "invalid filter 'status={status}', the states are {}",
            STATUSES.join(", ")
        )));
    }
    if let Some(code) = filters
        .values("exited")
        .find(|code| code.parse::<i32>().is_err())
    {
        return Err(Failure::invalid(format!(
            "invalid filter 'exited={code}', expected a number"
        )));
    }
    if let Some(health) = filters.values("health").find(|h| !HEALTHS.contains(h)) {
        return Err(Failure::invalid(format!(
            "invalid filter 'health={health}', expected one of {}",
            HEALTHS.join(", ")
        )));
    }
    filters.truth("is-task")?;
    if let Some(other) = filters
        .values("isolation")
        .find(|isolation| !matches!(*isolation, "" | "default"))
    {
        return Err(Failure::unsupported(format!(
            "filter 'isolation={other}' is not supported: isolation technologies are a matter of Windows"
        )));
    }
    for name in ["publish", "expose"] {
        for port in filters.values(name) {
            ports(port).map_err(|reason| {
                Failure::invalid(format!("invalid filter '{name}={port}': {reason}"))
            })?;
        }
    }
    Ok(())
}

/// The ports that a filter names: `PORT[-PORT][/PROTOCOL]`.
fn ports(text: &str) -> Result<Vec<ContainerPort>, String> {
    if text.contains(':') {
        return Err("it must not contain ':'".to_owned());
    }
    gantry_model::port::parse_exposed(text).map_err(|error| error.to_string())
}

/// Whether the filters ask for containers that do not run (then `-a` is understood).
pub(crate) fn reaches_stopped(filters: &Filters) -> bool {
    filters.values("status").next().is_some()
}

/// Whether a container is meant.
pub(crate) fn fits(
    filters: &Filters,
    bounds: &Bounds,
    record: &ContainerRecord,
    state: &ContainerState,
) -> bool {
    let created = time::parse(&record.created);
    filters.any("status", |status| state.status.to_string() == status)
        && filters.any("exited", |code| {
            state.status == Status::Exited && code.parse() == Ok(state.exit_code)
        })
        // There is no swarm whose task a container could be.
        && filters.truth("is-task").is_ok_and(|wanted| wanted != Some(true))
        && filters.any("health", |wanted| health(state) == wanted)
        && filters.any("id", |id| record.id.as_str().starts_with(id))
        && filters.any("name", |pattern| name_fits(&record.name, pattern))
        && filters.all("label", |label| has_label(&record.process.labels, label))
        && filters.any("ancestor", |name| is_ancestor(record, name))
        && filters.any("volume", |volume| mounts_volume(record, volume))
        && filters.any("network", |network| {
            record.spec.network.to_string() == network
        })
        && filters.any("publish", |port| publishes(state, port))
        && filters.any("expose", |port| exposes(record, state, port))
        && bounds.before.is_none_or(|limit| created < Some(limit))
        && bounds.since.is_none_or(|limit| created > Some(limit))
}

/// What the health check says; `none` when there is none.
fn health(state: &ContainerState) -> String {
    state
        .health
        .as_ref()
        .map_or_else(|| "none".to_owned(), |health| health.status.to_string())
}

/// Docker's rule: an expression that fits somewhere in the name, with or without the slash that
/// names once began with. One that is none is taken as it is written.
fn name_fits(name: &str, pattern: &str) -> bool {
    match Regex::new(pattern) {
        Ok(expression) => expression.is_match(name) || expression.is_match(&format!("/{name}")),
        Err(_) => name.contains(pattern),
    }
}

fn is_ancestor(record: &ContainerRecord, name: &str) -> bool {
    let id = record.image_id.to_string();
    let hex = id.strip_prefix("sha256:").unwrap_or(&id);
    let same = |a: &str, b: &str| {
        let parsed = |t: &str| t.parse::<gantry_model::Reference>().ok();
        a == b || parsed(a).is_some_and(|a| parsed(b) == Some(a))
    };
    same(&record.image_name, name)
        || id == name
        || (name.len() >= 4 && hex.starts_with(name.strip_prefix("sha256:").unwrap_or(name)))
}

/// Whether a port of the host leads into it now.
fn publishes(state: &ContainerState, wanted: &str) -> bool {
    let published = state.network.iter().flat_map(|network| &network.ports);
    let wanted = ports(wanted).unwrap_or_default();
    published.into_iter().any(|mapping| {
        wanted.contains(&ContainerPort {
            port: mapping.host_port,
            ..mapping.container
        })
    })
}

/// Whether it has a port to be reached at now, published or not.
fn exposes(record: &ContainerRecord, state: &ContainerState, wanted: &str) -> bool {
    let Some(network) = &state.network else {
        return false;
    };
    let open = exposed(record);
    let wanted = ports(wanted).unwrap_or_default();
    wanted.iter().any(|port| {
        open.contains(port)
            || network
                .ports
                .iter()
                .any(|mapping| mapping.container == *port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::container::ContainerSpec;
    use gantry_model::image::ProcessConfig;
    use gantry_model::record::NetworkState;

    fn record() -> ContainerRecord {
        ContainerRecord {
            version: 1,
            id: "8d6332d60a9aab9d29015f319aaee8968618e3676fcc7dd3b2f0054fe0772ee2"
                .parse()
                .unwrap(),
            name: "web-1".into(),
            created: "2026-11-21T08:20:49.015Z".into(),
            spec: ContainerSpec::default(),
            image_id: format!("sha256:{}", "9".repeat(64)).parse().unwrap(),
            image_name: "busybox".into(),
            layers: vec![],
            process: ProcessConfig {
                labels: [("a".to_owned(), "b".to_owned())].into(),
                exposed_ports: [("80/tcp".to_owned(), serde_json::json!({}))].into(),
                ..ProcessConfig::default()
            },
            args: vec!["sh".into()],
            healthcheck: None,
            mounts: vec![],
            id_ranges: None,
        }
    }

    fn selected(flags: &[&str]) -> bool {
        let flags: Vec<String> = flags.iter().map(|f| (*f).to_owned()).collect();
        let filters = Filters::parse(&flags, FILTERS).unwrap();
        check(&filters).unwrap();
        let state = ContainerState {
            status: Status::Exited,
            exit_code: 3,
            ..ContainerState::default()
        };
        fits(&filters, &Bounds::default(), &record(), &state)
    }

    #[test]
    fn filters_select() {
        for (flags, want) in [
            (&[][..], true),
            (&["status=exited"], true),
            (&["status=running"], false),
            (&["status=running", "status=exited"], true),
            (&["exited=3"], true),
            (&["exited=0"], false),
            (&["id=8d63"], true),
            (&["name=web"], true),
            (&["name=^web$"], false),
            (&["name=^/web-1$"], true),
            (&["name=^(web|db)-[0-9]$"], true),
            (&["name=["], false),
            (&["is-task=false"], true),
            (&["is-task=true"], false),
            (&["health=none"], true),
            (&["health=healthy"], false),
            (&["label=a"], true),
            (&["label=a=b", "label=c"], false),
            (&["ancestor=busybox:latest"], true),
            (&["ancestor=9999"], true),
            (&["ancestor=alpine"], false),
            (&["expose=80"], false),
            (&["publish=80"], false),
            (&["isolation=default"], true),
            (&["network=bridge"], true),
            (&["volume=x"], false),
        ] {
            assert_eq!(selected(flags), want, "{flags:?}");
        }
    }

    #[test]
    fn ports_are_those_of_now() {
        let state = ContainerState {
            status: Status::Running,
            network: Some(NetworkState {
                ip_address: String::new(),
                prefix_length: 16,
                gateway: String::new(),
                mac_address: String::new(),
                ports: gantry_model::port::parse_published("8081:81/udp").unwrap(),
            }),
            ..ContainerState::default()
        };
        for (flag, want) in [
            ("publish=8081/udp", true),
            ("publish=8000-8100/udp", true),
            ("publish=8081", false),
            ("publish=81/udp", false),
            ("expose=81/udp", true),
            ("expose=80", true),
            ("expose=70-90/tcp", true),
            ("expose=81", false),
        ] {
            let filters = Filters::parse(&[flag.to_owned()], FILTERS).unwrap();
            let fits = fits(&filters, &Bounds::default(), &record(), &state);
            assert_eq!(fits, want, "{flag}");
        }
    }

    #[test]
    fn impossible_values_are_refused() {
        for flag in [
            "status=gone",
            "exited=x",
            "health=ill",
            "is-task=x",
            "isolation=hyperv",
            "publish=x",
            "publish=127.0.0.1:80",
            "expose=x",
        ] {
            let filters = Filters::parse(&[flag.to_owned()], FILTERS).unwrap();
            assert!(check(&filters).is_err(), "{flag}");
        }
    }
}
