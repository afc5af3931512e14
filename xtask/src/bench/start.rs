//! How long a container takes from the command to its exit code.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::measure::{Side, Target, alone, compare, nothing};
use super::peer::Bench;
use crate::{cargo, packages, say};

const RUNS: usize = 31;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    // A bare crun has no network: without one Gantry has to be as fast.
    for (network, beside_crun) in [("bridge", 1.5), ("none", 1.0)] {
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
        against_crun(bench, &title, &gantry, Target(beside_crun))?;
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
        (network == "bridge").then_some(Target(1.0 / 20.0)),
    )
}

fn against_crun(bench: &Bench, title: &str, gantry: &Side<'_>, target: Target) -> Result<()> {
    let Some(crun) = packages::find("crun") else {
        return Ok(());
    };
    let bundle = bench.bundle()?;
    let state = bench.folder.path().join("crun");
    let theirs = || bare_run(Command::new(&crun), &state, &bundle);
    compare(
        title,
        RUNS,
        gantry,
        &Side {
            name: "crun run",
            command: &theirs,
            before: &nothing,
        },
        Some(target),
    )
}

/// The same bundle through both OCI runtimes.
pub(crate) fn runtime(bench: &Bench) -> Result<()> {
    let Some(crun) = packages::find("crun") else {
        say("runtime: left out, crun is not on the PATH");
        return Ok(());
    };
    let bundle = bench.bundle()?;
    let ours = || {
        let mut command = Command::new(&bench.binary);
        command.arg("runtime");
        bare_run(command, &bench.folder.path().join("runtime"), &bundle)
    };
    let theirs = || {
        bare_run(
            Command::new(&crun),
            &bench.folder.path().join("crun"),
            &bundle,
        )
    };
    compare(
        "runtime run true",
        RUNS,
        &Side {
            name: "gantry runtime run",
            command: &ours,
            before: &nothing,
        },
        &Side {
            name: "crun run",
            command: &theirs,
            before: &nothing,
        },
        Some(Target(0.8)),
    )
}

/// A bundle run by an OCI runtime.
fn bare_run(mut runtime: Command, state: &Path, bundle: &Path) -> Command {
    runtime.arg("--root").arg(state).arg("run");
    runtime.arg("--bundle").arg(bundle).arg("bench");
    runtime
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
            compare("exec true", 11, &gantry, &docker, Some(Target(0.1)))?;
            let mut remove = bench.docker().expect("docker was found");
            cargo::output(remove.args(["rm", "--force", name]))?;
        }
        None => alone("exec true", RUNS, &gantry)?,
    }
    cargo::output(bench.gantry().args(["rm", "--force", name]))?;
    Ok(())
}
