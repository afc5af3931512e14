//! One command from its words to its exit code.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::command::Command;
use crate::cli::lookup::{Found, find};
use crate::cli::parse::Parsed;
use crate::cli::usage::UsageError;
use crate::cli::{builder, global, help, parse};
use crate::context::Context;
use crate::exit::{self, Codes};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::ui::Ui;
use crate::stream::terminal;

/// Runs the command that `words` spell.
pub(crate) fn main(program: &OsStr, words: &[OsString]) -> ExitCode {
    let mut ui = Ui::new(name(program));
    let mut codes = Codes::Plain;
    let code = match run(&mut ui, words, &mut codes) {
        Ok(Exit(code)) => code,
        Err(failure) => {
            ui.failure(&failure);
            exit::code(codes, &failure)
        }
    };
    ExitCode::from(code)
}

/// What the program is called in messages: as it was called, when that is a name people use.
fn name(program: &OsStr) -> &'static str {
    match Path::new(program).file_name() {
        Some(name) if name == "docker" => "docker",
        _ => "gantry",
    }
}

fn run(ui: &mut Ui, words: &[OsString], codes: &mut Codes) -> Outcome {
    let (global, wants_help) = global::parse(ui.program(), words)?;
    ui.set_debug(global.debug || global.log_level.as_deref() == Some("debug"));
    if global.version {
        ui.line(&format!(
            "Gantry version {}, build {}",
            crate::commands::system::version::VERSION,
            crate::commands::system::version::BUILD
        ))?;
        return Ok(Exit::SUCCESS);
    }
    let words = builder::flags_last(&global.words);
    let spelt: Vec<&str> = words.iter().map_while(|w| w.to_str()).take(3).collect();
    if let ["help", topic @ ..] = spelt.as_slice() {
        return show_help(ui, topic);
    }
    if wants_help {
        return show_help(ui, &[]);
    }
    match find(ui.program(), &spelt)? {
        Found::Command(command, spelling, used) => {
            *codes = command.codes;
            dispatch(ui, &global, command, spelling, &words[used..])
        }
        Found::Group(_) | Found::Root => show_help(ui, &spelt),
    }
}

fn dispatch(
    ui: &mut Ui,
    global: &global::GlobalArgs,
    command: &'static Command,
    spelling: &'static str,
    words: &[OsString],
) -> Outcome {
    match parse::parse(ui.program(), command, spelling, words)? {
        Parsed::Matches(mut matches) => {
            if builder::wants_debug(command, &matches)? {
                ui.set_debug(true);
            }
            let context = Context::new(ui.clone(), global);
            let outcome = (command.invoke)(&context, &mut matches);
            context.tell_damaged();
            outcome
        }
        Parsed::Help { shorthand } => {
            if shorthand {
                ui.status("Flag shorthand -h has been deprecated, use --help");
            }
            ui.data(&help::command(
                ui.program(),
                command,
                spelling,
                terminal::width(),
            ))?;
            Ok(Exit::SUCCESS)
        }
    }
}

fn show_help(ui: &Ui, topic: &[&str]) -> Outcome {
    let text = match find(ui.program(), topic) {
        Ok(Found::Command(command, spelling, _)) => {
            help::command(ui.program(), command, spelling, terminal::width())
        }
        Ok(Found::Group(group)) => help::group(ui.program(), group),
        Ok(Found::Root) => help::root(ui.program(), terminal::width()),
        Err(error) => return Err(error.into()),
    };
    ui.data(&text)?;
    Ok(Exit::SUCCESS)
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(Box::new(error))
    }
}
