//! All tests, with what they need.

use anyhow::Result;

use crate::{cargo, packages};

pub(crate) fn run(args: &[String]) -> Result<()> {
    packages::ensure(&packages::FOR_TESTS)?;
    let mut command = cargo::cargo();
    command.args(["test", "--locked", "--workspace"]).args(args);
    // A test that needs root and has none fails instead of skipping.
    command.env("GANTRY_TEST_PRIVILEGED", "1");
    cargo::run(&mut command)
}
