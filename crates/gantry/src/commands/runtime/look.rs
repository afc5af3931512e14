//! state, list, events, features, spec, and help.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use gantry_oci::{Container, Watch};
use gantry_supervisor::protocol::chain;
use serde_json::{Value, json};

use super::flags::{GLOBAL, VERBS};
use super::words::Flag;
use super::{Call, NAME};
use crate::commands::system::version::VERSION;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::output::ui::Ui;

pub(super) fn state(call: &Call<'_>) -> Outcome {
    let container = call.root.look(&call.id())?;
    call.ui.line(&pretty(&document(&container)))?;
    Ok(Exit::SUCCESS)
}

/// The state with what runc adds to it.
fn document(container: &Container) -> Value {
    let status = container.status();
    let Some(record) = container.record() else {
        return json!({ "ociVersion": "1.0.0", "id": container.id(), "status": status.name(),
            "pid": 0, "bundle": "" });
    };
    let stopped = status == gantry_runtime::Status::Stopped;
    json!({
        "ociVersion": record.state.oci_version,
        "id": container.id(),
        "pid": if stopped { 0 } else { record.state.pid },
        "status": status.name(),
        "bundle": record.state.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "owner": owner(record.owner),
        "annotations": record.state.annotations,
    })
}

/// The name of a user of this system, else the number.
fn owner(uid: u32) -> String {
    let text = std::fs::read("/etc/passwd").unwrap_or_default();
    let found = gantry_sys::users::parse_passwd(&text).find(|user| user.uid == uid);
    found.map_or_else(|| format!("#{uid}"), |user| user.name)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let (containers, damaged) = call.root.containers()?;
    for error in &damaged {
        call.ui.warning(&chain(error));
    }
    if call.words.is_set("quiet") {
        for container in &containers {
            call.ui.line(container.id())?;
        }
        return Ok(Exit::SUCCESS);
    }
    let documents: Vec<Value> = containers.iter().map(document).collect();
    match call.words.value("format") {
        Some("json") => call.ui.line(&Value::from(documents).to_string())?,
        None | Some("table") => call.ui.data(&table(&documents))?,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "--format: {other:?} is neither table nor json"
            )));
        }
    }
    Ok(Exit::SUCCESS)
}

/// Columns at least 12 wide with 3 between them, as runc's.
fn table(documents: &[Value]) -> String {
    const FIELDS: [&str; 6] = ["id", "pid", "status", "bundle", "created", "owner"];
    let mut rows = vec![FIELDS.map(str::to_ascii_uppercase)];
    rows.extend(documents.iter().map(|document| {
        FIELDS.map(|field| match &document[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }));
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max();
        (widest.unwrap_or(0) + 3).max(12)
    };
    let widths: Vec<usize> = (0..FIELDS.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line: String = cells.collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

pub(super) fn events(call: &Call<'_>) -> Outcome {
    let id = call.id();
    if call.words.is_set("stats") {
        let event = gantry_oci::statistics(&call.root, &id)?;
        call.ui.line(&event.document(&id).to_string())?;
        return Ok(Exit::SUCCESS);
    }
    let interval = match call.words.value("interval") {
        None => Duration::from_secs(5),
        Some(text) => duration(text).ok_or_else(|| {
            Failure::invalid(format!(
                "--interval: {text:?} is no duration like 500ms, 5s or 1m"
            ))
        })?,
    };
    for event in Watch::new(&call.root, &id, interval)? {
        call.ui.line(&event?.document(&id).to_string())?;
    }
    Ok(Exit::SUCCESS)
}

fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..split].parse().ok()?;
    let seconds = match &text[split..] {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|interval| !interval.is_zero())
}

pub(super) fn features(call: &Call<'_>) -> Outcome {
    call.ui.line(&pretty(&gantry_oci::features()))?;
    Ok(Exit::SUCCESS)
}

pub(super) fn spec(call: &Call<'_>) -> Outcome {
    let folder = call
        .words
        .path("bundle")
        .unwrap_or_else(|| PathBuf::from("."));
    let path = folder.join("config.json");
    let rootless = call.words.is_set("rootless").then(|| {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        (uid.as_raw(), gid.as_raw())
    });
    let text = pretty(&gantry_oci::template(rootless)) + "\n";
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(CommandError::file("write", path.display()))?;
    Ok(Exit::SUCCESS)
}

pub(super) fn version(ui: &Ui) -> Outcome {
    ui.line(&format!("{NAME} version {VERSION}\nspec: 1.3.0"))?;
    Ok(Exit::SUCCESS)
}

/// What there is to be said, of one command or of all.
pub(super) fn help(ui: &Ui, command: Option<&str>) -> Outcome {
    let verb = command.and_then(|name| VERBS.iter().find(|verb| verb.names.contains(&name)));
    let mut text = String::new();
    let flags = match verb {
        Some(verb) => {
            text += &format!(
                "Usage:  {NAME} {} {}\n\n{}\n",
                verb.names[0], verb.usage, verb.about
            );
            verb.flags
        }
        None => {
            text += &format!(
                "Usage:  {NAME} [OPTIONS] COMMAND\n\nBe the OCI runtime of dockerd, containerd or podman\n\nCommands:\n"
            );
            for verb in VERBS {
                text += &format!("  {:<12}{}\n", verb.names[0], verb.about);
            }
            GLOBAL
        }
    };
    text += "\nOptions:\n";
    for flag in flags.iter().filter(|flag| !flag.about.is_empty()) {
        text += &line(flag);
    }
    ui.data(&text)?;
    Ok(Exit::SUCCESS)
}

fn line(flag: &Flag) -> String {
    let letter = flag
        .letter
        .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let name = match flag.value {
        Some(value) => format!("--{} {value}", flag.name),
        None => format!("--{}", flag.name),
    };
    format!("  {letter}{name:<28} {}\n", flag.about)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("5s"), Some(Duration::from_secs(5)));
        assert_eq!(duration("1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "5", "s", "0s", "5d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn columns_are_wide_enough() {
        let rows = [
            json!({ "id": "a-very-long-identifier", "pid": 7, "status": "running",
            "bundle": "/b", "created": "then", "owner": "root" }),
        ];
        let text = table(&rows);
        let mut lines = text.lines();
        let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(header.find("PID"), row.find('7'));
        assert!(header.ends_with("OWNER"));
    }
}
