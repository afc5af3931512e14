//! Reads the words of one command by the rules of Go's `pflag`, which Docker uses: a boolean
//! takes its value after `=` only, a flag that wants a value takes the next word whatever it
//! looks like, the last of several wins; and tells what is wrong in its words.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches};

use super::builder;
use super::command::Command;
use super::usage::{Arity, UsageError};
use crate::flags::refused;

/// What the words of a command come to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Its flags and arguments.
    Matches(ArgMatches),
    /// Its help is wanted; whether by the old `-h`.
    Help {
        /// `-h` rather than `--help`.
        shorthand: bool,
    },
}

/// The clap command for `command`, its flags following pflag's rules.
pub(crate) fn prepare(command: &Command) -> clap::Command {
    let base = clap::Command::new("command")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true);
    let built = builder::augment(command, (command.augment)(base));
    let shorthand_free = !built.get_arguments().any(|a| a.get_short() == Some('h'));
    let mut built = built
        .mut_args(follow_pflag)
        .arg(switch("help").long("help"));
    if shorthand_free {
        built = built.arg(switch("help-shorthand").short('h'));
    }
    built
}

pub(crate) fn switch(id: &'static str) -> Arg {
    Arg::new(id).action(ArgAction::SetTrue).hide(true)
}

pub(crate) fn follow_pflag(arg: Arg) -> Arg {
    match arg.get_action() {
        ArgAction::SetTrue => boolean(arg, "false"),
        ArgAction::SetFalse => boolean(arg, "true"),
        _ if arg.is_positional() => arg,
        _ => arg.allow_hyphen_values(true),
    }
}

/// A boolean flag: `--flag`, `--flag=true`, `--flag=false`.
fn boolean(arg: Arg, default: &'static str) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value(default)
        .value_parser(truth)
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// Reads `words`, those behind the command itself.
pub(crate) fn parse(
    program: &str,
    command: &Command,
    spelling: &str,
    words: &[OsString],
) -> Result<Parsed, UsageError> {
    let mut clap = prepare(command);
    let matches = match clap.try_get_matches_from_mut(words) {
        Ok(matches) => matches,
        Err(error) => {
            let usage = command.usage_line(spelling);
            let frame = Frame {
                program,
                spelling,
                usage,
                arity: command.arity,
                words,
                clap: &clap,
            };
            return Err(frame.shape(&error));
        }
    };
    if matches.get_flag("help") {
        return Ok(Parsed::Help { shorthand: false });
    }
    if matches.try_get_one::<bool>("help-shorthand").ok().flatten() == Some(&true) {
        return Ok(Parsed::Help { shorthand: true });
    }
    let count = clap
        .get_positionals()
        .filter_map(|p| matches.get_raw(p.get_id().as_str()))
        .map(Iterator::count)
        .sum();
    match command
        .arity
        .complaint(&format!("{program} {spelling}"), count)
    {
        Some(message) => Err(too_many_or_few(command, spelling, message)),
        None => Ok(Parsed::Matches(matches)),
    }
}

fn too_many_or_few(command: &Command, spelling: &str, message: String) -> UsageError {
    UsageError::words(spelling, Some(command.usage_line(spelling)), message)
}

/// What an error is told against.
pub(crate) struct Frame<'a> {
    /// The program's name.
    pub(crate) program: &'a str,
    /// The command as spelt; empty for the flags before it.
    pub(crate) spelling: &'a str,
    /// Its usage line.
    pub(crate) usage: String,
    /// How many arguments it takes.
    pub(crate) arity: Arity,
    /// The words that were read.
    pub(crate) words: &'a [OsString],
    /// What they were read by.
    pub(crate) clap: &'a clap::Command,
}

impl Frame<'_> {
    /// An error of clap in Docker's words.
    pub(crate) fn shape(&self, error: &clap::Error) -> UsageError {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.as_str()),
            Some(ContextValue::Strings(all)) => all.first().map(String::as_str),
            _ => None,
        };
        let argument = text(ContextKind::InvalidArg).unwrap_or_default();
        match error.kind() {
            ErrorKind::UnknownArgument if argument.starts_with('-') => {
                self.unknown(argument, text(ContextKind::SuggestedArg))
            }
            ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
                let name = format!("{} {}", self.program, self.spelling);
                let message = self.arity.complaint(&name, usize::MAX);
                UsageError::words(
                    self.spelling,
                    Some(self.usage.clone()),
                    message.unwrap_or_else(|| format!("unexpected argument {argument:?}")),
                )
            }
            ErrorKind::ValueValidation => {
                let value = text(ContextKind::InvalidValue).unwrap_or_default();
                let why = std::error::Error::source(error).map(|e| format!(": {e}"));
                self.flag(format!(
                    "invalid argument {value:?} for {:?} flag{}",
                    flag_name(argument, self.clap),
                    why.unwrap_or_default()
                ))
            }
            ErrorKind::InvalidValue => self.flag(self.missing(argument)),
            ErrorKind::InvalidUtf8 => self.flag(
                "an argument is not valid UTF-8, which containers' settings have to be".to_owned(),
            ),
            _ => self.flag(first_line(&error.to_string())),
        }
    }

    fn flag(&self, message: String) -> UsageError {
        UsageError::flag(self.spelling, &self.usage, message)
    }

    fn unknown(&self, argument: &str, suggestion: Option<&str>) -> UsageError {
        if let Some(reason) = refused::reason(self.spelling, argument) {
            let mut refusal = self.flag(reason);
            refusal.prefixed = true;
            refusal.usage = None;
            return refusal;
        }
        let mut unknown = self.flag(unknown_flag(argument, self.words));
        unknown.suggestion = suggestion.map(|s| format!("'{s}'"));
        unknown
    }

    fn missing(&self, argument: &str) -> String {
        let name = flag_name(argument, self.clap);
        let last = self
            .words
            .last()
            .map(|w| w.to_string_lossy().into_owned())
            .unwrap_or_default();
        match name.split_once(", ") {
            Some((short, _)) if !last.starts_with("--") => {
                let short = short.trim_start_matches('-');
                format!(
                    "flag needs an argument: '{short}' in {}",
                    cluster(short, self.words)
                )
            }
            Some((_, long)) => format!("flag needs an argument: {long}"),
            None => format!("flag needs an argument: {name}"),
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

/// What is said of a flag that there is not.
pub(super) fn unknown_flag(argument: &str, words: &[OsString]) -> String {
    if let Some(long) = argument.strip_prefix("--") {
        return format!(
            "unknown flag: --{}",
            long.split('=').next().unwrap_or_default()
        );
    }
    let short = argument
        .trim_start_matches('-')
        .chars()
        .next()
        .unwrap_or('-')
        .to_string();
    format!(
        "unknown shorthand flag: '{short}' in {}",
        cluster(&short, words)
    )
}

/// The short flags that were still to be read when this one was, as pflag shows them.
fn cluster(short: &str, words: &[OsString]) -> String {
    words
        .iter()
        .map(|w| w.to_string_lossy().into_owned())
        .filter(|w| w.starts_with('-') && !w.starts_with("--"))
        .find_map(|w| w.find(short).map(|at| format!("-{}", &w[at..])))
        .unwrap_or_else(|| format!("-{short}"))
}

/// `-m, --memory` for what clap calls `--memory <bytes>`.
fn flag_name(argument: &str, clap: &clap::Command) -> String {
    let word = argument.split([' ', '=', '[']).next().unwrap_or(argument);
    let found = clap.get_arguments().find(|a| {
        a.get_long()
            .is_some_and(|l| word.strip_prefix("--") == Some(l))
            || a.get_short().is_some_and(|s| word == format!("-{s}"))
    });
    match found.map(|a| (a.get_short(), a.get_long())) {
        Some((Some(short), Some(long))) => format!("-{short}, --{long}"),
        Some((None, Some(long))) => format!("--{long}"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lookup::{Found, find};

    fn read(line: &str) -> Result<Parsed, UsageError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match find("gantry", &words)? {
            Found::Command(command, spelling, used) => {
                let rest: Vec<OsString> = words[used..].iter().map(OsString::from).collect();
                parse("gantry", command, spelling, &rest)
            }
            other => panic!("{other:?}"),
        }
    }

    fn error(line: &str) -> (String, u8) {
        match read(line) {
            Err(error) => (error.message, error.code),
            Ok(parsed) => panic!("{parsed:?}"),
        }
    }

    #[test]
    fn errors_are_in_dockers_words() {
        for (line, message, code) in [
            ("run --foo", "unknown flag: --foo", 125),
            ("ps -y", "unknown shorthand flag: 'y' in -y", 125),
            ("ps -ay", "unknown shorthand flag: 'y' in -y", 125),
            ("run -e", "flag needs an argument: 'e' in -e", 125),
            ("run --env", "flag needs an argument: --env", 125),
            ("run --name", "flag needs an argument: --name", 125),
            ("run", "'gantry run' requires at least 1 argument", 1),
            (
                "container run",
                "'gantry container run' requires at least 1 argument",
                1,
            ),
            ("ps extra", "'gantry ps' accepts no arguments", 1),
            ("tag a", "'gantry tag' requires 2 arguments", 1),
            (
                "run --rm=maybe busybox",
                "invalid argument \"maybe\" for \"--rm\" flag: must be true or false",
                125,
            ),
            (
                "run --cpu-shares x busybox",
                "invalid argument \"x\" for \"-c, --cpu-shares\" flag: invalid digit found in string",
                125,
            ),
            (
                "run --use-api-socket busybox",
                "flag --use-api-socket is not supported: there is no API socket, there is no daemon",
                125,
            ),
        ] {
            assert_eq!(error(line), (message.to_owned(), code), "{line}");
        }
    }

    #[test]
    fn what_stands_behind_the_image_is_the_containers() {
        for line in [
            "run -it --rm busybox ls -la --rm=x --foo",
            "run busybox --help",
            "exec -it web sh -c x",
        ] {
            assert!(matches!(read(line), Ok(Parsed::Matches(_))), "{line}");
        }
        let Ok(Parsed::Matches(matches)) = read("run --rm -- busybox -x -- y") else {
            panic!("parses")
        };
        let words: Vec<&String> = matches.get_many("operands").unwrap().collect();
        assert_eq!(words, ["busybox", "-x", "--", "y"]);
    }

    #[test]
    fn help_is_found() {
        assert!(matches!(
            read("run --help"),
            Ok(Parsed::Help { shorthand: false })
        ));
        assert!(matches!(
            read("ps -h"),
            Ok(Parsed::Help { shorthand: true })
        ));
        assert!(matches!(read("rm web -f"), Ok(Parsed::Matches(_))));
    }
}
