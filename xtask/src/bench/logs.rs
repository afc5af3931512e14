//! How fast a container's output is logged.

use std::process::Command;

use anyhow::Result;
use gantry_testkit::Peers;

use super::measure::{Side, Target, alone, compare, nothing};
use super::peer::Bench;
use crate::{cargo, packages, say};

/// 200 MB in lines of 100 bytes.
const WRITER: &str = "yes $(printf %099d 0) | head -c 200000000";
const RUNS: usize = 5;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let ours = || logged(bench.gantry(), &[]);
    let gantry = Side {
        name: "gantry",
        command: &ours,
        before: &nothing,
    };
    let title = "200 MB of output logged";
    // At least twice as fast.
    let target = Some(Target(0.5));
    if bench.docker().is_some() {
        let theirs = || logged(bench.docker().expect("docker was found"), &[]);
        let docker = Side {
            name: "dockerd",
            command: &theirs,
            before: &nothing,
        };
        compare(title, RUNS, &gantry, &docker, target)?;
    }
    if packages::find("podman").is_none() {
        say("logs: podman is not on the PATH");
        return alone(title, RUNS, &gantry);
    }
    let peers = Peers::at(bench.folder.path().join("podman"))?;
    let mut import = peers.podman_command();
    import.arg("import").arg(gantry_testkit::fixture::busybox());
    cargo::output(import.arg("busybox:latest"))?;
    let theirs = || {
        logged(
            peers.podman_command(),
            &gantry_testkit::peers::MODEST_LIMITS,
        )
    };
    let podman = Side {
        name: "conmon",
        command: &theirs,
        before: &nothing,
    };
    compare(title, RUNS, &gantry, &podman, target)
}

/// A container in the background that writes, waited for and removed.
fn logged(client: Command, options: &[&str]) -> Command {
    let script = "options=$1; writer=$2; shift 2
        id=$(\"$@\" run --detach --network none $options busybox sh -c \"$writer\") || exit
        \"$@\" wait $id && exec \"$@\" rm $id";
    let mut command = Command::new("sh");
    command.args(["-ec", script, "sh", &options.join(" "), WRITER]);
    command.arg(client.get_program()).args(client.get_args());
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = client.get_current_dir() {
        command.current_dir(folder);
    }
    command
}
