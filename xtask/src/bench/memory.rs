//! What a running container costs beyond its own processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::measure::Target;
use super::peer::Bench;
use crate::{cargo, say};

const CONTAINERS: usize = 10;
/// When nothing happens to it, a supervisor gives back what it can a second later.
const IDLE: Duration = Duration::from_secs(3);

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let mut ids = Vec::new();
    for _ in 0..CONTAINERS {
        let id = cargo::output(
            bench
                .gantry()
                .args(["run", "--detach", "busybox", "sleep", "1000"]),
        )?;
        ids.push(id.trim().to_owned());
    }
    std::thread::sleep(IDLE);
    let mut sizes = Vec::new();
    for id in &ids {
        sizes.push(supervisor_pss(bench, id)?);
    }
    sizes.sort_unstable();
    say(&format!(
        "supervisor: {} kB proportional set size (median of {CONTAINERS} that run at once)",
        sizes[sizes.len() / 2]
    ));
    for id in &ids[1..] {
        cargo::output(bench.gantry().args(["rm", "--force", id]))?;
    }
    std::thread::sleep(IDLE);
    let alone = supervisor_pss(bench, &ids[0])?;
    let target = Target(1024.0).of(f64::from(alone), "kB");
    say(&format!("supervisor: {alone} kB, one alone{target}"));
    cargo::output(bench.gantry().args(["rm", "--force", &ids[0]]))?;
    Ok(())
}

/// Proportional set size of a container's supervisor, in kB.
pub(crate) fn supervisor_pss(bench: &Bench, id: &str) -> Result<u32> {
    let path = bench
        .folder
        .path()
        .join(format!("gantry/root/containers/{id}/state.json"));
    let state: serde_json::Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let pid = state["supervisor_pid"]
        .as_u64()
        .context("no supervisor in state.json")?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    rollup
        .lines()
        .find_map(|line| {
            line.strip_prefix("Pss:")?
                .trim()
                .strip_suffix(" kB")?
                .trim()
                .parse()
                .ok()
        })
        .context("smaps_rollup has no Pss")
}
