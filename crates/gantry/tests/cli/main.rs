//! The command line as its users meet it: the real binary on installations of its own.
//!
//! One folder, one binary; a module a subject. All of these need root.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod build;
mod hostile;
mod images;
mod interop;
mod kill;
mod lifecycle;
mod network;
mod programs;
mod run;
mod volumes;

use gantry_testkit::TestEnv;

/// The binary under test.
const GANTRY: &str = env!("CARGO_BIN_EXE_gantry");

/// An installation that has `busybox:latest`.
fn busybox() -> TestEnv {
    TestEnv::with_busybox(GANTRY)
}
