//! Files that a later layer removes.

use super::packages::{apt_action, is_kept_out};
use super::{Look, Step};
use crate::ast::{CopySource, InstructionKind};
use crate::diagnostic::Diagnostic;
use crate::lint::Rule;
use crate::lint::shell::{Command, ShellWord};

pub(super) fn check(look: &mut Look<'_>) {
    let mut found = Vec::new();
    for index in look.ancestry() {
        let mut made = Made::default();
        for step in &look.stages[index].steps {
            made.removed_by(step, &mut found);
            made.add(step);
            made.paths.truncate(MOST_REMEMBERED);
            made.packages.truncate(MOST_REMEMBERED);
        }
    }
    look.found.append(&mut found);
}

/// Most paths, and most packages, that are remembered of a stage.
const MOST_REMEMBERED: usize = 1000;

/// What the layers so far hold.
#[derive(Default)]
struct Made {
    /// Absolute paths of files and folders.
    paths: Vec<String>,
    packages: Vec<String>,
}

impl Made {
    fn add(&mut self, step: &Step<'_>) {
        match &step.instruction.kind {
            InstructionKind::Copy(copy) => self.copied(&copy.sources, copy.destination.as_str()),
            InstructionKind::Add(add) => self.copied(&add.sources, add.destination.as_str()),
            _ => {}
        }
        let Some(script) = &step.script else {
            return;
        };
        for command in &script.commands {
            let action = apt_action(command).map(|word| word.text.as_str());
            if action == Some("update") && !is_kept_out(script, &["/var/lib/apt"]) {
                self.paths.push("/var/lib/apt/lists".to_owned());
            }
            if let Some(packages) = named_packages(command, &["install", "add"]) {
                let removed_at_once = script
                    .commands
                    .iter()
                    .any(|other| named_packages(other, &["remove", "purge", "del"]).is_some());
                if !removed_at_once {
                    self.packages.extend(packages.map(|word| word.text.clone()));
                }
            }
            self.paths
                .extend(downloaded(command).filter(|path| !is_kept_out(script, &[path.as_str()])));
        }
    }

    fn copied(&mut self, sources: &[CopySource], destination: &str) {
        let Some(folder) = destination.strip_suffix('/') else {
            return self.paths.extend(absolute(destination));
        };
        for source in sources {
            let name = match source {
                CopySource::Path(path) => path.value.trim_end_matches('/'),
                CopySource::Inline(heredoc) => &heredoc.name,
            };
            let name = name.rsplit('/').next().unwrap_or_default();
            self.paths.extend(absolute(&format!("{folder}/{name}")));
        }
    }

    fn removed_by(&self, step: &Step<'_>, found: &mut Vec<Diagnostic>) {
        let Some(script) = &step.script else {
            return;
        };
        for command in &script.commands {
            if command.name() == "rm" {
                let held = command
                    .arguments()
                    .iter()
                    .find(|word| self.holds(&word.text));
                if let Some(path) = held {
                    let message = format!(
                        "{} stays in the layer that made it; remove it in the same RUN",
                        path.text
                    );
                    found.push(Rule::CleanUpInLaterLayer.at(message, command.span()));
                }
            }
            let removed = named_packages(command, &["remove", "purge", "del"]);
            let held = removed
                .into_iter()
                .flatten()
                .find(|word| self.packages.contains(&word.text));
            if let Some(package) = held {
                let message = format!(
                    "The package {} stays in the layer that installed it; remove it in the same RUN",
                    package.text
                );
                found.push(Rule::CleanUpInLaterLayer.at(message, command.span()));
            }
        }
    }

    fn holds(&self, removed: &str) -> bool {
        let removed = removed.trim_end_matches(['*', '/']);
        removed.len() > 1
            && self.paths.iter().any(|path| {
                let below = path.strip_prefix(removed);
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }
}

fn absolute(path: &str) -> Option<String> {
    (path.starts_with('/') && path.len() > 1 && !path.contains('$')).then(|| path.to_owned())
}

/// The packages that apt or apk is told by name to bring in or take away.
fn named_packages<'c>(
    command: &'c Command,
    actions: &[&str],
) -> Option<impl Iterator<Item = &'c ShellWord>> {
    if !matches!(command.name(), "apt-get" | "apt" | "apk") {
        return None;
    }
    let action = command.subcommand(&["-t", "-o", "--virtual"])?;
    if !actions.contains(&action.text.as_str()) {
        return None;
    }
    let behind = command.arguments().iter();
    let behind = behind.skip_while(move |word| word.span.start <= action.span.start);
    Some(behind.filter(|word| !word.text.starts_with('-') || word.text.starts_with(".")))
}

/// Where curl or wget write to.
fn downloaded(command: &Command) -> impl Iterator<Item = String> {
    let option = match command.name() {
        "curl" => &["-o", "--output"][..],
        "wget" => &["-O", "--output-document"][..],
        _ => &[][..],
    };
    let words = command.arguments().windows(2);
    words
        .filter(move |pair| {
            let is_short = pair[0].text.starts_with('-') && !pair[0].text.starts_with("--");
            let clustered = option.first().is_some_and(|short| {
                is_short && pair[0].text.ends_with(short.trim_start_matches('-'))
            });
            option.contains(&pair[0].text.as_str()) || clustered
        })
        .filter_map(|pair| absolute(&pair[1].text))
}
