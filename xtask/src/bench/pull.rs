//! Pulling an image of three gzip layers, 1.1 GB unpacked, from a registry on this machine.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::build::fill;
use super::measure::{Side, Target, compare};
use super::peer::Bench;
use super::registry::{Registry, beside};
use crate::{cargo, say};

const LAYER: usize = 370 << 20;
const FILE_SIZE: usize = 60_000;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let Some(registry) = Registry::start(bench)? else {
        say("pull: left out, dockerd or docker-registry is not on the PATH");
        return Ok(());
    };
    let image = Registry::image("large:1");
    let result = pushed(bench, &image).and_then(|()| pulls(bench, &image));
    registry.end()?;
    result
}

/// Builds the image with Docker, which compresses each layer with gzip when it pushes.
fn pushed(bench: &Bench, image: &str) -> Result<()> {
    let context = bench.folder.path().join("large");
    for (part, seed) in [("a", 3), ("b", 5), ("c", 7)] {
        fill(&context.join(part), LAYER, FILE_SIZE, seed)?;
    }
    let text = "FROM scratch\nCOPY a /a\nCOPY b /b\nCOPY c /c\nCMD [\"/none\"]\n";
    fs::write(context.join("Dockerfile"), text)?;
    let docker = |args: &[&str]| {
        let mut command = bench.docker().expect("docker was found");
        command.args(args);
        cargo::output(&mut command)
    };
    let path = context
        .to_str()
        .context("the temporary folder's path is no text")?;
    docker(&["build", "--quiet", "--tag", image, path])?;
    docker(&["push", "--quiet", image])?;
    // Else a pull would find every layer in the cache of the build.
    docker(&["rmi", image])?;
    docker(&["builder", "prune", "--all", "--force"])?;
    fs::remove_dir_all(&context)?;
    Ok(())
}

fn pulls(bench: &Bench, image: &str) -> Result<()> {
    let gantry = |args: &[&str]| {
        let mut command = bench.gantry();
        command.args(args);
        beside(bench, &command)
    };
    let docker = |args: &[&str]| {
        let mut command = bench.docker().expect("docker was found");
        command.args(args);
        command
    };
    // Removing what is not there is no failure: the first round has nothing.
    let removed = |mut command: Command| -> Result<()> {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status()?;
        Ok(())
    };
    let ours = || gantry(&["pull", "--quiet", image]);
    let theirs = || docker(&["pull", "--quiet", image]);
    compare(
        "pull, 1.1 GB in three gzip layers",
        5,
        &Side {
            name: "gantry",
            command: &ours,
            before: &|| removed(gantry(&["rmi", image])),
        },
        &Side {
            name: "docker",
            command: &theirs,
            before: &|| removed(docker(&["rmi", image])),
        },
        Some(Target(0.5)),
    )
}
