//! Many containers: started at the same moment, and running side by side.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gantry_testkit::leftover::Belongings;

use super::measure::{Target, median, milliseconds};
use super::memory::supervisor_pss;
use super::peer::Bench;
use crate::{cargo, say};

/// How many are started in parallel.
const AT_ONCE: usize = 100;
/// How many run in the end.
const RUNNING: usize = 500;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let start = Instant::now();
    let mut ids = started(|| bench.gantry())?;
    let mut line = format!(
        "{AT_ONCE} containers started in parallel: gantry {}",
        milliseconds(start.elapsed().as_secs_f64())
    );
    if bench.docker().is_some() {
        let docker = || bench.docker().expect("docker was found");
        let start = Instant::now();
        let theirs = started(docker)?;
        line += &format!(", docker {}", milliseconds(start.elapsed().as_secs_f64()));
        cargo::output(docker().args(["rm", "--force"]).args(&theirs))?;
    }
    say(&line);
    let start = Instant::now();
    while ids.len() < RUNNING {
        ids.extend(started(|| bench.gantry())?);
    }
    say(&format!(
        "{} more: {}",
        RUNNING - AT_ONCE,
        milliseconds(start.elapsed().as_secs_f64())
    ));
    side_by_side(bench, &ids)?;
    cleaned_up(bench, ids)
}

/// Starts containers at the same moment; gives their ids.
fn started(client: impl Fn() -> Command) -> Result<Vec<String>> {
    let children = (0..AT_ONCE)
        .map(|_| {
            client()
                .args(["run", "--detach", "busybox", "sleep", "10000"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("cannot start a client")
        })
        .collect::<Result<Vec<_>>>()?;
    let mut ids = Vec::with_capacity(AT_ONCE);
    for child in children {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        ids.push(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Ok(ids)
}

fn side_by_side(bench: &Bench, ids: &[String]) -> Result<()> {
    let mut sizes = Vec::with_capacity(ids.len());
    for id in ids {
        sizes.push(f64::from(supervisor_pss(bench, id)?));
    }
    let size = median(sizes);
    say(&format!(
        "supervisor among {RUNNING}: {size:.0} kB{}",
        Target(1024.0).of(size, "kB")
    ));
    let mut times = Vec::new();
    for _ in 0..11 {
        let start = Instant::now();
        let listed = cargo::output(bench.gantry().args(["ps", "--quiet"]))?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        if listed.lines().count() != ids.len() {
            bail!("ps lists {} of {}", listed.lines().count(), ids.len());
        }
    }
    let time = median(times);
    say(&format!(
        "ps of {RUNNING}: {time:.1} ms{}",
        Target(20.0).of(time, "ms")
    ));
    Ok(())
}

fn cleaned_up(bench: &Bench, ids: Vec<String>) -> Result<()> {
    let folder = bench.folder.path().join("gantry");
    let mut belongings = Belongings::of(&folder, &bench.run_root());
    belongings.containers.extend(ids.iter().cloned());
    let start = Instant::now();
    cargo::output(bench.gantry().args(["rm", "--force"]).args(&ids))?;
    say(&format!(
        "rm --force of {RUNNING}: {}",
        milliseconds(start.elapsed().as_secs_f64())
    ));
    let left = belongings.settle(Duration::from_secs(30));
    if !left.is_empty() {
        bail!("left behind:\n{}", left.join("\n"));
    }
    say("nothing is left of them");
    Ok(())
}
