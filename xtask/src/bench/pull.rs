//! Pulling an image of three gzip layers, 1.1 GB unpacked, from a registry on this machine.

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::build::fill;
use super::measure::{Side, Target, compare};
use super::peer::Bench;
use crate::{cargo, packages, say};

const LAYER: usize = 370 << 20;
const FILE_SIZE: usize = 60_000;
const PORT: u16 = 5017;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    if bench.docker().is_none() || packages::find("docker-registry").is_none() {
        say("pull: left out, dockerd or docker-registry is not on the PATH");
        return Ok(());
    }
    let image = format!("127.0.0.1:{PORT}/bench/large:1");
    let registry = Registry::start(bench)?;
    let result = pushed(bench, &image).and_then(|()| pulls(bench, &image));
    registry.end()?;
    result
}

fn beside(bench: &Bench, command: &Command) -> Command {
    bench.beside_docker(command).expect("docker was found")
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

struct Registry(Child);

impl Registry {
    fn start(bench: &Bench) -> Result<Self> {
        let folder = bench.folder.path().join("registry");
        fs::create_dir_all(&folder)?;
        let configuration = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http: {{addr: \"127.0.0.1:{PORT}\"}}\n",
            folder.join("data").display()
        );
        fs::write(&configuration, text)?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&configuration);
        let child = beside(bench, &command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start docker-registry")?;
        let mut registry = Self(child);
        for _ in 0..200 {
            let mut probe = Command::new("bash");
            probe.args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{PORT}")]);
            let mut probe = beside(bench, &probe);
            if probe.stderr(Stdio::null()).status()?.success() {
                return Ok(registry);
            }
            if registry.0.try_wait()?.is_some() {
                bail!("docker-registry ended at once");
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        registry.end()?;
        bail!("docker-registry does not listen")
    }

    fn end(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}
