//! Makes a container without starting it.

use clap::Args;

use super::foreground;
use super::making::{self, CidFile};
use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::flags::container::ContainerFlags;
use crate::flags::environment;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// What to make.
    #[command(flatten)]
    pub(crate) container: ContainerFlags,
    /// The image, the command and its arguments.
    #[arg(trailing_var_arg = true)]
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, mut args: CreateArgs) -> Outcome {
    let platform = args.container.platform.take();
    args.container.platform = platform.or_else(environment::default_platform);
    let mut spec = making::specification(context, &args.container, &args.operands)?;
    let attach = foreground::streams(&args.container.attach, spec.interactive)?;
    foreground::note(&mut spec, attach);
    let file = CidFile::create(args.container.cidfile.as_deref())?;
    let containers = context.engine()?.containers();
    let made = making::with_image(context, &args.container, &spec.image, || {
        containers.create(&spec)
    });
    let created = match made {
        Ok(created) => created,
        Err(failure) => {
            if let Some(file) = file {
                file.abandon();
            }
            return Err(failure);
        }
    };
    for warning in &created.warnings {
        context.ui.warning(warning);
    }
    file.map(|file| file.write(&created.id)).transpose()?;
    context.ui.line(created.id.as_str())?;
    Ok(Exit::SUCCESS)
}
