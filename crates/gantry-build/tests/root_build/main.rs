//! Builds on a busybox image. Needs root, and fails without.
//!
//! `RUN` steps re-execute this very program, so it has a `main` of its own.

#![expect(clippy::unwrap_used, reason = "a program of tests")]

mod attacks;
mod cache;
mod collect;
mod context;
mod contexts;
mod copy;
mod environment;
mod explain;
mod layer;
mod patch;
mod remote;
mod run;
mod targets;
mod trust;

use std::process::ExitCode;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(gantry_build::run_step::ARGUMENT) {
        return gantry_build::run_step::main();
    }
    let tests = [
        copy::TESTS,
        layer::TESTS,
        patch::TESTS,
        run::TESTS,
        attacks::TESTS,
        cache::TESTS,
        context::TESTS,
        collect::TESTS,
        contexts::TESTS,
        explain::TESTS,
        remote::TESTS,
        trust::TESTS,
        targets::TESTS,
    ];
    gantry_testkit::runner::run(tests.concat())
}
