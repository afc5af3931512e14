//! Pushing an image of four layers, up to 1 GB unpacked, to a registry on this machine that has
//! nothing of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::measure::{Side, Target, compare};
use super::peer::Bench;
use super::registry::{Registry, beside};
use crate::{cargo, say};

const LAYERS: u64 = 4;
/// Most bytes of files in a layer.
const LAYER: u64 = 256 << 20;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let Some(registry) = Registry::start(bench)? else {
        say("push: left out, dockerd or docker-registry is not on the PATH");
        return Ok(());
    };
    let image = Registry::image("pushed:1");
    let result = built(bench, &image).and_then(|total| pushes(bench, &registry, &image, total));
    registry.end()?;
    result
}

/// Builds the image with Gantry; Docker loads the same one. In it are the files of the Rust
/// toolchain, as no made-up bytes are compressed like programs, libraries and texts are.
fn built(bench: &Bench, image: &str) -> Result<u64> {
    let context = bench.folder.path().join("pushed");
    let toolchain = cargo::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let toolchain = PathBuf::from(toolchain.trim_end());
    let mut files = Vec::new();
    list(&toolchain, &mut files)?;
    files.sort();
    let mut text = "FROM scratch\nCMD [\"/none\"]\n".to_owned();
    let mut rest = files.into_iter();
    let mut total = 0;
    for layer in 0..LAYERS {
        let share = context.join(layer.to_string());
        fs::create_dir_all(&share)?;
        let mut held = 0;
        let fits = |(_, length): &(PathBuf, u64)| {
            held += length;
            held <= LAYER
        };
        // The first that does not fit ends the layer, and is in none.
        for (file, length) in rest.by_ref().take_while(fits) {
            let to = share.join(file.strip_prefix(&toolchain)?);
            fs::create_dir_all(to.parent().expect("a file has a folder"))?;
            fs::copy(&file, to)?;
            total += length;
        }
        text.push_str(&format!("COPY {layer} /{layer}\n"));
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
    Ok(total)
}

/// The files below a folder, and their lengths in bytes.
fn list(folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let status = entry.metadata()?;
        if status.is_dir() {
            list(&entry.path(), files)?;
        } else if status.is_file() {
            files.push((entry.path(), status.len()));
        }
    }
    Ok(())
}

fn pushes(bench: &Bench, registry: &Registry, image: &str, total: u64) -> Result<()> {
    let push = |mut command: Command| {
        command.args(["push", "--quiet", image]);
        command
    };
    let ours = || beside(bench, &push(bench.gantry()));
    let theirs = || push(bench.docker().expect("docker was found"));
    let before = || registry.empty();
    compare(
        &format!("push, {} MB in four layers, gzip", total / 1_000_000),
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
