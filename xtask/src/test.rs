//! All tests, with what they need.

use anyhow::{Context, Result};

use crate::{cargo, packages};

pub(crate) fn run(args: &[String]) -> Result<()> {
    packages::ensure(&packages::FOR_TESTS)?;
    let mut command = cargo::cargo();
    command
        .args(["test", "--locked", "--workspace", "--no-fail-fast"])
        .args(args);
    // The tests wait for containers more than they work: two for each core keep it busy.
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        command.env("RUST_TEST_THREADS", (2 * cores).to_string());
    }
    cargo::run(&mut command)
}

/// Many rounds of what the suite does in a few: start, SIGKILL of a random process, clean up.
pub(crate) fn storm(args: &[String]) -> Result<()> {
    let rounds: u32 = match args.first() {
        Some(text) => text.parse().context("the rounds are a number")?,
        None => 1000,
    };
    packages::ensure(&packages::FOR_TESTS)?;
    let mut command = cargo::cargo();
    command.args(["test", "--locked", "--package", "gantry", "--test", "cli"]);
    command.args(["storm", "--", "--nocapture"]);
    cargo::run(command.env("GANTRY_TEST_ROUNDS", rounds.to_string()))
}
