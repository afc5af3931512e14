//! One more process in a running container.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;

use gantry_model::ContainerRecord;
use gantry_supervisor::client::Session;
use gantry_supervisor::protocol::{Attach, ExecRequest, WindowSize};
use gantry_sys::path::{Directory, if_there};
use oci_spec::runtime::{BoxBuilder, Process};
use rustix::fs::{FileType, OFlags};

use super::error::{ContainerError, file};
use super::merge::process_environment;
use super::spec::{self, capabilities, security};
use super::start::{MAX_USERS, unprivileged};
use super::{Containers, confinement, host, links, user, userns};

/// What to run in a container that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Command and arguments.
    pub command: Vec<String>,
    /// Further environment, `NAME=value`; a bare name takes a variable away.
    pub env: Vec<String>,
    /// Working directory; the container's own when `None`.
    pub working_dir: Option<String>,
    /// User and group; the container's own when `None`.
    pub user: Option<String>,
    /// Whether a terminal is allocated.
    pub tty: bool,
    /// Whether it has nearly every power.
    pub privileged: bool,
    /// Streams this client wants; `None` runs it detached.
    pub attach: Option<Attach>,
    /// Size of the terminal.
    pub window: Option<WindowSize>,
}

/// A process that was added to a container.
#[derive(Debug)]
pub struct Executing {
    /// Its id as the host counts.
    pub pid: u32,
    /// Its streams and its end.
    pub session: Session,
}

impl Containers<'_> {
    /// Runs one more process in a container; returns when it executes.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`], or why it cannot be executed.
    pub fn exec(&self, name: &str, spec: &ExecSpec) -> Result<Executing, ContainerError> {
        if spec.command.first().is_none_or(String::is_empty) {
            return Err(ContainerError::NoCommand);
        }
        let (record, state, mut session) = self.running(name)?;
        let pid = state.pid.ok_or_else(|| ContainerError::NotRunning {
            name: name.to_owned(),
        })?;
        let process = self.process(&record, pid, spec)?;
        let pid = session.exec(ExecRequest {
            process,
            attach: spec.attach,
            toolbox: None,
        })?;
        Ok(Executing { pid, session })
    }

    pub(super) fn process(
        &self,
        record: &ContainerRecord,
        pid: u32,
        spec: &ExecSpec,
    ) -> Result<Process, ContainerError> {
        let who = spec.user.as_deref().unwrap_or(&record.process.user);
        let user = resolve_inside(&record.name, pid, who, &record.spec.group_add)?;
        let privileged = spec.privileged || record.spec.privileged;
        let capabilities = capabilities::decide(
            &record.spec.cap_add,
            &record.spec.cap_drop,
            privileged,
            &host::capabilities(),
        )?;
        let host_name = host::name();
        let mut variables = record.process.env.clone();
        variables.extend(spec.env.iter().cloned());
        let mut process = Process::default();
        process.set_terminal(Some(spec.tty));
        process.set_console_size(spec.window.and_then(|size| {
            let console = BoxBuilder::default().height(size.rows).width(size.columns);
            console.build().ok()
        }));
        process.set_user(spec::user(&user));
        process.set_args(Some(spec.command.clone()));
        process.set_env(Some(process_environment(
            &last_of_each(variables),
            // A container that has gone since then has nothing to say any more.
            &links::variables(&self.links(record).unwrap_or_default(), &record.name),
            spec::hostname(record, &host_name),
            spec.tty,
            &user.home,
        )));
        let folder = spec
            .working_dir
            .as_deref()
            .unwrap_or(&record.process.working_dir);
        process.set_cwd(spec::working_directory(folder));
        process.set_capabilities(Some(spec::capability_sets(&capabilities, user.uid)));
        let no_new_privileges = security::parse(&record.spec.security_opt)?.no_new_privileges;
        process.set_no_new_privileges(Some(no_new_privileges));
        let labels = confinement::enforced(&record.spec, record.id.as_str())?;
        spec::labels::confine(&mut process, &labels);
        process.set_rlimits(None);
        process.set_oom_score_adj(record.spec.oom_score_adj);
        if let Some(mut caller) = unprivileged()? {
            if let Some(own) = &record.id_ranges {
                caller = caller.with_users(userns::maps(&own.uids), userns::maps(&own.gids));
            }
            caller.adapt_process(&mut process)?;
        }
        Ok(process)
    }
}

/// Of variables that are named twice the later one, in the place of the first.
fn last_of_each(variables: Vec<String>) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().map(str::to_owned);
    let mut all: Vec<String> = Vec::with_capacity(variables.len());
    for variable in variables {
        match all.iter().position(|seen| name(seen) == name(&variable)) {
            Some(at) => all[at] = variable,
            None => all.push(variable),
        }
    }
    all
}

/// Resolves a user by the files that the container sees at this moment.
fn resolve_inside(
    name: &str,
    pid: u32,
    who: &str,
    further: &[String],
) -> Result<user::ResolvedUser, ContainerError> {
    let root = std::path::PathBuf::from(format!("/proc/{pid}/root"));
    let directory = Directory::open(&root).map_err(|error| match error.kind() {
        // It has ended since it was looked at.
        io::ErrorKind::NotFound => ContainerError::NotRunning {
            name: name.to_owned(),
        },
        _ => file("open", &root)(error),
    })?;
    let read = |path: &str| {
        read_inside(&directory, path).map_err(file("read the container's", path.as_ref()))
    };
    let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
    Ok(user::resolve(who, further, &passwd, &group)?)
}

/// A regular file in a container's root; what is none, or is not there, is empty.
pub(super) fn read_inside(root: &Directory, path: &str) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: to open a device can do something to it.
    let found = root.open_in_root(path, OFlags::PATH | OFlags::CLOEXEC, 0);
    let Some(found) = if_there(found)? else {
        return Ok(Vec::new());
    };
    let status = rustix::fs::fstat(&found)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Ok(Vec::new());
    }
    let mut text = Vec::new();
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?
        .take(MAX_USERS)
        .read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_variables_win_in_place() {
        let variables = ["A=1", "B=2", "A=3", "B"].map(str::to_owned).into();
        assert_eq!(last_of_each(variables), ["A=3", "B"]);
    }
}
