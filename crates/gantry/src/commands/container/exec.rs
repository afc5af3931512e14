//! Runs a further process in a running container.

use clap::Args;
use gantry_engine::containers::ExecSpec;

use super::foreground::{Foreground, Wishes};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::environment;

/// The exit code of a command that was to run in the background and does not.
const NOT_STARTED: u8 = 1;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExecArgs {
    /// Run in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keys that leave the container running (default "ctrl-p,ctrl-q")
    #[arg(long)]
    pub(crate) detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long)]
    pub(crate) env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long)]
    pub(crate) env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Allocate a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// User and group, names or numbers (format: <name|uid>[:<group|gid>])
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Working folder inside the container
    #[arg(short, long)]
    pub(crate) workdir: Option<String>,
    /// The container, the command and its arguments.
    #[arg(trailing_var_arg = true)]
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: ExecArgs) -> Outcome {
    let Some((name, command)) = args.operands.split_first() else {
        return Err(Failure::invalid("a container and a command are needed"));
    };
    let foreground = match args.detach {
        true => None,
        false => Some(Foreground::new(Wishes {
            only: &[],
            interactive: args.interactive,
            tty: args.tty,
            proxy_signals: true,
            detach_keys: args.detach_keys.as_deref(),
        })?),
    };
    let spec = ExecSpec {
        command: command.to_vec(),
        env: environment::variables(&args.env_file, &args.env, &environment::caller)?,
        working_dir: args.workdir,
        user: args.user,
        tty: args.tty,
        privileged: args.privileged,
        attach: foreground.as_ref().map(|f| f.attach),
        window: foreground.as_ref().and_then(Foreground::window),
    };
    let begun = context.engine()?.containers().exec(name, &spec);
    // Nobody waits for a code of the command's own.
    let mut executing = match (begun, &foreground) {
        (Err(error), None) => return Err(Failure::from(error).with_code(NOT_STARTED)),
        (begun, _) => begun?,
    };
    match foreground {
        Some(foreground) => foreground.carry(&mut executing.session),
        None => Ok(Exit::SUCCESS),
    }
}
