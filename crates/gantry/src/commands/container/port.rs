//! Shows the published ports of a container.

use clap::Args;
use gantry_model::port::{ContainerPort, PortMapping};

use super::ports;
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct PortArgs {
    /// The container and a port of its own.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: PortArgs) -> Outcome {
    let name = &args.operands[0];
    let (_, state) = context.engine()?.containers().look(name)?;
    let mut published = state
        .network
        .map(|network| network.ports)
        .unwrap_or_default();
    published.sort_by_key(|p| {
        (
            p.container.port,
            p.container.protocol,
            p.host_ip,
            p.host_port,
        )
    });
    let text = match args.operands.get(1) {
        None => published
            .iter()
            .map(|mapping| format!("{} -> {}\n", mapping.container, ports::host_side(mapping)))
            .collect(),
        Some(wanted) => of_one(&published, wanted, name)?,
    };
    context.ui.data(&text)?;
    Ok(Exit::SUCCESS)
}

fn of_one(published: &[PortMapping], wanted: &str, name: &str) -> Result<String, Failure> {
    let port: ContainerPort = wanted
        .parse()
        .map_err(|error: gantry_model::port::PortError| Failure::invalid(error.to_string()))?;
    let lines: String = published
        .iter()
        .filter(|mapping| mapping.container == port)
        .map(|mapping| format!("{}\n", ports::host_side(mapping)))
        .collect();
    if lines.is_empty() {
        let message = format!("no public port '{port}' published for {name}");
        return Err(CommandError::NotFound(message).into());
    }
    Ok(lines)
}
