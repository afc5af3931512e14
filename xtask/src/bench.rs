//! Comparisons of hot paths with the peers found on this machine: `cargo xtask bench`.
//!
//! Each comparison runs both sides in turn, A B A B …, and states the median of each and of the
//! ratio pair by pair, so that a machine whose speed drifts does not decide. Nothing here judges:
//! figures are read by people (docs/performance.md), never by a test.

mod build;
mod measure;
mod memory;
mod peer;
mod pull;
mod start;

use anyhow::{Result, bail};

use crate::{cargo, say};

/// A benchmark by its name on the command line.
type Bench = (&'static str, fn(&peer::Bench) -> Result<()>);

const ALL: [Bench; 5] = [
    ("start", start::run),
    ("exec", start::exec),
    ("build", build::run),
    ("pull", pull::run),
    ("memory", memory::run),
];

pub(crate) fn run(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|n| ALL.iter().all(|(name, _)| name != n)) {
        let known: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark {unknown:?}; there are {}", known.join(", "));
    }
    let bench = peer::Bench::new(cargo::release_binary()?)?;
    say(&bench.describe());
    let chosen = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    for (name, run) in ALL {
        if chosen(name) {
            run(&bench)?;
        }
    }
    bench.end()
}
