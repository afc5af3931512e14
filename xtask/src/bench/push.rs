//! Pushing an image of four layers, 1 GB unpacked, to a registry on this machine that has nothing
//! of it.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::build::{TEXT, fill};
use super::measure::{Side, Target, compare};
use super::peer::Bench;
use super::registry::{Registry, beside};
use crate::{cargo, say};

const LAYER: usize = 256 << 20;
const FILE_SIZE: usize = 60_000;

/// By layer what follows each eight random bytes in it: two layers like ordinary data, one that
/// cannot be compressed, and one of which little is left.
const LAYERS: [(&str, u64, &[u8]); 4] = [
    ("a", 3, TEXT),
    ("b", 5, b""),
    ("c", 7, TEXT),
    (
        "d",
        11,
        b"a line of a log in which only a number differs from the line before it, as many lines do",
    ),
];

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let Some(registry) = Registry::start(bench)? else {
        say("push: left out, dockerd or docker-registry is not on the PATH");
        return Ok(());
    };
    let image = Registry::image("pushed:1");
    let result = built(bench, &image).and_then(|()| pushes(bench, &registry, &image));
    registry.end()?;
    result
}

/// Builds the image with Gantry; Docker loads the same one.
fn built(bench: &Bench, image: &str) -> Result<()> {
    let context = bench.folder.path().join("pushed");
    let mut text = "FROM scratch\nCMD [\"/none\"]\n".to_owned();
    for (part, seed, recurring) in LAYERS {
        fill(&context.join(part), LAYER, FILE_SIZE, seed, recurring)?;
        text.push_str(&format!("COPY {part} /{part}\n"));
    }
    fs::write(context.join("Dockerfile"), text)?;
    cargo::output(
        bench
            .gantry()
            .args(["build", "--quiet", "--tag", image])
            .arg(&context),
    )?;
    fs::remove_dir_all(&context)?;
    let archive = bench.folder.path().join("pushed.tar");
    let mut save = bench.gantry();
    cargo::output(save.args(["save", "--output"]).arg(&archive).arg(image))?;
    let mut load = bench.docker().expect("docker was found");
    cargo::output(load.args(["load", "--quiet", "--input"]).arg(&archive))?;
    fs::remove_file(&archive)?;
    Ok(())
}

fn pushes(bench: &Bench, registry: &Registry, image: &str) -> Result<()> {
    let push = |mut command: Command| {
        command.args(["push", "--quiet", image]);
        command
    };
    let ours = || beside(bench, &push(bench.gantry()));
    let theirs = || push(bench.docker().expect("docker was found"));
    let before = || registry.empty();
    compare(
        "push, 1 GB in four layers, gzip",
        3,
        &Side {
            name: "gantry",
            command: &ours,
            before: &before,
        },
        &Side {
            name: "docker",
            command: &theirs,
            before: &before,
        },
        Some(Target(1.0 / 3.0)),
    )
}
