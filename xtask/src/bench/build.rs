//! Builds: nothing changed, and everything for the first time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::measure::{Side, Target, alone, compare, nothing};
use super::peer::Bench;

const FILES: usize = 10_000;
const FILE_SIZE: usize = 9_000;

/// Twelve steps over a context of 10,000 files (90 MB).
const DOCKERFILE: &str = "\
FROM busybox:latest
ENV STAGE=bench
WORKDIR /app
RUN true
COPY part0 part0
RUN true
COPY . all
RUN echo one > one
LABEL bench=yes
RUN echo two > two
COPY part1 part1
CMD [\"true\"]
";

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let context = bench.folder.path().join("context");
    make_context(&context)?;
    let build = |mut command: Command, cold: bool| {
        command.args(["build", "--quiet", "--network", "none", "--tag", "bench"]);
        if cold {
            command.arg("--no-cache");
        }
        command.arg(&context);
        command
    };
    for (title, cold, runs, target) in [
        ("build, nothing changed", false, 11, 1.0 / 8.0),
        ("build, no cache", true, 5, 1.0 / 4.0),
    ] {
        let ours = || build(bench.gantry(), cold);
        let gantry = Side {
            name: "gantry",
            command: &ours,
            before: &nothing,
        };
        if bench.docker().is_none() {
            alone(title, runs, &gantry)?;
            continue;
        }
        let theirs = || build(bench.docker().expect("docker was found"), cold);
        let docker = Side {
            name: "BuildKit",
            command: &theirs,
            before: &nothing,
        };
        compare(title, runs, &gantry, &docker, Some(Target(target)))?;
    }
    Ok(())
}

fn make_context(folder: &PathBuf) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("Dockerfile"), DOCKERFILE)?;
    let mut state = 1_u64;
    for number in 0..FILES {
        let place = folder.join(format!("part{}/dir{}", number % 4, number % 100));
        fs::create_dir_all(&place)?;
        fs::write(
            place.join(format!("file{number}")),
            noise(&mut state, FILE_SIZE),
        )?;
    }
    Ok(())
}

/// Bytes that look like data: half of them repeat.
pub(crate) fn noise(state: &mut u64, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 16);
    while out.len() < length {
        // xorshift64: any stream that compresses like ordinary files does.
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        out.extend_from_slice(&state.to_le_bytes());
        out.extend_from_slice(b"text that recurs");
    }
    out.truncate(length);
    out
}

/// Fills a folder with files of this size until it holds `total` bytes.
pub(crate) fn fill(folder: &Path, total: usize, size: usize, seed: u64) -> Result<()> {
    let mut state = seed;
    for number in 0..total / size {
        let place = folder.join(format!("dir{}", number % 200));
        fs::create_dir_all(&place)?;
        fs::write(place.join(format!("file{number}")), noise(&mut state, size))?;
    }
    Ok(())
}
