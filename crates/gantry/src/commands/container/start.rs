//! Starts containers.

use clap::Args;
use gantry_engine::containers::{ContainerError, StartOptions};

use super::foreground::{Foreground, Wishes};
use crate::commands::each::each;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    /// Attach STDOUT and STDERR and forward signals
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Keys that leave the container running (default "ctrl-p,ctrl-q")
    #[arg(long)]
    pub(crate) detach_keys: Option<String>,
    /// Attach the container's STDIN
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// The containers.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: StartArgs) -> Outcome {
    let containers = context.engine()?.containers();
    if !(args.attach || args.interactive) {
        return each(context, &args.operands, |name| {
            match containers.start(name, StartOptions::default()) {
                Ok(mut begun) => drop(begun.session.started()?),
                Err(ContainerError::AlreadyRunning { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            context.ui.line(name)
        });
    }
    let [name] = args.operands.as_slice() else {
        return Err(Failure::invalid(
            "you cannot start and attach multiple containers at once",
        ));
    };
    let (record, _) = containers.look(name)?;
    let foreground = Foreground::new(Wishes {
        only: &[],
        interactive: args.interactive && record.spec.interactive,
        tty: record.spec.tty,
        proxy_signals: true,
        detach_keys: args.detach_keys.as_deref(),
    })?;
    let options = StartOptions {
        attach: Some(foreground.attach),
        window: foreground.window(),
    };
    let mut begun = containers.start(record.id.as_str(), options)?;
    begun.session.started()?;
    foreground.carry(&mut begun.session)
}
