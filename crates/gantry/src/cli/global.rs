//! What stands before the command: where the state is, and how talkative the program is.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, FromArgMatches};

use super::parse::Frame;
use super::usage::{Arity, UsageError};

/// The flags before the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Folder of images, containers and volumes (default "/var/lib/gantry"; rootless
    /// "$XDG_DATA_HOME/gantry"; $GANTRY_ROOT)
    #[arg(long, value_name = "path")]
    pub(crate) root: Option<PathBuf>,
    /// Folder of what ends with the machine: locks and sockets (default "/run/gantry";
    /// $GANTRY_RUN)
    #[arg(long, value_name = "path")]
    pub(crate) run_root: Option<PathBuf>,
    /// Folder of config.json with credentials and proxies (default "~/.docker"; $DOCKER_CONFIG)
    #[arg(long, alias = "config", value_name = "path")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Say more about what goes wrong
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// Set the logging level ("debug", "info", "warn", "error", "fatal")
    #[arg(short = 'l', long, value_name = "string", hide = true)]
    pub(crate) log_level: Option<String>,
    /// Print version information and quit
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
    /// The command and its own words.
    #[arg(trailing_var_arg = true)]
    pub(crate) words: Vec<OsString>,
}

/// The clap command of the global flags.
pub(crate) fn command() -> clap::Command {
    GlobalArgs::augment_args(
        clap::Command::new("gantry")
            .no_binary_name(true)
            .disable_help_flag(true)
            .disable_version_flag(true)
            .args_override_self(true),
    )
    .mut_args(super::parse::follow_pflag)
    .arg(super::parse::switch("help").long("help").short('h'))
}

/// Reads the words before the command; whether help is wanted comes with them.
pub(crate) fn parse(program: &str, words: &[OsString]) -> Result<(GlobalArgs, bool), UsageError> {
    let mut clap = command();
    let shape = |clap: &clap::Command, error: &clap::Error| {
        let usage = "[OPTIONS] COMMAND [ARG...]".to_owned();
        Frame {
            program,
            spelling: "",
            usage,
            arity: Arity::AtLeast(0),
            words,
            clap,
        }
        .shape(error)
    };
    let mut matches = match clap.try_get_matches_from_mut(words) {
        Ok(matches) => matches,
        Err(error) => return Err(shape(&clap, &error)),
    };
    let help = matches.get_flag("help");
    match GlobalArgs::from_arg_matches_mut(&mut matches) {
        Ok(global) => Ok((global, help)),
        Err(error) => Err(shape(&clap, &error)),
    }
}
