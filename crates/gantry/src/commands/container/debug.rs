//! A shell with tools in a container that has none.

use std::io::{self, IsTerminal};

use clap::Args;
use gantry_engine::containers::ExecSpec;

use super::foreground::{Foreground, Wishes};
use crate::context::Context;
use crate::failure::Outcome;
use crate::flags::environment;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct DebugArgs {
    /// Run this command line in a shell
    #[arg(short, long)]
    pub(crate) command: Option<String>,
    /// Keys that leave the shell running (default "ctrl-p,ctrl-q")
    #[arg(long)]
    pub(crate) detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long)]
    pub(crate) env: Vec<String>,
    /// Image with the tools (default: that of the configuration, or a static busybox of the host)
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// User and group, names of the container or numbers (default root)
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Working folder; the container's files are below /container
    #[arg(short, long)]
    pub(crate) workdir: Option<String>,
    /// The container, the command and its arguments.
    #[arg(trailing_var_arg = true)]
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: DebugArgs) -> Outcome {
    let (name, command) = (&args.operands[0], &args.operands[1..]);
    let command = match (args.command, command) {
        (Some(line), rest) => {
            let shell = ["sh".to_owned(), "-c".to_owned(), line];
            shell.into_iter().chain(rest.iter().cloned()).collect()
        }
        (None, []) => vec!["sh".to_owned()],
        (None, own) => own.to_vec(),
    };
    let tty = io::stdin().is_terminal() && io::stdout().is_terminal();
    let foreground = Foreground::new(Wishes {
        only: &[],
        interactive: true,
        tty,
        proxy_signals: true,
        detach_keys: args.detach_keys.as_deref(),
    })?;
    let spec = ExecSpec {
        command,
        env: environment::variables(&[], &args.env, &environment::caller)?,
        working_dir: args.workdir,
        user: args.user,
        tty,
        privileged: false,
        attach: Some(foreground.attach),
        window: foreground.window(),
    };
    let containers = context.engine()?.containers();
    let mut debugging = containers.debug(name, args.image.as_deref(), &spec)?;
    foreground.carry(&mut debugging.executing.session)
}
