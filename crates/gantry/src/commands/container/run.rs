//! Makes a container and starts it.

use clap::Args;
use gantry_engine::containers::{Begun, StartOptions};
use gantry_model::{ContainerSpec, FaultKind};
use gantry_supervisor::protocol::chain;

use super::foreground::{self, Foreground, Wishes};
use super::making::{self, CidFile};
use crate::context::Context;
use crate::exit;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::container::ContainerFlags;
use crate::flags::environment;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// What to make.
    #[command(flatten)]
    pub(crate) container: ContainerFlags,
    /// Run in the background and print the container ID
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keys that leave the container running (default "ctrl-p,ctrl-q")
    #[arg(long)]
    pub(crate) detach_keys: Option<String>,
    /// Pass signals on to the process (default true)
    #[arg(long, action = clap::ArgAction::SetFalse)]
    pub(crate) sig_proxy: bool,
    /// The image, the command and its arguments.
    #[arg(trailing_var_arg = true)]
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, mut args: RunArgs) -> Outcome {
    let platform = args.container.platform.take();
    args.container.platform = platform.or_else(environment::default_platform);
    let foreground = foreground(&args)?;
    let mut spec = making::specification(context, &args.container, &args.operands)?;
    if let Some(foreground) = &foreground {
        foreground::note(&mut spec, foreground.attach);
    }
    // Docker tells by the words of the error, whatever the file is that they are about.
    let file =
        CidFile::create(args.container.cidfile.as_deref()).map_err(|failure| {
            match failure.kind() {
                Some(FaultKind::NotFound) => failure.with_code(exit::NOT_FOUND),
                Some(FaultKind::Forbidden) => failure.with_code(exit::CANNOT_INVOKE),
                _ => failure,
            }
        })?;
    let begun = match begin(context, &args, &spec, foreground.as_ref()) {
        Ok(begun) => begun,
        Err(failure) => {
            if let Some(file) = file {
                file.abandon();
            }
            return Err(failure);
        }
    };
    let Begun {
        id,
        warnings,
        mut session,
        keeping,
        ..
    } = begun;
    for warning in &warnings {
        context.ui.warning(warning);
    }
    file.map(|file| file.write(&id)).transpose()?;
    session.started()?;
    let carried = foreground.map(|foreground| foreground.carry(&mut session));
    // It runs, or ran: that it may be lost is no reason to say otherwise.
    if let Err(error) = keeping.finish() {
        context
            .ui
            .warning(&format!("container {}: {}", id.short(), chain(&error)));
    }
    match carried {
        Some(outcome) => outcome,
        None => {
            context.ui.line(id.as_str())?;
            Ok(Exit::SUCCESS)
        }
    }
}

/// What is attached; nothing with `-d`.
fn foreground(args: &RunArgs) -> Result<Option<Foreground>, Failure> {
    if args.detach {
        if !args.container.attach.is_empty() {
            return Err(Failure::invalid(
                "conflicting options: cannot specify both --attach and --detach",
            )
            .with_code(exit::BAD_USAGE));
        }
        return Ok(None);
    }
    let wishes = Wishes {
        only: &args.container.attach,
        interactive: args.container.interactive,
        tty: args.container.tty,
        proxy_signals: args.sig_proxy,
        detach_keys: args.detach_keys.as_deref(),
    };
    Foreground::new(wishes).map(Some)
}

fn begin(
    context: &Context,
    args: &RunArgs,
    spec: &ContainerSpec,
    foreground: Option<&Foreground>,
) -> Result<Begun, Failure> {
    let options = StartOptions {
        attach: foreground.map(|f| f.attach),
        window: foreground.and_then(Foreground::window),
    };
    let containers = context.engine()?.containers();
    making::with_image(context, &args.container, &spec.image, || {
        containers.run(spec, options)
    })
}
