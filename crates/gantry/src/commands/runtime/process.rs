//! exec, ps.

use std::process::Command;

use gantry_oci::{Exec, ExecOutcome};
use serde_json::json;

use super::Call;
use crate::failure::{CommandError, Exit, Failure, Outcome};

pub(super) fn exec(call: &Call<'_>) -> Outcome {
    super::life::run_from_image()?;
    let words = &call.words;
    let process = words.path("process");
    if process.is_none() && words.count() < 2 {
        return Err(Failure::invalid(
            "exec needs a command, or the document of a process with --process",
        ));
    }
    let text = |word: &std::ffi::OsString| word.to_string_lossy().into_owned();
    let request = Exec {
        id: call.id(),
        process,
        arguments: words.rest(1).iter().map(text).collect(),
        directory: words.path("cwd"),
        environment: words.values("env"),
        user: words.value("user").map(user).transpose()?,
        groups: groups(&words.values("additional-gids"))?,
        capabilities: words.values("cap"),
        no_new_privileges: words.is_set("no-new-privs"),
        apparmor: words.value("apparmor").map(str::to_owned),
        label: words.value("process-label").map(str::to_owned),
        terminal: words.is_set("tty"),
        detach: words.is_set("detach"),
        console_socket: words.path("console-socket"),
        pid_file: words.path("pid-file"),
        preserve_fds: call.preserved_fds()?,
        ignore_paused: words.is_set("ignore-paused"),
        cgroups: words.values("cgroup"),
    };
    match gantry_oci::exec(&call.root, &request)? {
        ExecOutcome::Left => Ok(Exit::SUCCESS),
        ExecOutcome::Ended(code) => Ok(Exit::from_code(code)),
    }
}

fn user(text: &str) -> Result<(u32, Option<u32>), Failure> {
    let bad = || Failure::invalid(format!("--user: {text:?} is not of the form UID[:GID]"));
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid.parse().map_err(|_| bad())?)),
        None => (text, None),
    };
    Ok((uid.parse().map_err(|_| bad())?, gid))
}

fn groups(values: &[String]) -> Result<Vec<u32>, Failure> {
    let parts = values.iter().flat_map(|value| value.split(','));
    parts
        .map(|part| {
            part.parse().map_err(|_| {
                Failure::invalid(format!("--additional-gids: {part:?} is no group ID"))
            })
        })
        .collect()
}

pub(super) fn ps(call: &Call<'_>) -> Outcome {
    let pids = gantry_oci::processes(&call.root, &call.id())?;
    match call.words.value("format") {
        Some("json") => call.ui.line(&json!(pids).to_string())?,
        None | Some("table") => table(call, &pids)?,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "--format: {other:?} is neither table nor json"
            )));
        }
    }
    Ok(Exit::SUCCESS)
}

/// What ps(1) says of these processes.
fn table(call: &Call<'_>, pids: &[i32]) -> Result<(), Failure> {
    let mut options = call.words.rest(1).to_vec();
    if options.is_empty() {
        options.push("-ef".into());
    }
    let output = Command::new("ps")
        .args(&options)
        .output()
        .map_err(CommandError::file("run", "ps"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::invalid(format!("ps failed: {said}")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Failure::invalid("ps does not show a PID column with these options"))?;
    call.ui.line(header)?;
    for line in lines {
        let pid = line.split_whitespace().nth(column);
        let pid = pid.and_then(|word| word.parse::<i32>().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            call.ui.line(line)?;
        }
    }
    Ok(())
}
