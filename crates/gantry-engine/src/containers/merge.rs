//! What a container runs with: the user's wishes over the image's defaults, by Docker's rules.

use gantry_model::ContainerSpec;
use gantry_model::image::{Healthcheck, ProcessConfig};

/// The merged settings and the final argument vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Merged {
    pub(crate) process: ProcessConfig,
    pub(crate) args: Vec<String>,
}

/// Merges; `None` when there is no command at all.
pub(crate) fn merge(spec: &ContainerSpec, image: &ProcessConfig) -> Option<Merged> {
    let mut process = image.clone();
    if let Some(entrypoint) = &spec.entrypoint {
        process.entrypoint = Some(entrypoint.clone());
        process.cmd = None;
    }
    if !spec.command.is_empty() {
        process.cmd = Some(spec.command.clone());
    }
    let parts = [&process.entrypoint, &process.cmd];
    let args: Vec<String> = parts.into_iter().flatten().flatten().cloned().collect();
    if args.first().is_none_or(String::is_empty) {
        return None;
    }
    process.env = environment(&spec.env, &image.env);
    if let Some(user) = &spec.user {
        process.user.clone_from(user);
    }
    if let Some(folder) = &spec.working_dir {
        process.working_dir.clone_from(folder);
    }
    for port in &spec.expose {
        process
            .exposed_ports
            .entry(port.to_string())
            .or_insert_with(empty);
    }
    for mapping in &spec.ports {
        process
            .exposed_ports
            .entry(mapping.container.to_string())
            .or_insert_with(empty);
    }
    process.labels.extend(spec.labels.clone());
    if spec.stop_signal.is_some() {
        process.stop_signal.clone_from(&spec.stop_signal);
    }
    if let Some(check) = &spec.healthcheck {
        process.healthcheck = Some(health(check, image.healthcheck.as_ref()));
    }
    Some(Merged { process, args })
}

/// The user's check; what it leaves open is the image's.
fn health(own: &Healthcheck, image: Option<&Healthcheck>) -> Healthcheck {
    let Some(image) = image else {
        return own.clone();
    };
    let or = |own, image| if own == 0 { image } else { own };
    Healthcheck {
        test: if own.test.is_empty() {
            image.test.clone()
        } else {
            own.test.clone()
        },
        interval: or(own.interval, image.interval),
        timeout: or(own.timeout, image.timeout),
        start_period: or(own.start_period, image.start_period),
        start_interval: or(own.start_interval, image.start_interval),
        retries: or(own.retries, image.retries),
    }
}

fn empty() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// The user's variables, then those of the image that the user did not name. A bare name
/// stays in the list: it takes the variable away.
fn environment(user: &[String], image: &[String]) -> Vec<String> {
    let mut merged: Vec<String> = Vec::with_capacity(user.len() + image.len());
    for variable in user {
        merged.retain(|seen| name(seen) != name(variable));
        merged.push(variable.clone());
    }
    for variable in image {
        if !user.iter().any(|own| name(own) == name(variable)) {
            merged.push(variable.clone());
        }
    }
    merged
}

/// The environment of a process: Docker's defaults and what links say, with `variables` over
/// them.
pub(crate) fn process_environment(
    variables: &[String],
    linked: &[String],
    hostname: &str,
    terminal: bool,
    home: &str,
) -> Vec<String> {
    let mut all = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        format!("HOSTNAME={hostname}"),
    ];
    if terminal {
        all.push("TERM=xterm".to_owned());
    }
    all.extend_from_slice(linked);
    for variable in variables {
        let at = all.iter().position(|seen| name(seen) == name(variable));
        match (at, variable.contains('=')) {
            (Some(at), true) => all[at].clone_from(variable),
            (Some(at), false) => {
                all.remove(at);
            }
            (None, true) => all.push(variable.clone()),
            (None, false) => {}
        }
    }
    let set = |wanted: &str| variables.iter().any(|variable| name(variable) == wanted);
    if !set("HOME") {
        all.push(format!("HOME={home}"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn entry_points_and_commands_are_dockers() {
        type Row<'a> = (
            Option<&'a [&'a str]>,
            &'a [&'a str],
            Option<&'a [&'a str]>,
            &'a [&'a str],
            &'a str,
        );
        let rows: &[Row] = &[
            // image entry point, image command, user's entry point, user's command, result
            (None, &["sh"], None, &[], "sh"),
            (None, &["sh"], None, &["true"], "true"),
            (Some(&["e"]), &["c"], None, &[], "e c"),
            (Some(&["e"]), &["c"], None, &["x", "y"], "e x y"),
            (Some(&["e"]), &["c"], Some(&["f"]), &[], "f"),
            (Some(&["e"]), &["c"], Some(&["f", "g"]), &["x"], "f g x"),
            (Some(&["e"]), &["c"], Some(&[]), &["x"], "x"),
            (Some(&["e"]), &["c"], Some(&[]), &[], ""),
            (None, &[], None, &[], ""),
            (None, &[""], None, &[], ""),
        ];
        for (entry, command, own_entry, own_command, want) in rows {
            let image = ProcessConfig {
                entrypoint: entry.map(strings),
                cmd: Some(strings(command)),
                ..ProcessConfig::default()
            };
            let spec = ContainerSpec {
                entrypoint: own_entry.map(strings),
                command: strings(own_command),
                ..ContainerSpec::default()
            };
            let got = merge(&spec, &image).map(|merged| merged.args.join(" "));
            assert_eq!(
                got.unwrap_or_default(),
                *want,
                "{entry:?} {command:?} {own_entry:?}"
            );
        }
    }

    #[test]
    fn variables_override_and_vanish() {
        let image = ProcessConfig {
            cmd: Some(strings(&["x"])),
            env: strings(&["PATH=/bin", "A=1", "B=2"]),
            ..ProcessConfig::default()
        };
        let spec = ContainerSpec {
            env: strings(&["B=3", "C=4", "A", "C=5"]),
            ..ContainerSpec::default()
        };
        let merged = merge(&spec, &image).unwrap();
        assert_eq!(
            merged.process.env,
            strings(&["B=3", "A", "C=5", "PATH=/bin"])
        );
        let all = process_environment(&merged.process.env, &[], "web", true, "/root");
        let want = [
            "PATH=/bin",
            "HOSTNAME=web",
            "TERM=xterm",
            "B=3",
            "C=5",
            "HOME=/root",
        ];
        assert_eq!(all, strings(&want));
        let all = process_environment(
            &strings(&["HOME=/x", "HOSTNAME"]),
            &[],
            "web",
            false,
            "/root",
        );
        assert_eq!(all[1..], strings(&["HOME=/x"]));
    }
}
