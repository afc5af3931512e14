//! SIGKILL at a random moment: nothing is lost, nothing half-made is visible.

use std::process::Child;
use std::time::Duration;

use gantry_testkit::{TestEnv, TestRegistry};

use crate::{GANTRY, busybox};

/// Moments to kill at, spread over `longest`: the same in every run, so that a failure can be
/// looked at again.
fn moments(rounds: u32, longest: Duration) -> impl Iterator<Item = Duration> {
    (0..rounds).map(move |round| longest * ((round * 7) % rounds) / rounds)
}

fn kill_after(mut child: Child, moment: Duration) {
    std::thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// After a kill: the check is clean, or its repair makes it so.
fn whole(env: &TestEnv) {
    let check = env.gantry(["system", "check"]);
    if check.code != 0 {
        let repaired = env.gantry(["system", "check", "--repair"]);
        assert_eq!(
            repaired.code, 0,
            "{}\n{}\nfirst: {}",
            repaired.stdout, repaired.stderr, check.stdout
        );
        let after = env.gantry(["system", "check"]);
        assert_eq!(after.code, 0, "{}\n{}", after.stdout, after.stderr);
    }
}

#[test]
fn root_a_killed_pull_can_be_made_again() {
    let registry = TestRegistry::start();
    let env = busybox();
    env.write("ctx/Dockerfile", "FROM busybox\nRUN seq 400000 > /a\nRUN seq 500000 > /b; for i in $(seq 500); do echo $i > /f$i; done\n");
    let context = env.work().join("ctx");
    let name = format!("{}/big:1", registry.address());
    env.gantry(["build", "-q", "-t", &name, context.to_str().unwrap()])
        .ok();
    env.gantry(["push", "-q", &name]).ok();
    let other = TestEnv::new(GANTRY);
    for moment in moments(12, Duration::from_millis(250)) {
        kill_after(other.spawn(["pull", "-q", &name]), moment);
        whole(&other);
        other.gantry(["pull", "-q", &name]).ok();
        assert_eq!(
            other
                .gantry(["run", "--rm", &name, "tail", "-n", "1", "/a"])
                .ok(),
            "400000"
        );
        other.gantry(["rmi", &name]).ok();
    }
}

#[test]
fn root_a_killed_build_can_be_made_again() {
    let env = busybox();
    for n in 0..300 {
        env.write(&format!("ctx/files/f{n}"), "x".repeat(2000));
    }
    let context = env.work().join("ctx");
    let context = context.to_str().unwrap();
    for (round, moment) in moments(12, Duration::from_millis(300)).enumerate() {
        env.write("ctx/Dockerfile", format!("FROM busybox\nENV ROUND={round}\nCOPY files /files\nRUN cp -r /files /more\nRUN ls /more | wc -l > /count\n"));
        kill_after(env.spawn(["build", "-q", "-t", "x", context]), moment);
        whole(&env);
        env.gantry(["build", "-q", "-t", "x", context]).ok();
        assert_eq!(
            env.gantry(["run", "--rm", "x", "cat", "/count"]).ok(),
            "300"
        );
    }
}

#[test]
fn root_a_killed_run_leaves_a_container_that_can_be_removed() {
    let env = busybox();
    for moment in moments(20, Duration::from_millis(40)) {
        kill_after(env.spawn(["run", "busybox", "sleep", "100"]), moment);
        whole(&env);
        for id in env.gantry(["ps", "-aq"]).ok().lines() {
            env.gantry(["rm", "-f", id]).ok();
        }
        assert_eq!(
            env.gantry(["run", "--rm", "busybox", "echo", "fine"]).ok(),
            "fine"
        );
    }
}

#[test]
fn root_a_killed_prune_removes_whole_things_only() {
    let env = busybox();
    let context = env.work().join("ctx");
    for moment in moments(10, Duration::from_millis(60)) {
        for n in 0..3 {
            env.write(
                "ctx/Dockerfile",
                format!("FROM busybox\nRUN seq {n}000 > /x\n"),
            );
            env.gantry(["build", "-q", context.to_str().unwrap()]).ok();
        }
        kill_after(env.spawn(["system", "prune", "-f"]), moment);
        whole(&env);
        env.gantry(["system", "prune", "-f"]).ok();
        assert_eq!(
            env.gantry(["run", "--rm", "busybox", "echo", "fine"]).ok(),
            "fine"
        );
    }
}
