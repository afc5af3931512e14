//! What CI holds a change to.

use anyhow::Result;

use crate::{cargo, layers, licences, test};

pub(crate) fn run() -> Result<()> {
    lints()?;
    test::run(&[])
}

/// Everything but the tests: formatting, lints, layers, licences.
pub(crate) fn lints() -> Result<()> {
    cargo::run(cargo::cargo().args(["fmt", "--all", "--check"]))?;
    layers::run()?;
    licences::run()?;
    cargo::run(cargo::cargo().args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}
