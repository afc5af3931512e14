//! One more process in a running container.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use gantry_runtime::{ExecTarget, Listener, Status, Stdio};
use gantry_sys::fd;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process, Spec};

use crate::attach::Attachment;
use crate::bundle::read_document;
use crate::console;
use crate::container::{Container, write_atomically};
use crate::create::check_preserved;
use crate::error::OciError;
use crate::root::Root;

/// A process to start. What is not given here is as for the container's own command.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// The identifier of the container.
    pub id: String,
    /// A file with the whole process; then only the ways of handing over count of the rest.
    pub process: Option<PathBuf>,
    /// The command.
    pub arguments: Vec<String>,
    /// The working directory.
    pub directory: Option<PathBuf>,
    /// Environment variables on top of the container's.
    pub environment: Vec<String>,
    /// User and group.
    pub user: Option<(u32, Option<u32>)>,
    /// Supplementary groups on top of the container's.
    pub groups: Vec<u32>,
    /// Capabilities on top of the container's.
    pub capabilities: Vec<String>,
    /// Forbid new privileges.
    pub no_new_privileges: bool,
    /// The AppArmor profile.
    pub apparmor: Option<String>,
    /// The SELinux label.
    pub label: Option<String>,
    /// Give it a terminal.
    pub terminal: bool,
    /// Leave as soon as it has begun.
    pub detach: bool,
    /// The socket that the master side of its terminal is sent to.
    pub console_socket: Option<PathBuf>,
    /// Where to write its process ID.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on it inherits.
    pub preserve_fds: u32,
    /// Start it although the container is paused; it begins when that goes on.
    pub ignore_paused: bool,
    /// A cgroup below the container's: `[CONTROLLER[,CONTROLLER…]:]PATH`, each possibly again.
    pub cgroups: Vec<String>,
}

/// How an exec ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecOutcome {
    /// The process runs on.
    Left,
    /// The process ended with this exit code.
    Ended(i32),
}

/// Starts a process in a running container.
pub fn exec(root: &Root, request: &Exec) -> Result<ExecOutcome, OciError> {
    let container = root.look(&request.id)?;
    check_status(&container, request)?;
    let spec = container.spec()?;
    let process = match &request.process {
        Some(file) => {
            let mut process: Process = read_document(file)?;
            if request.terminal {
                process.set_terminal(Some(true));
            }
            process
        }
        None => process(&spec, request)?,
    };
    let stdio = stdio(&process, request)?;
    check_preserved(request.preserve_fds)?;
    let attachment = match request.detach {
        true => None,
        false => Some(Attachment::new().map_err(OciError::system("take over signals"))?),
    };
    let mut running = start(&container, &spec, &process, stdio, request)?;
    fd::close_on_exec_from(3).map_err(OciError::system("keep descriptors"))?;
    let terminal = match (&request.console_socket, running.take_terminal()) {
        (Some(socket), Some(master)) => {
            if let Err(error) = console::send(socket, &master) {
                running.kill(crate::kill::KILL).ok();
                return Err(error);
            }
            None
        }
        (_, terminal) => terminal,
    };
    if let Some(file) = &request.pid_file {
        write_atomically(file, running.pid().to_string().as_bytes(), 0o644)?;
    }
    let Some(attachment) = attachment else {
        return Ok(ExecOutcome::Left);
    };
    attachment
        .stay(&running, terminal)
        .map(ExecOutcome::Ended)
        .map_err(OciError::system("wait for the process"))
}

fn check_status(container: &Container, request: &Exec) -> Result<(), OciError> {
    let id = request.id.clone();
    let action = "exec in";
    match container.status() {
        Status::Running | Status::Created => Ok(()),
        Status::Paused if request.ignore_paused => Ok(()),
        Status::Paused => Err(OciError::Contradiction {
            reason: "cannot exec in a paused container (use --ignore-paused to override)",
        }),
        Status::Stopped => Err(OciError::NotRunning { id, action }),
        other => Err(OciError::WrongState {
            id,
            action,
            status: other.name(),
        }),
    }
}

/// What the process reads from and writes to.
enum StdioChoice {
    Inherited,
    Terminal(u16, u16),
}

fn stdio(process: &Process, request: &Exec) -> Result<StdioChoice, OciError> {
    let terminal = process.terminal().unwrap_or(false);
    let contradiction = |reason| Err(OciError::Contradiction { reason });
    match (terminal, &request.console_socket) {
        (false, Some(_)) => {
            contradiction("cannot use console socket if the process has no terminal")
        }
        (true, None) if request.detach => contradiction(
            "cannot allocate a terminal if the runtime will detach without setting console socket",
        ),
        (false, None) => Ok(StdioChoice::Inherited),
        (true, _) => {
            let part = |part: u64| u16::try_from(part).unwrap_or(u16::MAX);
            let size = process.console_size();
            let size = size.map(|size| (part(size.height()), part(size.width())));
            let (rows, columns) = size.unwrap_or_default();
            Ok(StdioChoice::Terminal(rows, columns))
        }
    }
}

fn start(
    container: &Container,
    spec: &Spec,
    process: &Process,
    stdio: StdioChoice,
    request: &Exec,
) -> Result<gantry_runtime::Running, OciError> {
    let record = container.made("exec in")?;
    let not_running = || OciError::NotRunning {
        id: request.id.clone(),
        action: "exec in",
    };
    let first = container.first_process().ok_or_else(not_running)?;
    let linux = spec.linux().as_ref();
    let seccomp = linux.and_then(|linux| linux.seccomp().as_ref());
    let filter = seccomp.map(gantry_runtime::compile_seccomp).transpose()?;
    let listener = seccomp.and_then(Listener::of);
    let state = record.state.at(Status::Running, record.state.pid);
    let cgroup = match &record.cgroup {
        Some(cgroup) if !request.cgroups.is_empty() => Some(below(cgroup, &request.cgroups)?),
        other => other.clone(),
    };
    let target = ExecTarget {
        pidfd: first.as_fd(),
        pid: first.pid(),
        cgroup: cgroup.as_ref(),
        seccomp: filter.as_ref(),
        listening: listener.as_ref().map(|listener| (listener, &state)),
        die_with_parent: false,
        preserve_fds: request.preserve_fds,
    };
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let stdio = match stdio {
        StdioChoice::Inherited => Stdio::Files {
            stdin: stdin.as_fd(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
        },
        StdioChoice::Terminal(rows, columns) => Stdio::Terminal { rows, columns },
    };
    Ok(gantry_runtime::exec(&target, process, stdio)?)
}

/// The cgroup below a container's that the words of `--cgroup` name.
fn below(
    cgroup: &gantry_runtime::CgroupHandle,
    words: &[String],
) -> Result<gantry_runtime::CgroupHandle, OciError> {
    let mut found = cgroup.clone();
    for word in words {
        let (controllers, path) = match word.split_once(':') {
            Some((controllers, path)) => (Some(controllers), path),
            None => (None, word.as_str()),
        };
        let controllers: Option<Vec<&str>> =
            controllers.map(|controllers| controllers.split(',').collect());
        found = found.below(Path::new(path), controllers.as_deref()).ok_or(
            OciError::Contradiction {
                reason: "--cgroup needs a relative path without .. and controllers that there are",
            },
        )?;
    }
    Ok(found)
}

/// The container's own process with what was asked for instead.
fn process(spec: &Spec, request: &Exec) -> Result<Process, OciError> {
    let mut process = spec.process().clone().ok_or(OciError::Contradiction {
        reason: "the container has no process to take the defaults from: use --process",
    })?;
    process
        .set_args(Some(request.arguments.clone()))
        .set_terminal(Some(request.terminal))
        .set_console_size(None);
    if let Some(directory) = &request.directory {
        process.set_cwd(directory.clone());
    }
    let own = process.env().clone().unwrap_or_default();
    process.set_env(Some(merged(own, &request.environment)));
    let mut user = process.user().clone();
    if let Some((uid, gid)) = request.user {
        user.set_uid(uid);
        if let Some(gid) = gid {
            user.set_gid(gid);
        }
    }
    if !request.groups.is_empty() {
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&request.groups);
        user.set_additional_gids(Some(groups));
    }
    process.set_user(user);
    if request.no_new_privileges {
        process.set_no_new_privileges(Some(true));
    }
    if request.apparmor.is_some() {
        process.set_apparmor_profile(request.apparmor.clone());
    }
    if request.label.is_some() {
        process.set_selinux_label(request.label.clone());
    }
    if !request.capabilities.is_empty() {
        let own = process.capabilities().clone().unwrap_or_default();
        process.set_capabilities(Some(with_capabilities(own, &request.capabilities)?));
    }
    Ok(process)
}

/// The later value of a variable counts.
fn merged(own: Vec<String>, more: &[String]) -> Vec<String> {
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<String> = Vec::with_capacity(own.len() + more.len());
    for line in own.into_iter().chain(more.iter().cloned()) {
        let same = merged.iter().position(|known| name(known) == name(&line));
        match same {
            Some(index) => merged[index] = line,
            None => merged.push(line),
        }
    }
    merged
}

fn with_capabilities(
    mut own: LinuxCapabilities,
    more: &[String],
) -> Result<LinuxCapabilities, OciError> {
    let mut parsed = Vec::new();
    for name in more {
        let upper = name.to_ascii_uppercase();
        let short = upper.trim_start_matches("CAP_");
        let unknown = |_| OciError::Document {
            path: "--cap".into(),
            field: name.clone(),
            reason: "is no capability".to_owned(),
        };
        parsed.push(Capability::try_from(short).map_err(unknown)?);
    }
    let with_more = |set: &Option<Capabilities>| {
        let own = set.iter().flatten().copied();
        Some(own.chain(parsed.iter().copied()).collect())
    };
    let (bounding, effective) = (with_more(own.bounding()), with_more(own.effective()));
    let permitted = with_more(own.permitted());
    own.set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted);
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_variables_count() {
        let own = vec!["A=1".to_owned(), "B=2".to_owned()];
        let more = ["B=3".to_owned(), "C=4".to_owned()];
        assert_eq!(merged(own, &more), ["A=1", "B=3", "C=4"]);
    }

    #[test]
    fn capabilities_are_added() {
        let own: LinuxCapabilities =
            serde_json::from_str(r#"{"bounding":["CAP_CHOWN"],"effective":[],"permitted":[]}"#)
                .unwrap();
        let got = with_capabilities(own.clone(), &["cap_kill".to_owned()]).unwrap();
        assert_eq!(got.bounding().as_ref().unwrap().len(), 2);
        assert_eq!(got.effective().as_ref().unwrap().len(), 1);
        assert!(with_capabilities(own, &["CAP_NOTHING".to_owned()]).is_err());
    }
}
