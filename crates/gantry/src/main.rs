//! The `gantry` binary: parses what a person wrote, calls the engine or the builder, and shows
//! what came of it. It knows nothing of how things are done.

mod app;
mod cli;
mod commands;
mod context;
mod docker_config;
mod exit;
mod failure;
mod flags;
mod output;
mod stream;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    // Gantry starts itself for what has to live longer than a command, or has to be alone in its
    // process; those never see the command line.
    match words.first().and_then(|word| word.to_str()) {
        Some(gantry_supervisor::ARGUMENT) => gantry_supervisor::main(),
        Some(gantry_build::run_step::ARGUMENT) => gantry_build::run_step::main(),
        Some("runtime") => commands::runtime::main(&words[1..]),
        _ if Path::new(&program).file_name() == Some(commands::runtime::NAME.as_ref()) => {
            commands::runtime::main(&words)
        }
        _ => app::main(&program, &words),
    }
}
