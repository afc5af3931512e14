//! Containers over their life: create, start, stop, kill, remove, and what shows it.

use std::io::Read;
use std::time::Instant;

use gantry_testkit::TestEnv;
use gantry_testkit::environment::wait_for;

use crate::busybox;

in_both_modes! {
    a_container_goes_through_its_states,
    attach_sees_what_comes_and_its_exit_code,
    exec_joins_everything,
    logs_show_both_streams_and_follow,
    many_at_once_do_not_disturb_each_other,
    names_are_unique_and_checked,
    restart_policies_start_again,
    stop_asks_first_and_kills_later,
}

fn a_container_goes_through_its_states(env: TestEnv) {
    let id = env
        .gantry(["create", "--name", "life", "busybox", "sleep", "100"])
        .ok();
    assert_eq!(id.len(), 64);
    let status = || {
        env.gantry(["inspect", "-f", "{{.State.Status}}", "life"])
            .ok()
    };
    assert_eq!(status(), "created");
    assert_eq!(env.gantry(["start", "life"]).ok(), "life");
    assert_eq!(status(), "running");
    let ps = env
        .gantry([
            "ps",
            "--format",
            "{{.ID}} {{.Image}} {{.Names}} {{.Command}}",
        ])
        .ok();
    assert_eq!(ps, format!("{} busybox life \"sleep 100\"", &id[..12]));
    assert_eq!(env.gantry(["kill", "life"]).ok(), "life");
    assert_eq!(env.gantry(["wait", "life"]).ok(), "137");
    assert_eq!(status(), "exited");
    assert_eq!(env.gantry(["ps", "-q"]).ok(), "");
    assert_eq!(
        env.gantry(["start", &id[..6]]).ok(),
        &id[..6],
        "a prefix of the id names it"
    );
    let refused = env.gantry(["rm", "life"]).fails(1);
    assert!(refused.contains("running"), "{refused}");
    assert_eq!(env.gantry(["rm", "-f", "life"]).ok(), "life");
    let gone = env.gantry(["inspect", "life"]).fails(1);
    assert!(
        gone.to_lowercase().contains("no such") && gone.contains("life"),
        "{gone}"
    );
}

fn stop_asks_first_and_kills_later(env: TestEnv) {
    let ready = |name: &str| {
        wait_for("the trap", || {
            env.gantry(["logs", name]).stdout == "ready\n"
        });
    };
    let polite = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    env.gantry([
        "run", "-d", "--name", "polite", "busybox", "sh", "-c", polite,
    ])
    .ok();
    ready("polite");
    env.gantry(["stop", "polite"]).ok();
    assert_eq!(env.gantry(["wait", "polite"]).ok(), "5");
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    env.gantry(["run", "-d", "--name", "deaf", "busybox", "sh", "-c", deaf])
        .ok();
    ready("deaf");
    let start = Instant::now();
    env.gantry(["stop", "-t", "1", "deaf"]).ok();
    assert!(start.elapsed().as_millis() >= 1000);
    assert_eq!(env.gantry(["wait", "deaf"]).ok(), "137");
    let usr1 = "trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done";
    env.gantry([
        "run",
        "-d",
        "--stop-signal",
        "SIGUSR1",
        "--name",
        "usr1",
        "busybox",
        "sh",
        "-c",
        usr1,
    ])
    .ok();
    ready("usr1");
    env.gantry(["stop", "usr1"]).ok();
    assert_eq!(env.gantry(["wait", "usr1"]).ok(), "6");
}

fn names_are_unique_and_checked(env: TestEnv) {
    let id = env.gantry(["create", "--name", "one", "busybox"]).ok();
    let taken = env.gantry(["create", "--name", "one", "busybox"]).fails(1);
    assert!(
        taken.contains("one") && taken.contains(&id[..12]),
        "{taken}"
    );
    let bad = env
        .gantry(["create", "--name", "../up", "busybox"])
        .fails(1);
    assert!(bad.contains("../up"), "{bad}");
    let made = env.gantry(["create", "busybox"]).ok();
    let name = env.gantry(["inspect", "-f", "{{.Name}}", &made]).ok();
    assert!(name.starts_with('/') && name.contains('_'), "{name}");
}

fn logs_show_both_streams_and_follow(env: TestEnv) {
    let script = "echo one; echo two >&2; while [ ! -e /go ]; do sleep 0.02; done; echo three";
    env.gantry(["run", "-d", "--name", "talk", "busybox", "sh", "-c", script])
        .ok();
    wait_for("two lines", || {
        let logs = env.gantry(["logs", "talk"]);
        (logs.stdout.as_str(), logs.stderr.as_str()) == ("one\n", "two\n")
    });
    let follower = env.spawn(["logs", "-f", "talk"]);
    // It may be killed with the container that it ends.
    drop(env.gantry(["exec", "talk", "touch", "/go"]));
    let output = follower.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one\nthree\n");
    assert_eq!(env.gantry(["logs", "--tail", "1", "talk"]).ok(), "three");
    let stamped = env.gantry(["logs", "-t", "--tail", "1", "talk"]).ok();
    assert!(
        stamped.len() > 30 && stamped.ends_with("Z three"),
        "{stamped}"
    );
}

fn exec_joins_everything(env: TestEnv) {
    env.gantry([
        "run",
        "-d",
        "--name",
        "host",
        "-e",
        "A=1",
        "-w",
        "/tmp",
        "--hostname",
        "inner",
        "busybox",
        "sleep",
        "100",
    ])
    .ok();
    let exec = |args: &[&str]| {
        let mut all = vec!["exec"];
        all.extend(args);
        env.gantry(all)
    };
    assert_eq!(
        exec(&[
            "host",
            "sh",
            "-c",
            "echo $A; pwd; hostname; cat /proc/1/comm"
        ])
        .ok(),
        "1\n/tmp\ninner\nsleep"
    );
    assert_eq!(
        exec(&[
            "-e",
            "A=2",
            "-w",
            "/etc",
            "-u",
            "nobody",
            "host",
            "sh",
            "-c",
            "echo $A; pwd; id -u"
        ])
        .ok(),
        "2\n/etc\n65534"
    );
    assert_eq!(exec(&["host", "sh", "-c", "exit 42"]).code, 42);
    assert_eq!(exec(&["host", "nonesuch"]).code, 127);
    assert_eq!(
        exec(&["host", "grep", "Seccomp:", "/proc/self/status"]).ok(),
        "Seccomp:\t2"
    );
    assert_eq!(
        env.gantry_with_input(["exec", "-i", "host", "cat"], b"through")
            .ok(),
        "through"
    );
    exec(&["-d", "host", "touch", "/tmp/detached"]).ok();
    wait_for("the detached command ran", || {
        exec(&["host", "test", "-e", "/tmp/detached"]).code == 0
    });
    env.gantry(["kill", "host"]).ok();
    env.gantry(["wait", "host"]).ok();
    let stopped = exec(&["host", "true"]).fails(1);
    assert!(stopped.contains("not running"), "{stopped}");
}

fn attach_sees_what_comes_and_its_exit_code(env: TestEnv) {
    let script = "while [ ! -e /go ]; do echo tick; sleep 0.02; done; echo attached; exit 4";
    env.gantry([
        "run", "-d", "--name", "clock", "busybox", "sh", "-c", script,
    ])
    .ok();
    let mut clients = [(); 2].map(|()| env.spawn(["attach", "--no-stdin", "clock"]));
    // Who has heard something is attached.
    for client in &mut clients {
        let mut heard = [0; 5];
        client
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut heard)
            .unwrap();
        assert_eq!(&heard, b"tick\n");
    }
    // It may be killed with the container that it ends.
    drop(env.gantry(["exec", "clock", "touch", "/go"]));
    for client in clients {
        let output = client.wait_with_output().unwrap();
        let heard = String::from_utf8_lossy(&output.stdout);
        assert!(heard.ends_with("attached\n"), "{heard}");
        assert_eq!(output.status.code(), Some(4));
    }
}

fn restart_policies_start_again(env: TestEnv) {
    env.gantry([
        "run",
        "-d",
        "--name",
        "flaky",
        "--restart",
        "on-failure:2",
        "busybox",
        "sh",
        "-c",
        "echo x; exit 1",
    ])
    .ok();
    assert_eq!(env.gantry(["wait", "flaky"]).ok(), "1");
    wait_for("three runs", || {
        env.gantry(["logs", "flaky"]).stdout == "x\nx\nx\n"
    });
    let restarts = ["inspect", "-f", "{{.RestartCount}}", "flaky"];
    wait_for("their count", || env.gantry(restarts).ok() == "2");
    env.gantry([
        "run",
        "-d",
        "--name",
        "always",
        "--restart",
        "always",
        "busybox",
        "true",
    ])
    .ok();
    wait_for("two restarts", || {
        let restarted = ["inspect", "-f", "{{gt .RestartCount 1}}", "always"];
        env.gantry(restarted).ok() == "true"
    });
    env.gantry(["stop", "-t", "0", "always"]).ok();
    assert_eq!(
        env.gantry(["inspect", "-f", "{{.State.Running}}", "always"])
            .ok(),
        "false"
    );
}

#[test]
fn root_a_killed_supervisor_is_noticed() {
    let env = busybox();
    let id = env
        .gantry([
            "run",
            "-d",
            "--name",
            "orphan",
            "-p",
            "127.0.0.1:0:80",
            "busybox",
            "sleep",
            "100",
        ])
        .ok();
    let state = env.root().join(format!("containers/{id}/state.json"));
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
    let (supervisor, pid) = (
        state["supervisor_pid"].to_string(),
        state["pid"].to_string(),
    );
    assert!(
        std::process::Command::new("kill")
            .args(["-9", &supervisor])
            .status()
            .unwrap()
            .success()
    );
    wait_for("the container's process ends with it", || {
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
    let shown = env
        .gantry(["ps", "-a", "--format", "{{.State}} {{.Status}}"])
        .ok();
    assert!(shown.starts_with("exited Exited (137)"), "{shown}");
    assert_eq!(env.gantry(["start", "orphan"]).ok(), "orphan");
    assert_eq!(env.gantry(["rm", "-f", "orphan"]).ok(), "orphan");
}

fn many_at_once_do_not_disturb_each_other(env: TestEnv) {
    let running: Vec<_> = (0..20)
        .map(|n| {
            env.spawn([
                "run".to_owned(),
                "--rm".into(),
                "busybox".into(),
                "echo".into(),
                n.to_string(),
            ])
        })
        .collect();
    for (n, child) in running.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{n}\n"));
    }
    assert_eq!(env.gantry(["ps", "-aq"]).ok(), "");
}
