//! How long a container takes from the command to its exit code.

use std::process::Command;

use anyhow::Result;

use super::measure::{Side, alone, compare, nothing};
use super::peer::Bench;
use crate::{cargo, packages};

const RUNS: usize = 31;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    for network in ["bridge", "none"] {
        let title = format!("run --rm busybox true, network {network}");
        let ours = || {
            let mut command = bench.gantry();
            command.args(["run", "--rm", "--network", network, "busybox", "true"]);
            command
        };
        let gantry = Side {
            name: "gantry",
            command: &ours,
            before: &nothing,
        };
        against_docker(bench, &title, network, &gantry)?;
        against_crun(bench, &title, &gantry)?;
    }
    Ok(())
}

fn against_docker(bench: &Bench, title: &str, network: &str, gantry: &Side<'_>) -> Result<()> {
    if bench.docker().is_none() {
        return alone(title, RUNS, gantry);
    }
    let theirs = || {
        let mut command = bench.docker().expect("docker was found");
        command.args(["run", "--rm", "--network", network, "busybox", "true"]);
        command
    };
    compare(
        title,
        11,
        gantry,
        &Side {
            name: "docker",
            command: &theirs,
            before: &nothing,
        },
    )
}

fn against_crun(bench: &Bench, title: &str, gantry: &Side<'_>) -> Result<()> {
    let Some(crun) = packages::find("crun") else {
        return Ok(());
    };
    let bundle = bench.bundle()?;
    let state = bench.folder.path().join("crun");
    let theirs = || {
        let mut command = Command::new(&crun);
        command
            .arg("--root")
            .arg(&state)
            .arg("run")
            .arg("--bundle")
            .arg(&bundle)
            .arg("bench");
        command
    };
    compare(
        title,
        RUNS,
        gantry,
        &Side {
            name: "crun run",
            command: &theirs,
            before: &nothing,
        },
    )
}

pub(crate) fn exec(bench: &Bench) -> Result<()> {
    let name = "bench-exec";
    let start = [
        "run", "--detach", "--name", name, "busybox", "sleep", "1000",
    ];
    cargo::output(bench.gantry().args(start))?;
    let ours = || {
        let mut command = bench.gantry();
        command.args(["exec", name, "true"]);
        command
    };
    let gantry = Side {
        name: "gantry",
        command: &ours,
        before: &nothing,
    };
    match bench.docker() {
        Some(mut docker) => {
            cargo::output(docker.args(start))?;
            let theirs = || {
                let mut command = bench.docker().expect("docker was found");
                command.args(["exec", name, "true"]);
                command
            };
            let docker = Side {
                name: "docker",
                command: &theirs,
                before: &nothing,
            };
            compare("exec true", 11, &gantry, &docker)?;
            let mut remove = bench.docker().expect("docker was found");
            cargo::output(remove.args(["rm", "--force", name]))?;
        }
        None => alone("exec true", RUNS, &gantry)?,
    }
    cargo::output(bench.gantry().args(["rm", "--force", name]))?;
    Ok(())
}
