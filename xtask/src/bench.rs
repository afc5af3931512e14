//! Comparisons of hot paths with the peers found on this machine: `cargo xtask bench`.
//!
//! Each comparison runs both sides in turn, A B A B …, and states the median of each and of the
//! ratio pair by pair, so that a machine whose speed drifts does not decide. Each line ends with
//! the target and whether it is met; no figure makes a run fail, for machines differ
//! (docs/performance.md).

mod build;
mod logs;
mod many;
mod measure;
mod memory;
mod peer;
mod pull;
mod push;
mod registry;
mod start;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, say};

/// A benchmark by its name on the command line.
type Bench = (&'static str, fn(&peer::Bench) -> Result<()>);

const ALL: [Bench; 9] = [
    ("start", start::run),
    ("exec", start::exec),
    ("runtime", start::runtime),
    ("build", build::run),
    ("pull", pull::run),
    ("push", push::run),
    ("memory", memory::run),
    ("many", many::run),
    ("logs", logs::run),
];

/// `args` are names of benchmarks, none for all; `--binary PATH` in front of them measures that
/// one instead of building one.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (binary, names) = match args {
        [flag, path, names @ ..] if flag == "--binary" => (Some(path.into()), names),
        names => (None, names),
    };
    if let Some(unknown) = names.iter().find(|n| ALL.iter().all(|(name, _)| name != n)) {
        let known: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark {unknown:?}; there are {}", known.join(", "));
    }
    let binary = binary.map_or_else(cargo::release_binary, Ok)?;
    if shows_both_versions() {
        return beside_version_1_alone(&binary, names);
    }
    let bench = peer::Bench::new(binary)?;
    say(&bench.describe());
    let chosen = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let outcome = ALL
        .into_iter()
        .filter(|(name, _)| chosen(name))
        .try_for_each(|(name, run)| run(&bench).context(name));
    // The peers end whatever became of the measurements.
    outcome.and(bench.end())
}

/// Where machines with both versions of control groups have the second.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Whether the second version of control groups has controllers beside the first's: crun refuses
/// such machines.
fn shows_both_versions() -> bool {
    std::fs::read_to_string(Path::new(UNIFIED).join("cgroup.controllers"))
        .is_ok_and(|controllers| !controllers.trim().is_empty())
}

/// The same benchmarks in a mount namespace where both sides see the first version alone.
fn beside_version_1_alone(binary: &Path, names: &[String]) -> Result<()> {
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            r#"umount "$0" && exec "$@""#,
            UNIFIED,
        ])
        .arg(std::env::current_exe()?)
        .args(["bench", "--binary"])
        .arg(binary);
    cargo::run(command.args(names))
}
