//! The developer's commands: `cargo xtask <command>`.
//!
//! `demo` and `test` are the two that a newcomer needs; `check` is what CI holds a change to.

mod bench;
mod cargo;
mod check;
mod conformance;
mod demo;
mod install;
mod layers;
mod licences;
mod packages;
mod rooms;
mod test;
mod vm;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  demo              build Gantry, then build an image, run it and fetch a page from it
  test [ARGS]       all tests, fetching what they need (ARGS go to cargo test)
  check             formatting, lints, layers, licences, tests: what CI holds a change to
  lints             check without the tests
  layers            check that every crate depends only on the levels below it, and that modules
                    need each other in no circle, where a crate is held to it
  licences          check the licences of all dependencies against deny.toml
  conformance record|compare|list GROUP[/CASE]|all PROGRAM [FLAGS...]
                    what another builder makes of the cases that Gantry's builds are held to
  storm [ROUNDS]    start, SIGKILL of a random process, clean up, 1000 times: nothing is left
  vm [BINARY]       the checks of a machine with cgroup v2 alone, under emulation
  vm systemd [TESTS...]
                    tests of the command line on a Debian with systemd and cgroup v2 alone,
                    and what systemd does for containers, under emulation
  bench [--binary PATH] [NAME...]
                    compare hot paths with the peers found on this machine
  build             the release binary, static; prints its path
  install [PREFIX]  the release binary, completions and man pages, below PREFIX (/usr/local)";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let asks = |word: &String| matches!(word.as_str(), "--help" | "-h");
    // What follows `test` is cargo's.
    let help = asks(&command) || command == "help" || command != "test" && rest.iter().any(asks);
    match (command.as_str(), rest.as_slice()) {
        _ if help => {
            say(USAGE);
            Ok(())
        }
        ("demo", []) => demo::run(),
        ("test", args) => test::run(args),
        ("check", []) => check::run(),
        ("lints", []) => check::lints(),
        ("layers", []) => layers::run(),
        ("licences", []) => licences::run(),
        ("bench", args) => bench::run(args),
        ("conformance", args) => conformance::run(args),
        ("storm", args) => test::storm(args),
        ("vm", args) => vm::run(args),
        ("build", []) => {
            let binary = cargo::release_binary()?;
            say(&binary.display().to_string());
            Ok(())
        }
        ("install", args) => install::run(args),
        ("", _) => bail!("which command?\n\n{USAGE}"),
        (_, rest) => bail!("no such command: {command} {}\n\n{USAGE}", rest.join(" ")),
    }
}

/// Prints a line for the developer.
#[expect(
    clippy::print_stdout,
    reason = "xtask is a developer's command, this is its one voice"
)]
fn say(line: &str) {
    println!("{line}");
}
