//! `--change` of `import`: Dockerfile instructions that only touch the configuration.

use std::collections::BTreeMap;

use gantry_dockerfile::ast::{CommandLine, Escape, Instruction, InstructionKind};
use gantry_dockerfile::diagnostic::Diagnostic;
use gantry_dockerfile::expand::expand_instruction;
use gantry_dockerfile::source::SourceFile;
use gantry_dockerfile::{parse_trigger, port};
use gantry_model::image::ProcessConfig;
use serde_json::{Map, Value};

/// A change that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is no instruction.
    #[error("cannot apply the change {change:?}: {reason}")]
    Syntax {
        /// As written.
        change: String,
        /// What is wrong.
        reason: String,
    },
    /// It is an instruction that does more than changing the configuration.
    #[error("{instruction} is not a valid change command")]
    Instruction {
        /// Its name.
        instruction: &'static str,
    },
}

/// Applies instructions in order.
pub(crate) fn apply(config: &mut ProcessConfig, changes: &[String]) -> Result<(), ChangeError> {
    let mut own_command = false;
    for change in changes {
        let syntax = |reason: String| ChangeError::Syntax {
            change: change.clone(),
            reason,
        };
        if let Some(trigger) = trigger(change) {
            read(trigger).map_err(|d| syntax(d.message))?;
            config.on_build.push(trigger.to_owned());
            continue;
        }
        let instruction = read(change).map_err(|d| syntax(d.message))?;
        let variables: BTreeMap<String, String> = config
            .env
            .iter()
            .filter_map(|entry| entry.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let expanded = expand_instruction(&instruction, &variables, Escape::Backslash)
            .map_err(|d| syntax(d.message))?;
        let kind = &expanded.instruction.kind;
        one(config, kind, &syntax)?;
        // An entry point of one's own takes the command that came with the old one away.
        match kind {
            InstructionKind::Cmd(_) => own_command = true,
            InstructionKind::Entrypoint(_) if !own_command => config.cmd = None,
            _ => {}
        }
    }
    Ok(())
}

/// What stands behind `ONBUILD`, which may be a change but not a trigger.
fn trigger(change: &str) -> Option<&str> {
    let (word, rest) = change.trim().split_once(char::is_whitespace)?;
    word.eq_ignore_ascii_case("ONBUILD").then(|| rest.trim())
}

fn read(change: &str) -> Result<Instruction, Diagnostic> {
    // A trigger is what a change is, too: one instruction alone.
    let source = SourceFile::new("change", change);
    parse_trigger(&source, Escape::Backslash).map_err(|mut all| all.swap_remove(0))
}

fn one(
    config: &mut ProcessConfig,
    kind: &InstructionKind,
    syntax: &dyn Fn(String) -> ChangeError,
) -> Result<(), ChangeError> {
    match kind {
        InstructionKind::Cmd(line) => config.cmd = arguments(line, config.shell.as_deref()),
        InstructionKind::Entrypoint(line) => {
            config.entrypoint = arguments(line, config.shell.as_deref());
        }
        InstructionKind::Env(pairs) => {
            for pair in pairs {
                set_variable(&mut config.env, &pair.key.value, &pair.value.value);
            }
        }
        InstructionKind::Expose(words) => {
            for word in words {
                let ports = port::parse(&word.value).map_err(|e| syntax(e.to_string()))?;
                let named = ports.names().map(|name| (name, Value::Object(Map::new())));
                config.exposed_ports.extend(named);
            }
        }
        InstructionKind::Healthcheck(check) => config.healthcheck = Some(check.into()),
        InstructionKind::Label(pairs) => {
            let pairs = pairs
                .iter()
                .map(|p| (p.key.value.clone(), p.value.value.clone()));
            config.labels.extend(pairs);
        }
        InstructionKind::StopSignal(signal) => config.stop_signal = Some(signal.value.clone()),
        InstructionKind::User(user) => config.user.clone_from(&user.value),
        InstructionKind::Volume(words) => {
            let paths = words
                .iter()
                .map(|w| (w.value.clone(), Value::Object(Map::new())));
            config.volumes.extend(paths);
        }
        InstructionKind::Workdir(path) => {
            config.working_dir = joined(&config.working_dir, &path.value)
        }
        InstructionKind::Shell(words) => {
            config.shell = Some(words.iter().map(|w| w.value.clone()).collect());
        }
        InstructionKind::Add(_)
        | InstructionKind::Arg(_)
        | InstructionKind::Copy(_)
        | InstructionKind::Maintainer(_)
        | InstructionKind::Onbuild(_)
        | InstructionKind::Run(_) => {
            return Err(ChangeError::Instruction {
                instruction: kind.name(),
            });
        }
    }
    Ok(())
}

fn arguments(line: &CommandLine, shell: Option<&[String]>) -> Option<Vec<String>> {
    let default = ["/bin/sh".to_owned(), "-c".to_owned()];
    let shell = shell.filter(|s| !s.is_empty()).unwrap_or(&default);
    Some(line.arguments(shell)).filter(|arguments| !arguments.is_empty())
}

fn set_variable(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match env
        .iter_mut()
        .find(|known| known.split('=').next() == Some(name))
    {
        Some(known) => *known = entry,
        None => env.push(entry),
    }
}

/// `path` from the folder `base`, both in an image, without `.` and `..`.
fn joined(base: &str, path: &str) -> String {
    let mut parts = Vec::new();
    let from = if path.starts_with('/') { "" } else { base };
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(changes: &[&str]) -> Result<ProcessConfig, ChangeError> {
        let mut config = ProcessConfig::default();
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
        apply(&mut config, &changes).map(|()| config)
    }

    #[test]
    fn the_configuration_changes() {
        let config = applied(&[
            "ENV A=1 B=two",
            "ENV A=3",
            "CMD [\"sh\", \"-l\"]",
            "entrypoint exec top -b",
            "EXPOSE 80 53/udp",
            "LABEL a=b",
            "USER 1000:1000",
            "WORKDIR /srv",
            "WORKDIR $B",
            "VOLUME /data",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=5s CMD true",
            "onbuild RUN make",
        ])
        .unwrap();
        assert_eq!(config.env, ["A=3", "B=two"]);
        assert_eq!(config.cmd.unwrap(), ["sh", "-l"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec top -b"]);
        assert_eq!(
            config.exposed_ports.keys().collect::<Vec<_>>(),
            ["53/udp", "80/tcp"]
        );
        assert_eq!(config.working_dir, "/srv/two");
        assert_eq!(config.healthcheck.unwrap().interval, 5_000_000_000);
        assert!(config.volumes.contains_key("/data"));
        assert_eq!(config.on_build, ["RUN make"]);
    }

    #[test]
    fn an_entry_point_takes_the_command_away() {
        let mut config = ProcessConfig {
            cmd: Some(vec!["old".to_owned()]),
            ..ProcessConfig::default()
        };
        apply(&mut config, &["ENTRYPOINT [\"e\"]".to_owned()]).unwrap();
        assert_eq!(config.cmd, None);
        let config = applied(&["CMD [\"c\"]", "ENTRYPOINT [\"e\"]"]).unwrap();
        assert_eq!(config.cmd.unwrap(), ["c"]);
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for bad in [
            "RUN true",
            "COPY a b",
            "NOPE x",
            "",
            "CMD a\nCMD b",
            "EXPOSE http",
            "FROM scratch",
            "ONBUILD ONBUILD RUN x",
            "ONBUILD FROM x",
            "ONBUILD",
        ] {
            assert!(applied(&[bad]).is_err(), "{bad}");
        }
    }
}
