//! Builds on a busybox image. Needs root, and fails without.
//!
//! `RUN` steps re-execute this very program, so it has a `main` of its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program of tests"
)]

mod cache;
mod context;
mod copy;
mod environment;
mod run;

use std::process::ExitCode;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == gantry_build::run_step::ARGUMENT)
    {
        return gantry_build::run_step::main();
    }
    let tests: Vec<Test> = [copy::TESTS, run::TESTS, cache::TESTS, context::TESTS].concat();
    let wanted = |name: &str| {
        let filters: Vec<&String> = arguments
            .iter()
            .filter(|argument| !argument.starts_with('-'))
            .collect();
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in tests {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = Vec::new();
    for (name, test) in tests.iter().filter(|(name, _)| wanted(name)) {
        let result = std::panic::catch_unwind(test);
        println!(
            "test {name} ... {}",
            if result.is_ok() { "ok" } else { "FAILED" }
        );
        if result.is_err() {
            failed.push(name);
        }
    }
    println!("\ntest result: {} failed", failed.len());
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
