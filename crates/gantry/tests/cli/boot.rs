//! What starts again after a boot, and what does not.

use gantry_testkit::TestEnv;
use gantry_testkit::environment::wait_for;
use rustix::process::{Pid, Signal, kill_process};

use crate::busybox;

fn supervisor(env: &TestEnv, name: &str) -> Pid {
    let id = env.gantry(["inspect", "-f", "{{.Id}}", name]).ok();
    let path = env.root().join("containers").join(id).join("state.json");
    let state: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let pid = i32::try_from(state["supervisor_pid"].as_i64().unwrap()).unwrap();
    Pid::from_raw(pid).unwrap()
}

/// Kills a container's supervisor, and waits until it holds nothing any more.
fn cut(env: &TestEnv, name: &str) {
    let pid = supervisor(env, name);
    kill_process(pid, Signal::KILL).unwrap();
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    wait_for("the supervisor's end", || {
        std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    });
}

fn status(env: &TestEnv, name: &str) -> String {
    env.gantry(["inspect", "-f", "{{.State.Status}}", name])
        .ok()
}

fn run(env: &TestEnv, name: &str, policy: &str) {
    env.gantry([
        "run",
        "-d",
        "--name",
        name,
        "--restart",
        policy,
        "--stop-timeout",
        "0",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
}

#[test]
fn root_a_shutdown_is_no_stop() {
    let env = busybox();
    for (name, policy) in [
        ("always", "always"),
        ("unless", "unless-stopped"),
        ("stopped", "unless-stopped"),
        ("failing", "on-failure"),
        ("never", "no"),
    ] {
        run(&env, name, policy);
    }
    env.gantry(["stop", "stopped"]).ok();
    // As the system goes down: SIGTERM to every supervisor.
    for name in ["always", "unless", "failing", "never"] {
        kill_process(supervisor(&env, name), Signal::TERM).unwrap();
        wait_for("the end", || status(&env, name) == "exited");
    }
    assert_eq!(
        env.gantry(["system", "boot"]).ok(),
        "always\nunless\nfailing"
    );
    for (name, want) in [
        ("always", "running"),
        ("unless", "running"),
        ("failing", "running"),
        ("stopped", "exited"),
        ("never", "exited"),
    ] {
        assert_eq!(status(&env, name), want, "{name}");
    }
    assert_eq!(env.gantry(["system", "boot"]).ok(), "");
    env.gantry([
        "rm", "-f", "always", "unless", "failing", "stopped", "never",
    ])
    .ok();
}

#[test]
fn root_a_power_cut_is_cleaned_up() {
    let env = busybox();
    run(&env, "base", "always");
    env.gantry([
        "run",
        "-d",
        "--name",
        "guest",
        "--restart",
        "always",
        "--network",
        "container:base",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    run(&env, "other", "no");
    for name in ["base", "guest", "other"] {
        cut(&env, name);
    }
    assert_eq!(env.gantry(["system", "boot"]).ok(), "base\nguest");
    assert_eq!(status(&env, "guest"), "running");
    assert_eq!(status(&env, "other"), "exited");
    env.gantry(["rm", "-f", "base", "guest", "other"]).ok();
}

#[test]
fn root_the_unit_is_for_this_installation() {
    let env = busybox();
    let unit = env.gantry(["system", "boot", "--unit"]).ok();
    assert!(
        unit.contains("ExecStart=") && unit.contains(" system boot\n"),
        "{unit}"
    );
    assert!(unit.contains(&env.root().display().to_string()), "{unit}");
}
