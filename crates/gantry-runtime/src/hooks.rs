//! The programs that a document wants run at the turns of a container's life (OCI runtime-spec,
//! `config.md`, "POSIX-platform Hooks").

use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use gantry_sys::fd;
use oci_spec::runtime::{Hook as Document, Hooks as Documents};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::PlanError;
use crate::state::ContainerState;

/// A turn in the life of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// In the runtime's namespaces, before the root changes (deprecated, but Docker's own way to
    /// set the network up).
    Prestart,
    /// In the runtime's namespaces, before the root changes.
    CreateRuntime,
    /// In the container's namespaces with the host's files, before the root changes.
    CreateContainer,
    /// In the container, just before the command.
    StartContainer,
    /// In the runtime's namespaces, when the command has begun.
    Poststart,
    /// In the runtime's namespaces, when the container has been deleted.
    Poststop,
}

impl Turn {
    /// Every turn, in the order of life.
    pub const ALL: [Turn; 6] = [
        Turn::Prestart,
        Turn::CreateRuntime,
        Turn::CreateContainer,
        Turn::StartContainer,
        Turn::Poststart,
        Turn::Poststop,
    ];

    /// Its name in a document.
    pub fn name(self) -> &'static str {
        match self {
            Turn::Prestart => "prestart",
            Turn::CreateRuntime => "createRuntime",
            Turn::CreateContainer => "createContainer",
            Turn::StartContainer => "startContainer",
            Turn::Poststart => "poststart",
            Turn::Poststop => "poststop",
        }
    }
}

/// One program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hook {
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    timeout: Option<Duration>,
}

/// The programs to run at every turn, each list in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks([Vec<Hook>; 6]);

/// A hook that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {} hook {} failed: {reason}", turn.name(), path.display())]
pub struct HookError {
    /// When it was run.
    pub turn: Turn,
    /// The program.
    pub path: PathBuf,
    /// How it failed, with what it wrote to its standard error.
    pub reason: String,
}

impl Hooks {
    /// What a document asks for.
    ///
    /// # Errors
    /// [`PlanError::Invalid`] for a path that is not absolute or a timeout that is not positive.
    pub fn of(document: Option<&Documents>) -> Result<Hooks, PlanError> {
        let Some(document) = document else {
            return Ok(Hooks::default());
        };
        let prestart = document.prestart();
        let read = |list: &Option<Vec<Document>>| {
            list.iter()
                .flatten()
                .map(hook)
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Hooks([
            read(prestart)?,
            read(document.create_runtime())?,
            read(document.create_container())?,
            read(document.start_container())?,
            read(document.poststart())?,
            read(document.poststop())?,
        ]))
    }

    fn list(&self, turn: Turn) -> &[Hook] {
        &self.0[turn as usize]
    }

    /// Whether nothing is to be run at a turn.
    pub fn is_empty_at(&self, turn: Turn) -> bool {
        self.list(turn).is_empty()
    }

    /// Whether something is to be run between the mounts and the change of the root.
    pub(crate) fn hold_the_root(&self) -> bool {
        [Turn::Prestart, Turn::CreateRuntime, Turn::CreateContainer]
            .into_iter()
            .any(|turn| !self.is_empty_at(turn))
    }

    /// Runs the programs of a turn one after the other, up to the first that fails.
    pub fn run(&self, turn: Turn, state: &ContainerState) -> Result<(), HookError> {
        self.list(turn)
            .iter()
            .try_for_each(|hook| hook.checked(turn, state))
    }

    /// Runs all programs of a turn, whatever becomes of each; returns those that failed.
    pub fn run_all(&self, turn: Turn, state: &ContainerState) -> Vec<HookError> {
        let results = self.list(turn).iter().map(|hook| hook.checked(turn, state));
        results.filter_map(Result::err).collect()
    }
}

fn hook(document: &Document) -> Result<Hook, PlanError> {
    let path = document.path().clone();
    let invalid = |field, value: String, reason| PlanError::Invalid {
        field,
        value,
        reason,
    };
    if !path.is_absolute() {
        let value = path.display().to_string();
        return Err(invalid("hooks.path", value, "is not an absolute path"));
    }
    let timeout = match document.timeout() {
        None => None,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds)),
            _ => {
                let reason = "is not a positive number of seconds";
                return Err(invalid("hooks.timeout", seconds.to_string(), reason));
            }
        },
    };
    let mut environment = Vec::new();
    for line in document.env().iter().flatten() {
        let (name, value) = line
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| invalid("hooks.env", line.clone(), "is not of the form NAME=VALUE"))?;
        environment.push((name.to_owned(), value.to_owned()));
    }
    Ok(Hook {
        path,
        arguments: document.args().clone().unwrap_or_default(),
        environment,
        timeout,
    })
}

/// How much of what a hook writes is kept for its error.
const LONGEST_OUTPUT: usize = 4096;

impl Hook {
    fn checked(&self, turn: Turn, state: &ContainerState) -> Result<(), HookError> {
        self.run(state).map_err(|failure| HookError {
            turn,
            path: self.path.clone(),
            reason: failure.to_string(),
        })
    }

    fn run(&self, state: &ContainerState) -> Result<(), HookFailure> {
        let text = serde_json::to_vec(state).map_err(io::Error::from)?;
        let mut command = Command::new(&self.path);
        if let Some((name, rest)) = self.arguments.split_first() {
            command.arg0(name).args(rest);
        }
        let mut child = command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(fd::sealed("state", &text)?))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let said = match listen_until_end(&mut child, deadline) {
            Ok(said) => said,
            Err(error) => {
                child.kill().ok();
                child.wait().ok();
                return Err(error);
            }
        };
        match child.wait()? {
            status if status.success() => Ok(()),
            status => Err(HookFailure::Ended { status, said }),
        }
    }
}

/// Why a hook failed.
#[derive(Debug)]
enum HookFailure {
    System(io::Error),
    TimedOut,
    Ended { status: ExitStatus, said: Vec<u8> },
}

impl From<io::Error> for HookFailure {
    fn from(error: io::Error) -> HookFailure {
        HookFailure::System(error)
    }
}

impl fmt::Display for HookFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookFailure::System(error) => f.write_str(&crate::error::errno_text(error)),
            HookFailure::TimedOut => f.write_str("it took longer than its timeout"),
            HookFailure::Ended { status, said } => {
                match (status.code(), status.signal()) {
                    (Some(code), _) => write!(f, "it exited with code {code}")?,
                    (None, signal) => write!(f, "signal {} ended it", signal.unwrap_or(0))?,
                }
                match String::from_utf8_lossy(said).trim() {
                    "" => Ok(()),
                    said => write!(f, ": {said}"),
                }
            }
        }
    }
}

/// Reads what the child says until it has ended.
fn listen_until_end(child: &mut Child, deadline: Option<Instant>) -> Result<Vec<u8>, HookFailure> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)?;
    let mut stderr = child.stderr.take();
    if let Some(pipe) = &stderr {
        fd::set_nonblocking(pipe, true)?;
    }
    let mut said = Vec::new();
    loop {
        let mut interest = vec![PollFd::new(&ended, PollFlags::IN)];
        interest.extend(stderr.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut interest, left.as_ref()) {
            Ok(0) => return Err(HookFailure::TimedOut),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let over = !interest[0].revents().is_empty();
        if let Some(pipe) = &mut stderr
            && !listen(pipe, &mut said)?
        {
            stderr = None;
        }
        // Descendants of the hook may keep the pipe open; they are not waited for.
        if over {
            return Ok(said);
        }
    }
}

/// Reads what the pipe has. Says whether there can be more.
fn listen(pipe: &mut impl Read, said: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => {
                let room = LONGEST_OUTPUT.saturating_sub(said.len());
                said.extend_from_slice(&buffer[..length.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
