//! `RUN` and its options.

use super::instruction::{Parts, Refusal};
use super::mount::{self, MountError};
use crate::ast::{CommandLine, Device, InstructionKind, Mount, Network, Run, Security, Word};
use crate::diagnostic::{Code, Diagnostic};

const FLAGS: [&str; 4] = ["mount", "network", "security", "device"];

/// `RUN [flags] command`
pub(crate) fn run(parts: &mut Parts<'_>) -> Result<InstructionKind, Refusal> {
    let mounts = parts.flags.strings("mount");
    let network = parts.flags.string("network");
    let security = parts.flags.string("security");
    let devices = parts.flags.strings("device");
    parts.finish_flags(&FLAGS)?;
    let command = parts.command_line(parts.arguments)?;
    if matches!(&command, CommandLine::Exec(arguments) if arguments.is_empty()) {
        return Err(parts.refuse(Code::Arguments, "RUN requires at least one argument"));
    }
    Ok(InstructionKind::Run(Run {
        command,
        heredocs: std::mem::take(&mut parts.heredocs),
        mounts: mounts
            .into_iter()
            .map(parse_mount)
            .collect::<Result<_, _>>()?,
        network: network.map_or(Ok(Network::default()), |word| parse_network(&word))?,
        security: security.map_or(Ok(Security::default()), |word| parse_security(&word))?,
        devices: devices.iter().map(parse_device).collect::<Result<_, _>>()?,
    }))
}

fn parse_mount(text: Word) -> Result<Mount, Refusal> {
    match mount::parse(&text.value, None) {
        Ok(spec) => Ok(Mount { text, spec }),
        Err(error) => Err(vec![error.diagnostic(text.span)]),
    }
}

fn parse_network(word: &Word) -> Result<Network, Refusal> {
    match word.as_str() {
        "default" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        other => Err(vec![
            Diagnostic::error(
                Code::Flag,
                format!("invalid network mode \"{other}\""),
                word.span,
            )
            .suggesting(other, ["default", "none", "host"])
            .with_note("network modes are default, none and host"),
        ]),
    }
}

fn parse_security(word: &Word) -> Result<Security, Refusal> {
    match word.as_str() {
        "sandbox" => Ok(Security::Sandbox),
        "insecure" => Ok(Security::Insecure),
        other => Err(vec![
            Diagnostic::error(
                Code::Flag,
                format!("security \"{other}\" is not valid"),
                word.span,
            )
            .suggesting(other, ["sandbox", "insecure"])
            .with_note("security modes are sandbox and insecure"),
        ]),
    }
}

/// `--device=name[,required]`
fn parse_device(word: &Word) -> Result<Device, Refusal> {
    let refuse = |error: MountError| vec![error.diagnostic(word.span)];
    let mut device = Device {
        name: String::new(),
        required: false,
        span: word.span,
    };
    for field in mount::fields(&word.value).map_err(refuse)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => {
                device.required = mount::boolean(&key, value).map_err(refuse)?
            }
            ("name", Some(value)) if device.name.is_empty() => value.clone_into(&mut device.name),
            ("name", Some(_)) => {
                let message = format!("device name already set to {}", device.name);
                return Err(vec![Diagnostic::error(Code::Flag, message, word.span)]);
            }
            // A name may hold a `=` of its own: vendor.com/class=device.
            _ if device.name.is_empty() => device.name = field,
            (_, None) => return Err(refuse(MountError::NotAPair { field })),
            (_, Some(_)) => {
                return Err(refuse(MountError::UnknownKey {
                    key,
                    field,
                    known: &["name", "required"],
                }));
            }
        }
    }
    if device.name.is_empty() {
        return Err(vec![
            Diagnostic::error(Code::Flag, "device needs a name", word.span)
                .with_hint("--device=vendor.com/class=name[,required]"),
        ]);
    }
    Ok(device)
}
