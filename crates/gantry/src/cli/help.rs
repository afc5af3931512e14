//! Help texts in Docker's layout.

use clap::{Arg, ArgAction};

use super::command::{Command, Group};
use super::global;
use super::lookup::{children, groups};
use super::parse::prepare;
use super::table::COMMON;

/// The help of one command.
pub(crate) fn command(program: &str, command: &Command, spelling: &str, width: usize) -> String {
    let mut text = format!(
        "Usage:  {program} {}\n\n{}\n",
        command.usage_line(spelling),
        command.about
    );
    if command.spellings.len() > 1 {
        let all: Vec<String> = command
            .spellings
            .iter()
            .map(|s| format!("{program} {s}"))
            .collect();
        text.push_str(&format!("\nAliases:\n  {}\n", all.join(", ")));
    }
    let below: Vec<(&str, &str)> = children(Some(spelling))
        .map(|(c, n)| (n, c.about))
        .collect();
    if !below.is_empty() {
        text.push_str(&format!("\nCommands:\n{}", listed(&below)));
    }
    let options = options(&prepare(command), width);
    if !options.is_empty() {
        text.push_str(&format!("\nOptions:\n{options}"));
    }
    text
}

/// The help of a noun.
pub(crate) fn group(program: &str, group: &Group) -> String {
    let name = group.name;
    let mut text = format!(
        "Usage:  {program} {name} COMMAND\n\n{}\n\nCommands:\n",
        group.about
    );
    let mut verbs: Vec<(&str, &str)> = children(Some(name)).map(|(c, n)| (n, c.about)).collect();
    verbs.extend(groups(Some(name)).map(|(below, last)| (last, below.about)));
    verbs.sort_unstable();
    text.push_str(&listed(&verbs));
    text.push_str(&format!(
        "\nRun '{program} {name} COMMAND --help' for more information on a command.\n"
    ));
    text
}

/// The help of the program.
pub(crate) fn root(program: &str, width: usize) -> String {
    let mut text = format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nContainers, from Dockerfile to running service, without a daemon\n"
    );
    let all: Vec<(&str, &str)> = children(None).map(|(c, n)| (n, c.about)).collect();
    let common: Vec<(&str, &str)> = COMMON
        .iter()
        .filter_map(|name| all.iter().find(|(n, _)| n == name).copied())
        .collect();
    text.push_str(&format!("\nCommon Commands:\n{}", listed(&common)));
    let mut nouns: Vec<(&str, &str)> = groups(None)
        .filter(|(g, _)| !g.hidden)
        .map(|(g, _)| (g.name, g.about))
        .collect();
    nouns.sort_unstable();
    text.push_str(&format!("\nManagement Commands:\n{}", listed(&nouns)));
    let mut rest: Vec<(&str, &str)> = all
        .iter()
        .filter(|(n, _)| !COMMON.contains(n))
        .copied()
        .collect();
    rest.sort_unstable();
    text.push_str(&format!("\nCommands:\n{}", listed(&rest)));
    text.push_str(&format!(
        "\nGlobal Options:\n{}",
        options(&global::command(), width)
    ));
    text.push_str(&format!(
        "\nRun '{program} COMMAND --help' for more information on a command.\n"
    ));
    text
}

fn listed(entries: &[(&str, &str)]) -> String {
    let width = entries
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0)
        .max(11);
    entries
        .iter()
        .map(|(name, about)| format!("  {name:width$} {about}\n"))
        .collect()
}

/// The flags of a command, one a line, sorted by name.
fn options(clap: &clap::Command, width: usize) -> String {
    let mut flags: Vec<&Arg> = clap
        .get_arguments()
        .filter(|a| !a.is_positional() && !a.is_hide_set())
        .collect();
    flags.sort_by_key(|a| a.get_long().unwrap_or_default());
    let left: Vec<String> = flags.iter().map(|a| left_side(a)).collect();
    let indent = left.iter().map(String::len).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (flag, left) in flags.iter().zip(&left) {
        let about = flag.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("{left:indent$}{}\n", wrap(&about, indent, width)));
    }
    text
}

fn left_side(flag: &Arg) -> String {
    let long = flag.get_long().unwrap_or_default();
    let mut text = match flag.get_short() {
        Some(short) => format!("  -{short}, --{long}"),
        None => format!("      --{long}"),
    };
    if let Some(kind) = value_kind(flag) {
        text.push(' ');
        text.push_str(kind);
    }
    text
}

/// What kind of value a flag takes, in Docker's words; none for a boolean.
fn value_kind(flag: &Arg) -> Option<&str> {
    if flag.get_num_args().is_some_and(|n| n.min_values() == 0) || !flag.get_action().takes_values()
    {
        return None;
    }
    let named = flag
        .get_value_names()
        .and_then(<[_]>::first)
        .map(|n| n.as_str());
    // The derive names a value after its field, in capitals.
    match named.filter(|name| name.chars().any(char::is_lowercase)) {
        Some(name) => Some(name),
        None if matches!(flag.get_action(), ArgAction::Append) => Some("list"),
        None => Some("string"),
    }
}

/// Breaks `text` at spaces so that it fits behind `indent` columns; a few characters more are
/// allowed where that avoids a lonely word.
fn wrap(text: &str, indent: usize, width: usize) -> String {
    const SLOP: usize = 5;
    let room = width.saturating_sub(indent).saturating_sub(SLOP);
    if room < 24 {
        return text.to_owned();
    }
    let margin = format!("\n{}", " ".repeat(indent));
    let mut out = String::new();
    let mut rest = text;
    while rest.chars().count() > room + SLOP {
        let limit = rest
            .char_indices()
            .nth(room)
            .map_or(rest.len(), |(at, _)| at);
        let Some(at) = rest[..limit].rfind(' ').filter(|at| *at > 0) else {
            break;
        };
        out.push_str(&rest[..at]);
        out.push_str(&margin);
        rest = &rest[at + 1..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lookup::{Found, find};

    fn help(words: &[&str]) -> String {
        match find("gantry", words) {
            Ok(Found::Command(found, spelling, _)) => command("gantry", found, spelling, 80),
            Ok(Found::Group(found)) => group("gantry", found),
            Ok(Found::Root) => root("gantry", 80),
            Err(error) => error.message,
        }
    }

    #[test]
    fn the_main_helps_read_well() {
        for words in [
            &[][..],
            &["run"],
            &["build"],
            &["ps"],
            &["images"],
            &["exec"],
            &["logs"],
            &["inspect"],
            &["container"],
            &["image"],
            &["volume"],
            &["system"],
            &["pull"],
        ] {
            let name = if words.is_empty() {
                "root".to_owned()
            } else {
                words.join("_")
            };
            insta::assert_snapshot!(format!("help_{name}"), help(words));
        }
    }

    #[test]
    fn every_command_has_a_help() {
        for found in crate::cli::table::COMMANDS {
            for spelling in found.spellings {
                assert!(command("gantry", found, spelling, 80).starts_with("Usage:  gantry "));
                assert!(!found.about.ends_with('.'), "{spelling}");
            }
            prepare(found).debug_assert();
        }
    }
}
