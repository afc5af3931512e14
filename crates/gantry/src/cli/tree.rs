//! All commands as one clap tree, for completions and manual pages; a command that runs never
//! needs it.

use super::command::Group;
use super::global;
use super::lookup::{children, groups};
use super::parse::prepare;

/// The program with every command that is not hidden.
pub(crate) fn whole() -> clap::Command {
    let mut root = global::command()
        .no_binary_name(false)
        .about("Containers, from Dockerfile to running service, without a daemon")
        .mut_arg("words", |arg| arg.hide(true));
    for (group, name) in groups(None).filter(|(group, _)| !group.hidden) {
        root = root.subcommand(noun(group, name));
    }
    root.subcommands(below(None))
}

/// A noun with its commands and the nouns below it.
fn noun(group: &'static Group, name: &'static str) -> clap::Command {
    clap::Command::new(name)
        .about(group.about)
        .subcommands(below(Some(group.name)))
        .subcommands(groups(Some(group.name)).map(|(group, name)| noun(group, name)))
}

fn below(group: Option<&'static str>) -> Vec<clap::Command> {
    children(group)
        .map(|(command, name)| {
            let words = command.usage.trim_start_matches("[OPTIONS]").trim_start();
            let mut clap = prepare(command)
                .no_binary_name(false)
                .name(name)
                .about(command.about);
            if clap.get_positionals().next().is_some() {
                clap = clap.mut_arg("operands", |arg| arg.value_name(words));
            }
            clap
        })
        .collect()
}
