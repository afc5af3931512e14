//! The flags that every command of the builder has, before the verb and behind it, as with buildx.

use std::ffi::{OsStr, OsString};

use clap::ArgMatches;

use super::command::Command;
use super::lookup;
use crate::failure::{CommandError, Failure};

/// The one builder there is.
const NAME: &str = "default";

/// The flags, as they are written.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BuilderFlags {
    /// The builder; there is one, "default"
    #[arg(long, hide = true)]
    builder: Option<String>,
    /// Say more about warnings and failures
    #[arg(short = 'D', long)]
    debug: bool,
}

/// Adds the flags to a command of the builder.
pub(super) fn augment(command: &Command, clap: clap::Command) -> clap::Command {
    match is_of_builder(command) {
        true => <BuilderFlags as clap::Args>::augment_args(clap),
        false => clap,
    }
}

/// Whether more is to be said; fails where another builder is asked for.
pub(crate) fn wants_debug(command: &Command, matches: &ArgMatches) -> Result<bool, Failure> {
    if !is_of_builder(command) {
        return Ok(false);
    }
    if let Some(name) = matches.get_one::<String>("builder") {
        check(name)?;
    }
    Ok(matches.get_flag("debug"))
}

/// Refuses all builders but the one there is.
pub(crate) fn check(name: &str) -> Result<(), Failure> {
    match name {
        "" | NAME => Ok(()),
        other => Err(CommandError::NotFound(format!(
            "no builder {other:?} found: there is one, {NAME}, it is built in"
        ))
        .into()),
    }
}

fn is_of_builder(command: &Command) -> bool {
    command
        .spellings
        .iter()
        .any(|spelling| spelling.starts_with("builder ") || spelling.starts_with("buildx "))
}

/// The words with the flags that stand before the verb behind it.
pub(crate) fn flags_last(words: &[OsString]) -> Vec<OsString> {
    let is_noun = words
        .first()
        .is_some_and(|word| word == "builder" || word == "buildx");
    if !is_noun {
        return words.to_vec();
    }
    let (mut spelt, mut flags) = (vec![words[0].clone()], Vec::new());
    let mut rest = words[1..].iter();
    while let Some(word) = rest.next() {
        match kind(word) {
            Kind::Flag => flags.push(word.clone()),
            Kind::FlagBeforeValue => {
                flags.push(word.clone());
                flags.extend(rest.next().cloned());
            }
            Kind::Word => {
                spelt.push(word.clone());
                let is_noun = spelt
                    .iter()
                    .map(|word| word.to_string_lossy())
                    .collect::<Vec<_>>();
                if !lookup::is_group(&is_noun.join(" ")) {
                    break;
                }
            }
        }
    }
    [spelt, flags, rest.cloned().collect()].concat()
}

/// Whether a word is one of the flags.
pub(super) fn is_flag(word: &str) -> bool {
    !matches!(kind(OsStr::new(word)), Kind::Word)
}

/// What a word before the verb is.
enum Kind {
    Flag,
    FlagBeforeValue,
    Word,
}

fn kind(word: &OsStr) -> Kind {
    match word.to_str().unwrap_or_default() {
        "-D" | "--debug" => Kind::Flag,
        "--builder" => Kind::FlagBeforeValue,
        text if text.starts_with("--debug=") || text.starts_with("--builder=") => Kind::Flag,
        _ => Kind::Word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_behind_the_verb() {
        for (words, want) in [
            ("buildx --builder x build .", "buildx build --builder x ."),
            (
                "buildx -D --builder=x imagetools --debug=1 inspect y",
                "buildx imagetools inspect -D --builder=x --debug=1 y",
            ),
            ("builder build -D .", "builder build -D ."),
            ("buildx --debug", "buildx --debug"),
            ("buildx --builder", "buildx --builder"),
            ("buildx --help", "buildx --help"),
            ("build --builder x build .", "build --builder x build ."),
            ("run --debug x", "run --debug x"),
            ("", ""),
        ] {
            let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
            let got: Vec<String> = flags_last(&words)
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            assert_eq!(got.join(" "), want);
        }
    }

    #[test]
    fn there_is_one_builder() {
        assert!(check("").is_ok() && check("default").is_ok());
        assert!(check("other").unwrap_err().message().contains("\"other\""));
    }
}
