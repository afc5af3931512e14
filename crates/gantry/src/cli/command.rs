//! What a command is made of.

use clap::{ArgMatches, FromArgMatches};

use super::usage::Arity;
use crate::context::Context;
use crate::exit::Codes;
use crate::failure::{Failure, Outcome};

/// One command with all its spellings.
#[derive(Debug)]
pub(crate) struct Command {
    /// Spellings without the program's name, the one under its noun first.
    pub(crate) spellings: &'static [&'static str],
    /// What stands behind the command in its usage line.
    pub(crate) usage: &'static str,
    /// What it does, in one sentence.
    pub(crate) about: &'static str,
    /// How many arguments it takes.
    pub(crate) arity: Arity,
    /// How its failures become exit codes.
    pub(crate) codes: Codes,
    /// Whether it is left out of help and completions.
    pub(crate) hidden: bool,
    /// Adds its flags and arguments.
    pub(crate) augment: fn(clap::Command) -> clap::Command,
    /// Does it.
    pub(crate) invoke: fn(&Context, &mut ArgMatches) -> Outcome,
}

impl Command {
    /// The usage line under this spelling, without the program's name.
    pub(crate) fn usage_line(&self, spelling: &str) -> String {
        format!("{spelling} {}", self.usage).trim_end().to_owned()
    }
}

/// A noun that commands are grouped under.
#[derive(Debug)]
pub(crate) struct Group {
    /// The noun.
    pub(crate) name: &'static str,
    /// What is done under it.
    pub(crate) about: &'static str,
    /// Whether it is left out of help.
    pub(crate) hidden: bool,
}

/// Takes a command's arguments out of what was parsed, and runs it with them.
pub(crate) fn invoke<A: FromArgMatches>(
    context: &Context,
    matches: &mut ArgMatches,
    run: fn(&Context, A) -> Outcome,
) -> Outcome {
    match A::from_arg_matches_mut(matches) {
        Ok(arguments) => run(context, arguments),
        Err(error) => Err(Failure::invalid(error.to_string())),
    }
}

/// Describes one command: spellings; usage; sentence; arity; codes; module of `XArgs`, `run`.
macro_rules! command {
    ($spellings:expr, $usage:literal, $about:literal, $arity:expr, $codes:ident, $noun:ident :: $verb:ident :: $args:ident) => {
        $crate::cli::command::Command {
            spellings: &$spellings,
            usage: $usage,
            about: $about,
            arity: $arity,
            codes: $crate::exit::Codes::$codes,
            hidden: false,
            augment: <$noun::$verb::$args as clap::Args>::augment_args,
            invoke: |context, matches| {
                $crate::cli::command::invoke::<$noun::$verb::$args>(
                    context,
                    matches,
                    $noun::$verb::run,
                )
            },
        }
    };
}
pub(crate) use command;
