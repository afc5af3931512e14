//! SIGKILL at a random moment: nothing is lost, nothing half-made is visible.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use gantry_testkit::{Answer, TestEnv, TestRegistry};

use crate::{GANTRY, busybox};

in_both_modes! {
    a_killed_build_can_be_made_again,
    a_killed_load_can_be_made_again,
    a_prune_takes_nothing_of_a_load_that_goes_on,
    a_killed_prune_removes_whole_things_only,
    a_killed_run_leaves_a_container_that_can_be_removed,
}

/// Moments to kill at, spread over the time that the command takes undisturbed and a little
/// more: the same in every run, so that a failure can be looked at again.
fn moments(rounds: u32, undisturbed: Duration) -> impl Iterator<Item = Duration> {
    let longest = undisturbed * 11 / 10;
    (0..rounds).map(move |round| longest * ((round * 7) % rounds) / rounds)
}

/// How long a command takes.
fn time(env: &TestEnv, args: &[&str]) -> Duration {
    let start = Instant::now();
    env.gantry(args).ok();
    start.elapsed()
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

/// Builds an image of two layers with something in them: a large file, and many small ones.
fn build_large(env: &TestEnv, name: &str) {
    env.write("ctx/Dockerfile", "FROM busybox\nRUN seq 60000 > /a\nRUN seq 80000 > /b; for i in $(seq 100); do echo $i > /f$i; done\n");
    env.gantry(["build", "-q", "-t", name, "ctx"]).ok();
}

/// Kills `fetch`, which brings in the image `name`, at many moments; then it must go through.
fn kill_fetches(env: &TestEnv, name: &str, fetch: &[&str]) {
    let removed = || {
        env.gantry(["rmi", name]).ok();
    };
    let undisturbed = time(env, fetch);
    removed();
    for moment in moments(10, undisturbed) {
        kill_after(env.spawn(fetch), moment);
        whole(env);
        env.gantry(fetch).ok();
        let last_line = ["run", "--rm", name, "tail", "-n", "1", "/a"];
        assert_eq!(env.gantry(last_line).ok(), "60000");
        removed();
    }
}

#[test]
fn root_a_killed_pull_can_be_made_again() {
    let registry = TestRegistry::start();
    let env = busybox();
    let name = format!("{}/big:1", registry.address());
    build_large(&env, &name);
    env.gantry(["push", "-q", &name]).ok();
    let other = TestEnv::new(GANTRY);
    kill_fetches(&other, &name, &["pull", "-q", &name]);
}

fn a_killed_load_can_be_made_again(env: TestEnv) {
    build_large(&env, "big:1");
    env.gantry(["save", "-o", "big.tar", "big:1"]).ok();
    let other = TestEnv::new(GANTRY);
    let archive = env.work().join("big.tar");
    kill_fetches(&other, "big:1", &["load", "-i", archive.to_str().unwrap()]);
}

/// The archive comes in two halves; in between everything that nobody needs is taken away.
fn a_prune_takes_nothing_of_a_load_that_goes_on(env: TestEnv) {
    build_large(&env, "big:1");
    env.gantry(["save", "-o", "big.tar", "big:1"]).ok();
    let archive = std::fs::read(env.work().join("big.tar")).unwrap();
    env.gantry(["rmi", "big:1"]).ok();
    let mut load = env.command(["load"]);
    load.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut load = load.spawn().unwrap();
    let mut stdin = load.stdin.take().unwrap();
    let (first, second) = archive.split_at(archive.len() / 2);
    // More than a pipe holds: what is written was read.
    stdin.write_all(first).unwrap();
    for prune in [
        &["system", "prune", "-af"][..],
        &["image", "prune", "-af"],
        &["builder", "prune", "-af"],
    ] {
        env.gantry(prune).ok();
    }
    stdin.write_all(second).unwrap();
    drop(stdin);
    Answer::from(load.wait_with_output().unwrap()).ok();
    let last_lines = "tail -n 1 /a /b; cat /f100";
    let shown = env
        .gantry(["run", "--rm", "big:1", "sh", "-c", last_lines])
        .ok();
    assert!(
        shown.contains("60000") && shown.ends_with("80000\n100"),
        "{shown}"
    );
    assert_eq!(env.gantry(["system", "check"]).code, 0);
}

#[test]
fn root_a_killed_push_can_be_made_again() {
    let registry = TestRegistry::start();
    let env = busybox();
    let name = |tag: &str| format!("{}/big:{tag}", registry.address());
    build_large(&env, &name("0"));
    let undisturbed = time(&env, &["push", "-q", &name("0")]);
    let other = TestEnv::new(GANTRY);
    for (round, moment) in moments(6, undisturbed).enumerate() {
        let name = name(&round.to_string());
        env.write(
            "ctx/Dockerfile",
            format!("FROM busybox\nRUN seq 60000 > /a; echo {round} > /r; seq 80000 > /b\n"),
        );
        env.gantry(["build", "-q", "-t", &name, "ctx"]).ok();
        kill_after(env.spawn(["push", "-q", &name]), moment);
        whole(&env);
        env.gantry(["push", "-q", &name]).ok();
        other.gantry(["pull", "-q", &name]).ok();
        let round = round.to_string();
        assert_eq!(
            other.gantry(["run", "--rm", &name, "cat", "/r"]).ok(),
            round
        );
    }
}

fn a_killed_build_can_be_made_again(env: TestEnv) {
    for n in 0..100 {
        env.write(&format!("ctx/files/f{n}"), "x".repeat(2000));
    }
    let build = ["build", "-q", "-t", "x", "ctx"];
    let write = |round: u32| {
        let text = format!(
            "FROM busybox\nENV ROUND={round}\nCOPY files /files\nRUN cp -r /files /more\nRUN ls /more | wc -l > /count\n"
        );
        env.write("ctx/Dockerfile", text);
    };
    write(100);
    let undisturbed = time(&env, &build);
    for (round, moment) in (0..).zip(moments(10, undisturbed)) {
        write(round);
        kill_after(env.spawn(build), moment);
        whole(&env);
        env.gantry(build).ok();
        let counted = env.gantry(["run", "--rm", "x", "cat", "/count"]).ok();
        assert_eq!(counted, "100");
    }
}

fn a_killed_run_leaves_a_container_that_can_be_removed(env: TestEnv) {
    let undisturbed = time(&env, &["run", "--rm", "busybox", "true"]);
    for moment in moments(14, undisturbed) {
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

fn a_killed_prune_removes_whole_things_only(env: TestEnv) {
    let prune = ["system", "prune", "-f"];
    let litter = || {
        for n in 0..3 {
            let text = format!("FROM busybox\nRUN seq {n}000 > /x\n");
            env.write("ctx/Dockerfile", text);
            env.gantry(["build", "-q", "ctx"]).ok();
        }
        env.gantry(["create", "busybox"]).ok();
    };
    litter();
    let undisturbed = time(&env, &prune);
    for moment in moments(8, undisturbed) {
        litter();
        kill_after(env.spawn(prune), moment);
        whole(&env);
        env.gantry(prune).ok();
        let echo = ["run", "--rm", "busybox", "echo", "fine"];
        assert_eq!(env.gantry(echo).ok(), "fine");
        assert_eq!(env.gantry(["ps", "-aq"]).ok(), "");
    }
}
