//! From the first words of a command line to the command.

use super::command::{Command, Group};
use super::table::{COMMANDS, GROUPS};
use super::usage::{UsageError, suggest};
use super::{builder, parse};
use crate::flags::refused;

/// What the first words name.
#[derive(Debug)]
pub(crate) enum Found {
    /// A command, the spelling used, and how many words that took.
    Command(&'static Command, &'static str, usize),
    /// A noun alone.
    Group(&'static Group),
    /// Nothing at all.
    Root,
}

/// Finds what `words` name; they may go on behind the command.
pub(crate) fn find(program: &str, words: &[&str]) -> Result<Found, UsageError> {
    let Some(first) = words.first() else {
        return Ok(Found::Root);
    };
    // `build lint` is a command of its own, though `build` is one too.
    let both = words
        .get(1)
        .and_then(|second| exact(&format!("{first} {second}")));
    if let Some((command, spelling)) = both {
        return Ok(Found::Command(command, spelling, 2));
    }
    if let Some(found) = exact(first) {
        return Ok(Found::Command(found.0, found.1, 1));
    }
    let Some(mut group) = named(first) else {
        return Err(unknown_top(program, first));
    };
    for (used, word) in words.iter().enumerate().skip(1) {
        if word.starts_with('-') {
            let is_known = matches!(*word, "-h" | "--help")
                || (first.starts_with("build") && builder::is_flag(word));
            match is_known {
                true => break,
                false => return Err(strange_flag(group, word)),
            }
        }
        let spelt = format!("{} {word}", group.name);
        // To docker these two are one.
        let known = |spelt: &str| exact(spelt).is_some() || named(spelt).is_some();
        let spelt = match spelt.strip_prefix("builder ") {
            Some(rest) if !known(&spelt) && known(&format!("buildx {rest}")) => {
                format!("buildx {rest}")
            }
            _ => spelt,
        };
        if let Some((command, spelling)) = exact(&spelt) {
            return Ok(Found::Command(command, spelling, used + 1));
        }
        match named(&spelt) {
            Some(below) => group = below,
            None => return Err(unknown_below(program, group, word)),
        }
    }
    Ok(Found::Group(group))
}

/// Whether nouns, apart by blanks, are one of those that commands are grouped under.
pub(crate) fn is_group(name: &str) -> bool {
    named(name).is_some()
}

fn named(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

/// The nouns below a noun, or the first ones, each with its last word.
pub(crate) fn groups(above: Option<&str>) -> impl Iterator<Item = (&'static Group, &'static str)> {
    let prefix = above.map(|name| format!("{name} ")).unwrap_or_default();
    GROUPS.iter().filter_map(move |group| {
        let last = group.name.strip_prefix(prefix.as_str())?;
        (!last.contains(' ')).then_some((group, last))
    })
}

fn exact(spelling: &str) -> Option<(&'static Command, &'static str)> {
    COMMANDS.iter().find_map(|command| {
        command
            .spellings
            .iter()
            .find(|s| **s == spelling)
            .map(|s| (command, *s))
    })
}

/// Every command and spelling whose words are `group` and one more; for the root, one word.
pub(crate) fn children(
    group: Option<&str>,
) -> impl Iterator<Item = (&'static Command, &'static str)> {
    let prefix = group.map(|g| format!("{g} ")).unwrap_or_default();
    COMMANDS
        .iter()
        .filter(|c| !c.hidden)
        .filter_map(move |command| {
            // A noun lists a command once, under its first name (`ls`, not `list`).
            let spelling = command.spellings.iter().find(|s| {
                s.strip_prefix(prefix.as_str())
                    .is_some_and(|rest| !rest.contains(' '))
            })?;
            Some((command, &spelling[prefix.len()..]))
        })
}

fn unknown_top(program: &str, word: &str) -> UsageError {
    if let Some(why) = refused::command(&[word]) {
        return UsageError::words("", None, format!("command {word} is not supported: {why}"));
    }
    let nouns = groups(None).filter(|(g, _)| !g.hidden).map(|(g, _)| g.name);
    let verbs = children(None).map(|(_, name)| name);
    let mut error = UsageError::words("", None, format!("unknown command: {program} {word}"));
    error.suggestion = suggest(word, verbs.chain(nouns)).map(|s| format!("'{s}'"));
    error
}

/// A flag between a noun and its verb that is none of the noun's.
fn strange_flag(group: &'static Group, word: &str) -> UsageError {
    let message = parse::unknown_flag(word, &[word.into()]);
    UsageError::flag(group.name, &format!("{} COMMAND", group.name), message)
}

fn unknown_below(program: &str, group: &'static Group, word: &str) -> UsageError {
    if let Some(why) = refused::command(&[group.name, word]) {
        let message = format!("command {} {word} is not supported: {why}", group.name);
        return UsageError::words(group.name, None, message);
    }
    let usage = Some(format!("{} COMMAND", group.name));
    let message = format!("unknown command: {program} {} {word}", group.name);
    let mut error = UsageError::words(group.name, usage, message);
    error.suggestion = suggest(word, children(Some(group.name)).map(|(_, name)| name))
        .map(|s| format!("'{} {s}'", group.name));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelling(words: &[&str]) -> Option<(&'static str, usize)> {
        match find("gantry", words) {
            Ok(Found::Command(_, spelling, used)) => Some((spelling, used)),
            _ => None,
        }
    }

    #[test]
    fn both_forms_are_found() {
        assert_eq!(spelling(&["run", "busybox"]), Some(("run", 1)));
        assert_eq!(
            spelling(&["container", "run", "x"]),
            Some(("container run", 2))
        );
        assert_eq!(spelling(&["images"]), Some(("images", 1)));
        assert_eq!(spelling(&["image", "ls"]), Some(("image ls", 2)));
        assert_eq!(
            spelling(&["buildx", "build", "."]),
            Some(("buildx build", 2))
        );
        assert_eq!(
            spelling(&["system", "binfmt", "ls", "-x"]),
            Some(("system binfmt ls", 3))
        );
        assert_eq!(spelling(&["buildx", "b", "."]), Some(("buildx b", 2)));
        assert_eq!(spelling(&["builder", "ls"]), Some(("buildx ls", 2)));
        assert_eq!(spelling(&["builder", "du"]), Some(("builder du", 2)));
        assert_eq!(
            spelling(&["builder", "imagetools", "inspect", "x"]),
            Some(("buildx imagetools inspect", 3))
        );
        assert!(find("gantry", &["system", "binfmt", "nope"]).is_err());
        assert!(matches!(
            find("gantry", &["container"]),
            Ok(Found::Group(_))
        ));
        assert!(matches!(
            find("gantry", &["container", "--help"]),
            Ok(Found::Group(_))
        ));
        assert!(matches!(
            find("gantry", &["buildx", "-D"]),
            Ok(Found::Group(_))
        ));
        for words in [
            ["container", "--nonsense"],
            ["buildx", "-x"],
            ["image", "-D"],
        ] {
            let error = find("gantry", &words).unwrap_err();
            assert!(
                error.message.starts_with("unknown ") && error.code == 125,
                "{error:?}"
            );
        }
        assert!(matches!(find("gantry", &[]), Ok(Found::Root)));
    }

    #[test]
    fn unknown_commands_get_a_suggestion() {
        let error = find("gantry", &["rnu"]).unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("'run'"));
        assert_eq!(error.code, 1);
        let error = find("gantry", &["container", "strat"]).unwrap_err();
        assert_eq!(error.message, "unknown command: gantry container strat");
        assert_eq!(error.suggestion.as_deref(), Some("'container start'"));
    }

    #[test]
    fn no_two_commands_share_a_spelling() {
        let mut all: Vec<&str> = COMMANDS
            .iter()
            .flat_map(|c| c.spellings.iter().copied())
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        for spelling in all {
            if let Some((group, _)) = spelling.split_once(' ') {
                let is_noun = GROUPS.iter().any(|g| g.name == group);
                assert!(is_noun || exact(group).is_some(), "{spelling}");
            }
        }
    }
}
