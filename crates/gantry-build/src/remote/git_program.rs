//! The git program, kept from doing anything but what it is told.
//!
//! No configuration but the caller's credentials, no hooks, no filters, no prompts, and only the
//! protocols that a build knows. What a repository says cannot name a program: its attributes mean
//! nothing without a configuration.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use gantry_dockerfile::mask::masked;
use gantry_http::address::{authority, is_web};
use gantry_model::FaultKind;
use rustix::process::{Pid, Signal, kill_process_group};

use super::address::{is_ssh, shown, split_user};
use super::git_credentials::narrowed;
use super::{Behalf, Remote};
use crate::cancel::Cancellation;
use crate::error::StepError;

/// Most that is kept of what git complains.
const COMPLAINT: usize = 16 << 10;
/// Protocols that a repository, or a submodule of it, may be fetched by.
const PROTOCOLS: &str = "http:https:git:ssh";
/// Variables of the caller that git, curl and ssh understand and that say nothing of programs.
const VARIABLES: [&str; 15] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_CONFIG_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];
/// The same for every repository.
const SETTINGS: [(&str, &str); 11] = [
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.autocrlf", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("safe.directory", "*"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

/// Git for one repository.
pub(super) struct Git<'g> {
    remote: &'g Remote,
    on: &'g Behalf<'g>,
    /// The repository without a password, and how messages call it.
    pub(super) address: String,
    name: String,
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
}

/// Where git works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    /// The working tree.
    pub(super) tree: &'p Path,
    /// The repository, where it is not in the working tree.
    pub(super) repository: Option<&'p Path>,
}

impl<'g> Git<'g> {
    pub(super) fn new(
        remote: &'g Remote,
        address: &str,
        on: &'g Behalf<'g>,
    ) -> Result<Self, StepError> {
        let (user, bare) = split_user(address);
        let is_web = is_web(&bare);
        let mut git = Self {
            remote,
            on,
            // The user of ssh is no secret, and needed.
            address: if is_web { bare } else { address.to_owned() },
            name: shown(address),
            settings: SETTINGS
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            variables: Vec::new(),
        };
        // A submodule may be one of ssh wherever the repository itself lies.
        git.variables
            .push(("GIT_SSH_COMMAND".to_owned(), git.ssh()));
        if is_web {
            git.credentials(user)?;
        }
        if let Some(file) = &remote.outside.authorities {
            let file = file.to_string_lossy().into_owned();
            git.variables.push(("GIT_SSL_CAINFO".to_owned(), file));
            // It is not to take the place of those that the system trusts.
            let system = "/etc/ssl/certs".to_owned();
            git.variables.push(("GIT_SSL_CAPATH".to_owned(), system));
        }
        Ok(git)
    }

    /// For this host only: the user of the address, else the secrets that BuildKit asks for, else
    /// the caller's own helpers.
    fn credentials(&mut self, user: Option<(String, String)>) -> Result<(), StepError> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let host = authority(&self.address).to_owned();
        let basic = |pair: String| format!("basic {}", STANDARD.encode(pair));
        let header = if let Some((user, password)) = user {
            Some(basic(format!("{user}:{password}")))
        } else if let Some(header) = self.on.secret_for("GIT_AUTH_HEADER", &host)? {
            Some(header)
        } else {
            let token = self.on.secret_for("GIT_AUTH_TOKEN", &host)?;
            token.map(|token| basic(format!("x-access-token:{token}")))
        };
        if let Some(header) = header {
            let scheme = self.address.split("://").next().unwrap_or("https");
            self.settings.push((
                format!("http.{scheme}://{host}/.extraheader"),
                format!("Authorization: {header}"),
            ));
            return Ok(());
        }
        let mut command = self.plain("git");
        command.args([
            "config",
            "--global",
            "--null",
            "--get-regexp",
            r"^credential\.",
        ]);
        // Without a configuration there are no helpers.
        let output = command
            .output()
            .map(|output| output.stdout)
            .unwrap_or_default();
        for entry in String::from_utf8_lossy(&output).split('\0') {
            if let Some((key, value)) = entry.split_once('\n')
                && let Some(key) = narrowed(key, &self.address)
            {
                self.settings.push((key, value.to_owned()));
            }
        }
        Ok(())
    }

    /// The agent that was lent, which a repository gets that is one of ssh itself: others could
    /// reach with it, by their submodules, what the caller did not speak of.
    fn agent(&self) -> Option<&Path> {
        self.on.agent.filter(|_| is_ssh(&self.address))
    }

    /// Keys come from the agent alone, hosts must be known, and the caller's configuration is none.
    fn ssh(&self) -> String {
        let agent = match self.agent() {
            Some(socket) => quoted(&format!("IdentityAgent={}", socket.display())),
            None => "IdentityAgent=none".to_owned(),
        };
        // By itself ssh takes the home of the user that it runs as, which without root is root's.
        let home = self.remote.outside.environment.get("HOME");
        let known = home.map_or_else(String::new, |home| {
            let file = |name| format!("\"{home}/.ssh/{name}\"");
            let files = [file("known_hosts"), file("known_hosts2")].join(" ");
            format!("-o {} ", quoted(&format!("UserKnownHostsFile={files}")))
        });
        format!(
            "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o IdentityFile=none \
             -o ConnectTimeout=15 {known}-o {agent}"
        )
    }

    /// A program with the caller's variables and no others.
    fn plain(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        for name in VARIABLES {
            if let Some(value) = self.remote.outside.environment.get(name) {
                command.env(name, value);
            }
        }
        command
    }

    fn command(&self, place: Option<Place<'_>>, arguments: &[&str]) -> Command {
        let mut command = self.plain("git");
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (number, (key, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        // Without a place it is the root, where no repository is taken for the one that is meant.
        command.current_dir(place.map_or(Path::new("/"), |place| place.tree));
        if let Some(place) = place
            && let Some(repository) = place.repository
        {
            command
                .env("GIT_DIR", repository)
                .env("GIT_WORK_TREE", place.tree);
        }
        command.args(arguments).process_group(0);
        command
    }

    /// Runs git to its end and gives what it wrote.
    pub(super) fn run(
        &self,
        place: Option<Place<'_>>,
        arguments: &[&str],
    ) -> Result<Vec<u8>, StepError> {
        let mut text = Vec::new();
        self.read(place, arguments, |out| out.read_to_end(&mut text).map(drop))?;
        Ok(text)
    }

    /// Runs git and gives its output to `reader`; what that leaves unread ends git.
    pub(super) fn read(
        &self,
        place: Option<Place<'_>>,
        arguments: &[&str],
        reader: impl FnOnce(&mut dyn Read) -> io::Result<()>,
    ) -> Result<(), StepError> {
        let mut command = self.command(place, arguments);
        let spawned = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| self.not_started(&error))?;
        let stopped = |source| StepError::io("run", PathBuf::from("git"), source);
        let running = Running::new(&child, self.remote).map_err(stopped)?;
        let complaint = child.stderr.take().map(complaint);
        let read = match child.stdout.take() {
            Some(mut out) => reader(&mut out),
            None => Ok(()),
        };
        if read.is_err() {
            running.kill();
        }
        let complaint = complaint
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        let status = child.wait().map_err(stopped)?;
        drop(running);
        // A submodule's address may have a password.
        let complaint = masked(&String::from_utf8_lossy(&complaint)).into_owned();
        self.on.text(complaint.as_bytes());
        if self.remote.stop.is_stopped() {
            return Err(StepError::Canceled);
        }
        read.map_err(|error| self.failed(error.to_string(), FaultKind::Forbidden))?;
        if status.success() {
            return Ok(());
        }
        Err(self.refused(&complaint))
    }

    fn not_started(&self, error: &io::Error) -> StepError {
        if error.kind() == io::ErrorKind::NotFound {
            return self.failed(
                "the program git is needed for it: install it",
                FaultKind::Unavailable,
            );
        }
        self.failed(format!("git cannot be run: {error}"), FaultKind::Internal)
    }

    pub(super) fn failed(&self, reason: impl Into<String>, kind: FaultKind) -> StepError {
        super::failed(&self.name, reason, kind)
    }

    /// What git said, with what can be done about it.
    fn refused(&self, complaint: &str) -> StepError {
        let said = |line: &&str| !line.trim().is_empty() && !line.starts_with("hint:");
        let fatal = |line: &&str| line.starts_with("fatal:") || line.starts_with("error:");
        let lines = || complaint.lines().filter(said);
        let line = lines().find(fatal).or_else(|| lines().next_back());
        let line = line.unwrap_or("git failed without a word");
        // What ends with a colon says why in the next line.
        let mut rest = lines().skip_while(|other| *other != line).skip(1);
        let line = match rest.next() {
            Some(next) if line.ends_with(':') => format!("{line} {}", next.trim()),
            _ => line.to_owned(),
        };
        let reason = line
            .trim_start_matches("fatal: ")
            .trim_start_matches("error: ");
        let (kind, hint) = if complaint.contains("could not read Username")
            || complaint.contains("Authentication failed")
        {
            (
                FaultKind::Unauthorized,
                Some(
                    "give a token with --secret id=GIT_AUTH_TOKEN, or set up a credential helper of git",
                ),
            )
        } else if complaint.contains("HOST IDENTIFICATION HAS CHANGED") {
            (
                FaultKind::Unauthorized,
                Some(
                    "the host has another key than ~/.ssh/known_hosts says: it may be somebody else's; change the file only once the new key is verified",
                ),
            )
        } else if complaint.contains("Host key verification failed") {
            (
                FaultKind::Unauthorized,
                Some(
                    "the host is not known: add its key to ~/.ssh/known_hosts (ssh-keyscan HOST) once it is verified",
                ),
            )
        } else if complaint.contains("Permission denied (publickey") {
            let hint = if is_ssh(&self.address) {
                "keys come from an agent: give it with --ssh default"
            } else {
                "a submodule of it is fetched by ssh, for which keys are lent only to repositories with an address of ssh: give it so (git@HOST:PATH), with --ssh default"
            };
            (FaultKind::Unauthorized, Some(hint))
        } else if complaint.contains("not found") || complaint.contains("does not appear to be") {
            (FaultKind::NotFound, None)
        } else {
            (FaultKind::Unavailable, None)
        };
        StepError::Fetch {
            address: self.name.clone(),
            reason: reason.to_owned(),
            kind,
            hints: hint.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Collects what a program complains, as far as it matters.
fn complaint(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            if kept.len() > COMPLAINT {
                kept.drain(..kept.len() - COMPLAINT);
            }
        }
        kept
    })
}

/// Ends a program and its children when the build is stopped.
struct Running {
    group: Option<Pid>,
    over: Cancellation,
    watcher: Option<JoinHandle<()>>,
}

impl Running {
    fn new(child: &Child, remote: &Remote) -> io::Result<Self> {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let over = Cancellation::new()?;
        let (stop, end) = (remote.stop.clone(), over.clone());
        let watcher = std::thread::Builder::new()
            .name("git".into())
            .spawn(move || {
                let waited = stop.wait_for(&end);
                if waited.is_ok() && !end.is_canceled() {
                    kill(group);
                }
            })?;
        Ok(Self {
            group,
            over,
            watcher: Some(watcher),
        })
    }

    fn kill(&self) {
        kill(self.group);
    }
}

fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        // It may have ended by itself.
        let _killed = kill_process_group(group, Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.over.cancel();
        if let Some(watcher) = self.watcher.take() {
            // It does nothing that could panic.
            let _ended = watcher.join();
        }
    }
}
