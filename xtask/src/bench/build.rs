//! Builds: nothing changed, one file changed, and everything for the first time; what a copy
//! costs beside `cp`, steps at once, and memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::measure::{Side, Target, alone, compare, nothing};
use super::peer::Bench;
use crate::say;

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
        ("build, nothing changed", false, 11, 1.0 / 10.0),
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
    changed(bench, &context)?;
    copied(bench, &context)?;
    at_once(bench)?;
    held(bench, &context)
}

/// A build command of a folder, without a network.
fn build_of(mut command: Command, folder: &Path, flags: &[&str]) -> Command {
    command.args(["build", "--quiet", "--network", "none"]);
    command.args(flags).arg(folder);
    command
}

/// One file of all is another one at each build.
fn changed(bench: &Bench, context: &Path) -> Result<()> {
    let number = std::cell::Cell::new(0);
    let file = context.join("part3/dir3/file3");
    let before = || {
        number.set(number.get() + 1);
        Ok(fs::write(&file, format!("content {}", number.get()))?)
    };
    let ours = || build_of(bench.gantry(), context, &[]);
    let gantry = Side {
        name: "gantry",
        command: &ours,
        before: &before,
    };
    let title = "build, one file of 10,000 changed";
    if bench.docker().is_none() {
        return alone(title, 5, &gantry);
    }
    let theirs = || build_of(bench.docker().expect("docker was found"), context, &[]);
    let docker = Side {
        name: "BuildKit",
        command: &theirs,
        before: &before,
    };
    compare(title, 5, &gantry, &docker, Some(Target(1.0 / 10.0)))
}

/// Nothing but a copy of all files, against `cp -a`.
fn copied(bench: &Bench, context: &Path) -> Result<()> {
    let dockerfile = bench.folder.path().join("Dockerfile.copy");
    fs::write(&dockerfile, "FROM scratch\nCOPY . /\n")?;
    let ours = || {
        let mut command = build_of(bench.gantry(), context, &["--no-cache"]);
        command.arg("--file").arg(&dockerfile);
        command
    };
    let gantry = Side {
        name: "gantry",
        command: &ours,
        before: &nothing,
    };
    let copy = bench.folder.path().join("copy");
    let theirs = || {
        let mut command = Command::new("cp");
        command.arg("-a").arg(context).arg(&copy);
        command
    };
    let remove = || match fs::remove_dir_all(&copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    };
    let cp = Side {
        name: "cp -a",
        command: &theirs,
        before: &remove,
    };
    compare(
        "COPY of 10,000 files (90 MB)",
        5,
        &gantry,
        &cp,
        Some(Target(2.0)),
    )
}

/// Two steps of two seconds that do not need each other.
fn at_once(bench: &Bench) -> Result<()> {
    let folder = bench.folder.path().join("at-once");
    fs::create_dir_all(&folder)?;
    let text = "FROM busybox:latest AS one\nRUN sleep 2\nFROM busybox:latest\nRUN sleep 2 && :\n\
                COPY --from=one /bin/true /true\n";
    fs::write(folder.join("Dockerfile"), text)?;
    let ours = || build_of(bench.gantry(), &folder, &["--no-cache"]);
    let gantry = Side {
        name: "gantry",
        command: &ours,
        before: &nothing,
    };
    alone("two independent RUNs of 2 s", 3, &gantry)
}

/// The memory of the command, with a hundredth of the context and with all of it.
fn held(bench: &Bench, context: &Path) -> Result<()> {
    let dockerfile = bench.folder.path().join("Dockerfile.copy");
    for (part, title) in [("part0/dir0", "100 files"), ("", "10,000 files")] {
        let folder = context.join(part);
        let mut command = build_of(bench.gantry(), &folder, &["--no-cache"]);
        command.arg("--file").arg(&dockerfile);
        command.stdout(std::process::Stdio::null());
        let peak = peak_memory(command)?;
        say(&format!(
            "memory of a build of {title}: {} kB at most",
            peak >> 10
        ));
    }
    Ok(())
}

/// The most that a command holds of memory at any time, in bytes, looked at while it runs.
fn peak_memory(mut command: Command) -> Result<u64> {
    let mut child = command.spawn()?;
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(number.unwrap_or(0) << 10);
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(peak)
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

/// Random numbers of eight bytes, a text that recurs after each, so that bytes look like data:
/// two thirds of them repeat.
fn noise(state: &mut u64, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 24);
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
        let content = noise(&mut state, size);
        fs::write(place.join(format!("file{number}")), content)?;
    }
    Ok(())
}
