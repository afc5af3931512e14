//! Instructions that only change the configuration.

use std::collections::BTreeSet;

use gantry_dockerfile::ast::{ArgDeclaration, CommandLine, KeyValue};
use gantry_dockerfile::{InstructionKind, SourceFile, Word, port};
use serde_json::{Map, Value};

use super::scope::default;
use super::stage::{Place, StageState};
use super::{Lowering, Stop, healthcheck, history};
use crate::error::BuildError;

impl Lowering<'_> {
    /// An instruction, variables replaced, that makes no layer.
    pub(super) fn metadata(
        &mut self,
        state: &mut StageState,
        kind: &InstructionKind,
        place: &Place<'_>,
    ) -> Result<(), Stop> {
        let config = &mut state.config.config;
        let text = match kind {
            InstructionKind::Env(pairs) => env(state, pairs),
            InstructionKind::Label(pairs) => label(state, pairs),
            InstructionKind::Cmd(line) => command(state, line),
            InstructionKind::Entrypoint(line) => entrypoint(state, line),
            InstructionKind::Healthcheck(check) => {
                let check = gantry_model::image::Healthcheck::from(check);
                let text = healthcheck::history(&check);
                config.healthcheck = Some(check);
                text
            }
            InstructionKind::Expose(ports) => expose(state, ports, place)?,
            InstructionKind::Maintainer(author) => {
                state.config.author = Some(author.value.clone());
                format!("MAINTAINER {}", author.value)
            }
            InstructionKind::Onbuild(onbuild) => {
                config.on_build.push(onbuild.trigger.clone());
                return Ok(());
            }
            InstructionKind::Shell(words) => {
                let shell = values(words);
                let text = format!("SHELL [{}]", shell.join(" "));
                config.shell = Some(shell);
                text
            }
            InstructionKind::StopSignal(signal) => stop_signal(state, signal, place)?,
            InstructionKind::User(user) => {
                config.user.clone_from(&user.value);
                format!("USER {}", user.value)
            }
            InstructionKind::Volume(paths) => volume(state, paths, place)?,
            InstructionKind::Arg(_)
            | InstructionKind::Add(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Run(_)
            | InstructionKind::Workdir(_) => return Ok(()),
        };
        self.record(state, text);
        Ok(())
    }

    /// `ARG`: the client's value, else the default, else the global value.
    pub(super) fn arguments(
        &mut self,
        state: &mut StageState,
        declarations: &[ArgDeclaration],
        source: &SourceFile,
    ) -> Result<(), Stop> {
        let mut shown = Vec::new();
        for declaration in declarations {
            let name = declaration.name.value.clone();
            let given = self
                .settings
                .build_args
                .get(&name)
                .or_else(|| self.settings.proxy_args.get(&name))
                .cloned();
            let value = match given {
                Some(given) => Some(given),
                None => default(declaration, &state.scope, self.dockerfile.directives.escape)
                    .map_err(|diagnostic| BuildError::dockerfile(source, &[diagnostic]))?
                    .or_else(|| self.globals.value(&name).map(str::to_owned)),
            };
            shown.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            });
            self.declared.insert(name.clone());
            state.scope.declare_argument(name, value);
        }
        self.record(state, format!("ARG {}", shown.join(" ")));
        Ok(())
    }
}

/// The shell of the shell form.
pub(super) fn shell(shell: Option<&[String]>) -> Vec<String> {
    match shell {
        Some(shell) if !shell.is_empty() => shell.to_vec(),
        _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
    }
}

fn values(words: &[Word]) -> Vec<String> {
    words.iter().map(|word| word.value.clone()).collect()
}

fn pairs_text(keyword: &str, pairs: &[KeyValue]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|pair| format!("{}={}", pair.key.value, pair.value.value))
        .collect();
    format!("{keyword} {}", pairs.join(" "))
}

fn env(state: &mut StageState, pairs: &[KeyValue]) -> String {
    for pair in pairs {
        let (name, value) = (&pair.key.value, &pair.value.value);
        state.scope.set_environment(name.clone(), value.clone());
        let entry = format!("{name}={value}");
        let list = &mut state.config.config.env;
        match list
            .iter_mut()
            .find(|known| known.split('=').next() == Some(name))
        {
            Some(known) => *known = entry,
            None => list.push(entry),
        }
    }
    pairs_text("ENV", pairs)
}

fn label(state: &mut StageState, pairs: &[KeyValue]) -> String {
    let labels = &mut state.config.config.labels;
    for pair in pairs {
        labels.insert(pair.key.value.clone(), pair.value.value.clone());
    }
    pairs_text("LABEL", pairs)
}

fn command(state: &mut StageState, line: &CommandLine) -> String {
    let config = &mut state.config.config;
    let arguments = line.arguments(&shell(config.shell.as_deref()));
    let text = format!("CMD {}", history::quoted_list(&arguments));
    config.cmd = Some(arguments).filter(|arguments| !arguments.is_empty());
    config.args_escaped = true;
    state.has_command = true;
    text
}

fn stop_signal(state: &mut StageState, signal: &Word, place: &Place<'_>) -> Result<String, Stop> {
    if !is_signal(&signal.value) {
        return Err(place.error_at(signal.span, format!("invalid signal: {}", signal.value)));
    }
    state.config.config.stop_signal = Some(signal.value.clone());
    Ok(format!("STOPSIGNAL {}", signal.value))
}

fn volume(state: &mut StageState, paths: &[Word], place: &Place<'_>) -> Result<String, Stop> {
    let paths = values(paths);
    if paths.iter().any(String::is_empty) {
        return Err(place.error("VOLUME specified can not be an empty string"));
    }
    let volumes = &mut state.config.config.volumes;
    for path in &paths {
        volumes.insert(path.clone(), Value::Object(Map::new()));
    }
    Ok(format!("VOLUME [{}]", paths.join(" ")))
}

fn entrypoint(state: &mut StageState, line: &CommandLine) -> String {
    let config = &mut state.config.config;
    let arguments = line.arguments(&shell(config.shell.as_deref()));
    let text = format!("ENTRYPOINT {}", history::quoted_list(&arguments));
    config.entrypoint = Some(arguments).filter(|arguments| !arguments.is_empty());
    // A command that was meant for the base's entry point makes no sense with this one.
    if !state.has_command {
        config.cmd = None;
    }
    text
}

fn expose(state: &mut StageState, words: &[Word], place: &Place<'_>) -> Result<String, Stop> {
    let mut ports = BTreeSet::new();
    for word in words {
        let parsed = port::parse(&word.value)
            .map_err(|error| place.error_at(word.span, error.to_string()))?;
        ports.extend(parsed.names());
    }
    for name in &ports {
        state
            .config
            .config
            .exposed_ports
            .insert(name.clone(), Value::Object(Map::new()));
    }
    let names: Vec<String> = ports.into_iter().collect();
    Ok(format!("EXPOSE [{}]", names.join(" ")))
}

/// Whether Docker takes this for a signal: a number, or a name with or without `SIG`.
fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 36] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT",
        "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM",
        "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
        "RTMIN", "RTMAX",
    ];
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let offset = |rest: &str, most: u8| {
        rest.parse::<u8>()
            .is_ok_and(|number| (1..=most).contains(&number))
    };
    NAMES.contains(&name)
        || name
            .strip_prefix("RTMIN+")
            .is_some_and(|rest| offset(rest, 15))
        || name
            .strip_prefix("RTMAX-")
            .is_some_and(|rest| offset(rest, 14))
}

#[cfg(test)]
mod tests {
    use super::is_signal;

    #[test]
    fn signals() {
        for good in [
            "9",
            "64",
            "SIGTERM",
            "term",
            "SIGRTMIN+3",
            "RTMAX-14",
            "SIGUSR1",
        ] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["", "0", "65", "SIG", "NOPE", "SIGRTMIN+16", "-1", "1.0"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
