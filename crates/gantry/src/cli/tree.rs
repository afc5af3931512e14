//! All commands as one clap tree, for completions and manual pages; a command that runs never
//! needs it.

use super::global;
use super::lookup::children;
use super::parse::prepare;
use super::table::GROUPS;

/// The program with every command that is not hidden.
pub(crate) fn whole() -> clap::Command {
    let mut root = global::command()
        .no_binary_name(false)
        .about("Containers, from Dockerfile to running service, without a daemon")
        .mut_arg("words", |arg| arg.hide(true));
    for group in GROUPS.iter().filter(|g| !g.hidden) {
        let below = below(Some(group.name));
        root = root.subcommand(
            clap::Command::new(group.name)
                .about(group.about)
                .subcommands(below),
        );
    }
    root.subcommands(below(None))
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
