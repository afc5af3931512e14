//! Attaches to the streams of a running container.

use clap::Args;
use gantry_model::record::Status;

use super::foreground::{Foreground, Wishes};
use crate::context::Context;
use crate::failure::{CommandError, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct AttachArgs {
    /// Keys that leave the container running (default "ctrl-p,ctrl-q")
    #[arg(long)]
    pub(crate) detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Pass signals on to the process (default true)
    #[arg(long, action = clap::ArgAction::SetFalse)]
    pub(crate) sig_proxy: bool,
    /// The container.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: AttachArgs) -> Outcome {
    let containers = context.engine()?.containers();
    let (record, state) = containers.look(&args.operands[0])?;
    if state.status == Status::Paused {
        let message = "You cannot attach to a paused container, unpause it first";
        return Err(CommandError::Conflict(message.to_owned()).into());
    }
    let mut foreground = Foreground::new(Wishes {
        only: &[],
        interactive: record.spec.interactive && !args.no_stdin,
        tty: record.spec.tty,
        proxy_signals: args.sig_proxy,
        detach_keys: args.detach_keys.as_deref(),
    })?;
    // One of several: a terminal that nobody reads must not hold up the container and the others.
    foreground.attach.lossless = false;
    let mut begun = containers.attach(record.id.as_str(), foreground.attach)?;
    foreground.carry(&mut begun.session)
}
