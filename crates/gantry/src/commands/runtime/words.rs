//! Reading the words of the runtime's command line, which are written as Go programs have them:
//! one dash or two, the value behind `=` or in the next word.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::failure::Failure;

/// One option.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    /// Its long name.
    pub(super) name: &'static str,
    /// Its letter.
    pub(super) letter: Option<char>,
    /// What its value is called; `None` for one that is set or not.
    pub(super) value: Option<&'static str>,
    /// What it does; empty for one that is taken and means nothing any more.
    pub(super) about: &'static str,
}

/// An option that is set or not.
pub(super) const fn switch(name: &'static str, letter: Option<char>, about: &'static str) -> Flag {
    Flag {
        name,
        letter,
        value: None,
        about,
    }
}

/// An option with a value.
pub(super) const fn value(
    name: &'static str,
    letter: Option<char>,
    value: &'static str,
    about: &'static str,
) -> Flag {
    Flag {
        name,
        letter,
        value: Some(value),
        about,
    }
}

/// The words that were read.
#[derive(Debug, Default)]
pub(super) struct Words {
    given: Vec<(&'static str, OsString)>,
    operands: Vec<OsString>,
}

/// Reads words. With `stop` everything from the first operand on is operands.
pub(super) fn read(flags: &[Flag], words: &[OsString], stop: bool) -> Result<Words, Failure> {
    let mut read = Words::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            read.operands.extend(rest.cloned());
            break;
        }
        if bytes.len() < 2 || bytes[0] != b'-' {
            read.operands.push(word.clone());
            if stop {
                read.operands.extend(rest.cloned());
                break;
            }
            continue;
        }
        let spelt = bytes.strip_prefix(b"--").unwrap_or(&bytes[1..]);
        let equals = spelt.iter().position(|byte| *byte == b'=');
        let name = String::from_utf8_lossy(&spelt[..equals.unwrap_or(spelt.len())]);
        let inline = equals.map(|at| OsString::from_vec(spelt[at + 1..].to_vec()));
        let flag = find(flags, &name)
            .ok_or_else(|| Failure::invalid(format!("unknown flag: {}", word.to_string_lossy())))?;
        let given = match (flag.value, inline) {
            (_, Some(inline)) => inline,
            (None, None) => OsString::from("true"),
            (Some(_), None) => rest.next().cloned().ok_or_else(|| {
                Failure::invalid(format!("flag needs an argument: --{}", flag.name))
            })?,
        };
        if flag.value.is_none() && truth(&given).is_none() {
            return Err(Failure::invalid(format!(
                "--{}: {given:?} is neither true nor false",
                flag.name
            )));
        }
        read.given.push((flag.name, given));
    }
    Ok(read)
}

fn find<'a>(flags: &'a [Flag], name: &str) -> Option<&'a Flag> {
    let letter = |flag: &&Flag| {
        let mut characters = name.chars();
        flag.letter.is_some() && flag.letter == characters.next() && characters.next().is_none()
    };
    flags
        .iter()
        .find(|flag| flag.name == name)
        .or_else(|| flags.iter().find(letter))
}

fn truth(word: &OsStr) -> Option<bool> {
    match word.to_str()? {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Some(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Words {
    fn given(&self, name: &str) -> impl Iterator<Item = &OsString> {
        let same = move |(own, _): &&(&'static str, OsString)| *own == name;
        self.given.iter().filter(same).map(|(_, value)| value)
    }

    /// Whether a switch is set.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.given(name)
            .last()
            .and_then(|value| truth(value))
            .unwrap_or(false)
    }

    /// The last value given, when it is text.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.given(name).last()?.to_str()
    }

    /// The last value given, as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.given(name).last()?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// Every value given.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        self.given(name)
            .map(|value| value.to_string_lossy().into_owned())
            .collect()
    }

    /// The last value given, as a number.
    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        let Some(value) = self.given(name).last() else {
            return Ok(None);
        };
        let parsed = value.to_str().and_then(|text| text.parse().ok());
        parsed.map(Some).ok_or_else(|| {
            let value = value.to_string_lossy();
            Failure::invalid(format!("--{name}: {value:?} is no such number"))
        })
    }

    /// How many operands there are.
    pub(super) fn count(&self) -> usize {
        self.operands.len()
    }

    /// An operand, when it is text.
    pub(super) fn positional(&self, index: usize) -> Option<&str> {
        self.operands.get(index)?.to_str()
    }

    /// The operands from an index on.
    pub(super) fn rest(&self, from: usize) -> &[OsString] {
        self.operands.get(from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        switch("all", Some('a'), "everything"),
        value("bundle", Some('b'), "PATH", "the bundle"),
    ];

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn go_spellings_are_read() {
        for text in ["--bundle x -a id", "-b=x --all id", "-bundle x -all=1 id"] {
            let read = read(FLAGS, &words(text), true).unwrap();
            assert_eq!(read.value("bundle"), Some("x"), "{text}");
            assert!(read.is_set("all"), "{text}");
            assert_eq!(read.positional(0), Some("id"), "{text}");
        }
        assert!(
            !read(FLAGS, &words("-a -a=false"), true)
                .unwrap()
                .is_set("all")
        );
    }

    #[test]
    fn a_command_behind_is_left_alone() {
        let text = words("-a id cmd -a --bundle");
        let stopped = read(FLAGS, &text, true).unwrap();
        assert_eq!(stopped.rest(1), words("cmd -a --bundle"));
        assert!(read(FLAGS, &text, false).is_err());
        let permuted = read(FLAGS, &words("id -a 9"), false).unwrap();
        assert!(permuted.is_set("all"));
        assert_eq!(permuted.count(), 2);
        let dashes = read(FLAGS, &words("id -- -a"), false).unwrap();
        assert_eq!((dashes.count(), dashes.is_set("all")), (2, false));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["--what", "--bundle", "--all=perhaps"] {
            assert!(read(FLAGS, &words(text), true).is_err(), "{text}");
        }
    }
}
