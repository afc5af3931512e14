//! `gantry runtime`, and the binary under the name `gantry-runtime`: the command line that dockerd,
//! containerd, podman and people expect of an OCI runtime, as runc and crun have it.
//!
//! It is apart from the other commands from its first word on. Its flags, messages, log file and
//! exit codes are those of runc; a start must not pay for building anybody else's command line.

mod checkpoint;
mod flags;
mod life;
mod log;
mod look;
mod process;
mod resources;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gantry_oci::{Root, Systemd};
use gantry_runtime::hooks::HookError;

use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::output::ui::Ui;
use flags::{VERBS, Verb};
use log::Log;
use words::{Words, read};

/// The name this command line is linked by.
pub(crate) const NAME: &str = "gantry-runtime";

/// The words behind `gantry runtime` when options of `gantry` stand before it.
#[derive(Debug, clap::Args)]
pub(crate) struct RuntimeArgs {
    /// Options and command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    operands: Vec<OsString>,
}

/// Hands the words on.
pub(crate) fn run(context: &Context, args: RuntimeArgs) -> Outcome {
    Ok(Exit(obey(&context.ui, &args.operands)))
}

/// Runs the command that `words` spell.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    ExitCode::from(obey(&Ui::new(NAME), words))
}

/// What every command of the runtime gets.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    ui: &'a Ui,
    log: &'a Log,
    root: Root,
    /// Whether to go on without what only root can do.
    rootless: bool,
    /// The systemd that makes cgroups, where they are not made in the file system.
    systemd: Option<Systemd>,
    /// The criu to use; that of the search path by default.
    criu: Option<PathBuf>,
    /// The command's own words.
    words: Words,
}

/// The exit code of everything that went wrong outside a container.
const FAILED: u8 = 1;
/// The same of `exec`, whose other codes are the process's.
const EXEC_FAILED: u8 = 255;

fn obey(ui: &Ui, words: &[OsString]) -> u8 {
    let mut log = Log::default();
    let mut code = FAILED;
    match dispatch(ui, words, &mut log, &mut code) {
        Ok(Exit(code)) => code,
        Err(failure) => {
            log.failure(ui, &failure);
            match failure {
                Failure::BrokenPipe => crate::exit::BROKEN_PIPE,
                _ => code,
            }
        }
    }
}

fn dispatch(ui: &Ui, words: &[OsString], log: &mut Log, code: &mut u8) -> Outcome {
    let global = read(flags::GLOBAL, words, true)?;
    *log = Log::of(&global)?;
    if global.is_set("version") {
        return look::version(ui);
    }
    let Some(name) = global.positional(0) else {
        return look::help(ui, None);
    };
    if name == "help" || name == "h" || global.is_set("help") {
        return look::help(ui, global.positional(usize::from(name == "help")));
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.names.contains(&name)) else {
        return Err(Failure::invalid(format!(
            "{name:?} is no command of an OCI runtime: see {NAME} --help"
        )));
    };
    if name == "exec" {
        *code = EXEC_FAILED;
    }
    call(ui, &global, verb, log)
}

fn call(ui: &Ui, global: &Words, verb: &'static Verb, log: &Log) -> Outcome {
    let words = read(verb.flags, global.rest(1), verb.command_follows)?;
    if words.is_set("help") {
        return look::help(ui, Some(verb.names[0]));
    }
    let count = words.count();
    if count < verb.operands.0 || count > verb.operands.1 {
        return Err(Failure::invalid(format!(
            "{} takes other arguments: {NAME} {} {}",
            verb.names[0], verb.names[0], verb.usage
        )));
    }
    // The root of a user namespace has what its user has.
    let root_privilege =
        gantry_sys::system::is_root() && gantry_sys::process::is_in_initial_user_namespace();
    let rootless = match global.value("rootless") {
        None | Some("auto") => !root_privilege,
        Some("true") => true,
        Some("false") => false,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "--rootless: {other:?} is none of true, false and auto"
            )));
        }
    };
    (verb.obey)(&Call {
        ui,
        log,
        root: Root::at(state_root(global, root_privilege)),
        systemd: systemd(global, root_privilege)?,
        rootless,
        criu: global.path("criu"),
        words,
    })
}

/// The systemd that is to make cgroups, if it is one.
fn systemd(global: &Words, root_privilege: bool) -> Result<Option<Systemd>, Failure> {
    let wanted = match global.value("cgroup-manager") {
        None => global.is_set("systemd-cgroup"),
        Some("cgroupfs") => false,
        Some("systemd") => true,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "--cgroup-manager: {other:?} is neither cgroupfs nor systemd"
            )));
        }
    };
    match (wanted, root_privilege) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(Systemd::System)),
        (true, false) => match runtime_folder() {
            Some(folder) => Ok(Some(Systemd::User(folder))),
            None => Err(Failure::invalid(
                "the user's systemd cannot be found: XDG_RUNTIME_DIR is not set",
            )),
        },
    }
}

/// The folder of what the user runs.
fn runtime_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR")?;
    (!folder.is_empty()).then(|| PathBuf::from(folder))
}

/// Where the containers are remembered.
fn state_root(global: &Words, root_privilege: bool) -> PathBuf {
    if let Some(path) = global.path("root") {
        return path;
    }
    match runtime_folder() {
        Some(folder) if !root_privilege => folder.join(NAME),
        _ => Path::new("/run").join(NAME),
    }
}

impl Call<'_> {
    /// The container that is meant.
    fn id(&self) -> String {
        self.words.positional(0).unwrap_or_default().to_owned()
    }

    /// The bundle that is meant.
    fn bundle(&self) -> PathBuf {
        let named = self.words.path("bundle");
        named.unwrap_or_else(|| PathBuf::from("."))
    }

    /// Has the container's orphans come to this process, when it stays.
    fn take_in_orphans(&self, detach: bool) -> Result<(), Failure> {
        if !detach && !self.words.is_set("no-subreaper") {
            gantry_sys::process::become_reaper()
                .map_err(CommandError::file("take in orphans of", self.id()))?;
        }
        Ok(())
    }

    /// Says which hooks failed when nothing depended on them any more.
    fn warn_of(&self, hooks: Vec<HookError>) {
        for hook in hooks {
            self.log.warning(self.ui, &hook.to_string());
        }
    }

    /// How many descriptors are handed over, those of socket activation included.
    fn preserved_fds(&self) -> Result<u32, Failure> {
        let asked = self.words.number::<u32>("preserve-fds")?.unwrap_or(0);
        Ok(asked.saturating_add(listen_fds()))
    }
}

/// How many sockets systemd has opened for the container (sd_listen_fds(3)).
fn listen_fds() -> u32 {
    let count = std::env::var("LISTEN_FDS").ok();
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
