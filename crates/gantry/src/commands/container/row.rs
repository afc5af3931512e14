//! A container as a row of `ps`.

use gantry_model::image::StringSet;
use gantry_model::mount::MountSource;
use gantry_model::port::ContainerPort;
use gantry_model::record::{HealthStatus, ResolvedMount, ResolvedMountKind, Status};
use gantry_model::{ContainerRecord, ContainerState};
use jiff::Timestamp;

use super::ports;
use crate::output::listing::{Row, Shape};
use crate::output::progress::screen::clip;
use crate::output::{size, time};

/// The fields of a container.
pub(crate) const SHAPE: Shape = Shape {
    fields: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("State", "STATE"),
        ("Ports", "PORTS"),
        ("Names", "NAMES"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
    ],
    table: &[
        "ID",
        "Image",
        "Command",
        "RunningFor",
        "Status",
        "Ports",
        "Names",
    ],
    raw: "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
          created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\n\
          names: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n",
};

/// The same with sizes (`ps -s`).
pub(crate) const SHAPE_WITH_SIZE: Shape = Shape {
    table: &[
        "ID",
        "Image",
        "Command",
        "RunningFor",
        "Status",
        "Ports",
        "Names",
        "Size",
    ],
    raw: "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
          created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\n\
          names: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\nsize: {{.Size}}\n",
    ..SHAPE
};

/// How much a container's files take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Its writable layer.
    pub(crate) own: u64,
    /// With its image.
    pub(crate) whole: u64,
}

/// How rows are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// The present.
    pub(crate) now: Timestamp,
    /// Whether nothing is shortened.
    pub(crate) whole: bool,
}

/// The row of one container.
pub(crate) fn row(
    record: &ContainerRecord,
    state: &ContainerState,
    sizes: Option<Sizes>,
    manner: Manner,
) -> Row {
    let id = if manner.whole {
        record.id.as_str()
    } else {
        record.id.short()
    };
    let size = sizes.map_or_else(
        || "0B".to_owned(),
        |s| format!("{} (virtual {})", size::short(s.own), size::short(s.whole)),
    );
    Row::new([
        ("ID", id.to_owned()),
        ("Image", image(record, manner.whole)),
        ("Command", command(&record.args, manner.whole)),
        ("CreatedAt", time::go_date(&record.created)),
        ("RunningFor", time::ago(&record.created, manner.now)),
        ("Status", status(state, manner.now)),
        ("State", state.status.to_string()),
        ("Ports", published(record, state)),
        ("Names", record.name.clone()),
        ("Size", size),
        ("Mounts", mounts(record, manner.whole)),
        ("LocalVolumes", volumes(&record.mounts).count().to_string()),
        ("Networks", record.spec.network.to_string()),
        ("Platform", record.spec.platform.clone().unwrap_or_default()),
    ])
    .with_labels(&record.process.labels)
}

/// The image by the name it was asked for, an id shortened.
fn image(record: &ContainerRecord, whole: bool) -> String {
    match record.image_name.strip_prefix("sha256:") {
        Some(hex) if !whole => hex.chars().take(12).collect(),
        _ if record.image_name.is_empty() => record.image_id.short(),
        _ => record.image_name.clone(),
    }
}

/// The command in quotes, at most twenty characters of it. Arguments with blanks have quotes of
/// their own; the program has none.
fn command(args: &[String], whole: bool) -> String {
    let words = args.iter().enumerate().map(|(at, word)| match at > 0 {
        true if word.contains(' ') => format!("'{word}'"),
        _ => word.clone(),
    });
    let line = words.collect::<Vec<_>>().join(" ");
    let shown = if whole { line } else { clip(&line, 20) };
    quote(&shown)
}

/// As Go's `%q`: printable characters stay what they are.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The state in words: `Up 3 seconds (healthy)`, `Exited (0) 2 minutes ago`.
pub(crate) fn status(state: &ContainerState, now: Timestamp) -> String {
    let since = |at: &Option<String>| time::since(at.as_deref().unwrap_or_default(), now);
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}{}", since(&state.started_at), health(state)),
        Status::Paused => format!("Up {} (Paused)", since(&state.started_at)),
        Status::Restarting => {
            format!(
                "Restarting ({}) {} ago",
                state.exit_code,
                since(&state.finished_at)
            )
        }
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Exited => format!(
            "Exited ({}) {} ago",
            state.exit_code,
            since(&state.finished_at)
        ),
        Status::Dead => "Dead".to_owned(),
    }
}

/// What the health check says, behind the state.
fn health(state: &ContainerState) -> String {
    match state.health.as_ref().map(|health| health.status) {
        None => String::new(),
        Some(HealthStatus::Starting) => " (health: starting)".to_owned(),
        Some(verdict) => format!(" ({verdict})"),
    }
}

/// The ports in force while it runs.
fn published(record: &ContainerRecord, state: &ContainerState) -> String {
    if !matches!(state.status, Status::Running | Status::Paused) {
        return String::new();
    }
    let Some(network) = &state.network else {
        return String::new();
    };
    ports::line(&network.ports, &exposed(record))
}

/// The ports that image and flags expose.
pub(crate) fn exposed(record: &ContainerRecord) -> Vec<ContainerPort> {
    let names = |set: &StringSet| -> Vec<ContainerPort> {
        set.keys()
            .filter_map(|name| gantry_model::port::parse_exposed(name).ok())
            .flatten()
            .collect()
    };
    let mut all = names(&record.process.exposed_ports);
    all.extend(record.spec.expose.iter().copied());
    all
}

fn volumes(mounts: &[ResolvedMount]) -> impl Iterator<Item = &ResolvedMount> {
    mounts
        .iter()
        .filter(|m| matches!(m.kind, ResolvedMountKind::Volume { .. }))
}

/// The names of volumes and the paths of bind mounts.
pub(crate) fn mount_names(record: &ContainerRecord) -> Vec<String> {
    record
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            ResolvedMountKind::Bind { source, .. } => Some(source.clone()),
            ResolvedMountKind::Volume { name, .. } => Some(name.clone()),
            ResolvedMountKind::Image { image, .. } => Some(image.clone()),
            ResolvedMountKind::Tmpfs { .. } => None,
        })
        .collect()
}

fn mounts(record: &ContainerRecord, whole: bool) -> String {
    let shorten = |name: String| if whole { name } else { clip(&name, 15) };
    mount_names(record)
        .into_iter()
        .map(shorten)
        .collect::<Vec<_>>()
        .join(",")
}

/// Whether a container mounts this volume, source or target (`--filter volume=`).
pub(crate) fn mounts_volume(record: &ContainerRecord, wanted: &str) -> bool {
    mount_names(record).iter().any(|name| name == wanted)
        || record.mounts.iter().any(|mount| {
            mount.target == wanted && !matches!(mount.kind, ResolvedMountKind::Tmpfs { .. })
        })
        || record.spec.mounts.iter().any(|mount| {
            matches!(&mount.source, MountSource::Volume { name: Some(name), .. } if name == wanted)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::listing::{Format, render};
    use gantry_model::container::ContainerSpec;
    use gantry_model::image::ProcessConfig;
    use gantry_model::record::{HealthState, NetworkState};

    fn record() -> ContainerRecord {
        ContainerRecord {
            version: 1,
            id: "8d6332d60a9aab9d29015f319aaee8968618e3676fcc7dd3b2f0054fe0772ee2"
                .parse()
                .unwrap(),
            name: "web".into(),
            created: "2026-11-21T08:20:49.015Z".into(),
            spec: ContainerSpec::default(),
            image_id: format!("sha256:{}", "9".repeat(64)).parse().unwrap(),
            image_name: "busybox".into(),
            layers: vec![],
            process: ProcessConfig {
                labels: [("a".to_owned(), "b".to_owned())].into(),
                ..ProcessConfig::default()
            },
            args: vec![
                "sh".into(),
                "-c".into(),
                "echo \"a long one\"; sleep 1".into(),
            ],
            healthcheck: None,
            id_ranges: None,
            mounts: vec![ResolvedMount {
                target: "/data".into(),
                read_only: false,
                kind: ResolvedMountKind::Volume {
                    name: "0123456789abcdef0123".into(),
                    source: "/v".into(),
                    anonymous: true,
                    mounted: None,
                    subpath: None,
                },
            }],
        }
    }

    fn running() -> ContainerState {
        ContainerState {
            status: Status::Running,
            started_at: Some("2026-11-21T08:22:46Z".into()),
            network: Some(NetworkState {
                ip_address: "172.17.0.2".into(),
                prefix_length: 16,
                gateway: "172.17.0.1".into(),
                mac_address: String::new(),
                ports: gantry_model::port::parse_published("12345:80").unwrap(),
            }),
            ..ContainerState::default()
        }
    }

    fn now() -> Timestamp {
        "2026-11-21T08:22:49Z".parse().unwrap()
    }

    #[test]
    fn the_table_is_dockers() {
        let manner = Manner {
            now: now(),
            whole: false,
        };
        let rows = [row(&record(), &running(), None, manner)];
        insta::assert_snapshot!(render(&SHAPE, &Format::Table, &rows).unwrap());
        let sizes = Some(Sizes {
            own: 12,
            whole: 1_984_246,
        });
        let rows = [row(&record(), &running(), sizes, manner)];
        let format = Format::parse(Some(
            "{{.Size}}|{{.Mounts}}|{{.Networks}}|{{.LocalVolumes}}|{{.Labels}}|{{.State}}",
        ));
        assert_eq!(
            render(&SHAPE_WITH_SIZE, &format, &rows).unwrap(),
            "12B (virtual 1.98MB)|0123456789abcd…|bridge|1|a=b|running\n"
        );
    }

    #[test]
    fn states_are_in_dockers_words() {
        let state = |status| ContainerState {
            status,
            exit_code: 137,
            finished_at: Some("2026-11-21T08:20:49Z".into()),
            started_at: Some("2026-11-21T07:22:49Z".into()),
            ..ContainerState::default()
        };
        for (status_, want) in [
            (Status::Created, "Created"),
            (Status::Running, "Up About an hour"),
            (Status::Paused, "Up About an hour (Paused)"),
            (Status::Restarting, "Restarting (137) 2 minutes ago"),
            (Status::Removing, "Removal In Progress"),
            (Status::Exited, "Exited (137) 2 minutes ago"),
            (Status::Dead, "Dead"),
        ] {
            assert_eq!(status(&state(status_), now()), want);
        }
    }

    #[test]
    fn health_stands_behind_the_state() {
        for (verdict, want) in [
            (HealthStatus::Starting, "Up 3 seconds (health: starting)"),
            (HealthStatus::Unhealthy, "Up 3 seconds (unhealthy)"),
        ] {
            let health = Some(HealthState {
                status: verdict,
                ..HealthState::default()
            });
            let state = ContainerState {
                health,
                ..running()
            };
            assert_eq!(status(&state, now()), want);
        }
    }

    #[test]
    fn commands_are_quoted_and_shortened() {
        assert_eq!(
            command(&record().args, false),
            "\"sh -c 'echo \\\"a long…\""
        );
        assert_eq!(command(&["a\n".into()], true), "\"a\\n\"");
    }
}
