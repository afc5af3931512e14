//! Health checks as a person meets them.

use gantry_testkit::TestEnv;
use gantry_testkit::environment::wait_for;

in_both_modes! {
    probes_need_no_tool_in_the_image,
    an_unhealthy_container_is_dealt_with,
    output_and_history_are_dockers,
}

fn health(env: &TestEnv, name: &str) -> String {
    env.gantry(["inspect", "-f", "{{.State.Health.Status}}", name])
        .ok()
}

fn first_output(env: &TestEnv, name: &str) -> String {
    env.gantry([
        "inspect",
        "-f",
        "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}",
        name,
    ])
    .ok()
}

fn probes_need_no_tool_in_the_image(env: TestEnv) {
    // Its own network, and nothing of it reachable from here.
    let serve = "mkdir /www; echo fine > /www/ok; httpd -p 127.0.0.1:8000 -h /www; sleep 1000";
    for (name, flag, value) in [
        ("tcp", "--health-tcp", "8000"),
        ("http", "--health-http", "8000/ok"),
        ("missing", "--health-http", "8000/none"),
        ("closed", "--health-tcp", "8001"),
    ] {
        env.gantry([
            "run",
            "-d",
            "--name",
            name,
            flag,
            value,
            "--health-interval",
            "300ms",
            "--health-retries",
            "2",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            serve,
        ])
        .ok();
    }
    for (name, want) in [
        ("tcp", "healthy"),
        ("http", "healthy"),
        ("missing", "unhealthy"),
        ("closed", "unhealthy"),
    ] {
        wait_for(name, || health(&env, name) == want);
    }
    // The first probes may have come before the server.
    wait_for("the answer of the server", || {
        let missing = first_output(&env, "missing");
        missing.starts_with("1 GET http://127.0.0.1:8000/none: HTTP/1.") && missing.contains("404")
    });
    assert!(first_output(&env, "closed").contains("Connection refused"));
    assert_eq!(
        env.gantry(["inspect", "-f", "{{json .Config.Healthcheck.Test}}", "http"])
            .ok(),
        "[\"HTTP\",\"8000/ok\"]"
    );
    env.gantry(["rm", "-f", "tcp", "http", "missing", "closed"])
        .ok();
}

fn an_unhealthy_container_is_dealt_with(env: TestEnv) {
    for action in ["restart", "stop", "kill"] {
        env.gantry([
            "run",
            "-d",
            "--name",
            action,
            "--health-on-failure",
            action,
            "--health-cmd",
            "exit 1",
            "--health-interval",
            "200ms",
            "--health-retries",
            "1",
            "--stop-timeout",
            "0",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    }
    let state = |name: &str| {
        env.gantry([
            "inspect",
            "-f",
            "{{.State.Status}} {{.State.ExitCode}} {{gt .RestartCount 1}}",
            name,
        ])
        .ok()
    };
    wait_for("a restart", || state("restart").ends_with("true"));
    wait_for("a stop", || state("stop") == "exited 137 false");
    wait_for("a kill", || state("kill") == "exited 137 false");
    // What ended is unhealthy, as with Docker.
    assert_eq!(health(&env, "stop"), "unhealthy");
    env.gantry(["stop", "restart"]).ok();
    assert!(state("restart").starts_with("exited"));
    env.gantry(["rm", "-f", "restart", "stop", "kill"]).ok();
}

fn output_and_history_are_dockers(env: TestEnv) {
    env.gantry([
        "run",
        "-d",
        "--name",
        "loud",
        "--health-cmd",
        "head -c 6000 /dev/zero | tr '\\0' x; exit 3",
        "--health-interval",
        "200ms",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    let probes = || {
        env.gantry(["inspect", "-f", "{{len .State.Health.Log}}", "loud"])
            .ok()
    };
    wait_for("five probes", || probes() == "5");
    let output = first_output(&env, "loud");
    assert_eq!(output.len(), "3 ".len() + 4096 + "...".len());
    assert!(output.ends_with("xxx..."));
    env.gantry(["restart", "-t", "0", "loud"]).ok();
    // The history stays, the verdict begins anew.
    assert_eq!(probes(), "5");
    env.gantry(["rm", "-f", "loud"]).ok();
    for (flags, want) in [
        (
            &["--health-retries=-1"][..],
            "--health-retries cannot be negative",
        ),
        (
            &["--health-interval", "1us"],
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            &["--health-cmd", "x", "--health-tcp", "1"],
            "three ways of one check",
        ),
        (&["--health-http", "8080"], "expected [PORT]/PATH"),
        (
            &["--health-on-failure", "cry"],
            "expected one of none, kill, restart, stop",
        ),
    ] {
        let words: Vec<&str> = ["create"]
            .iter()
            .chain(flags)
            .chain(&["busybox"])
            .copied()
            .collect();
        let refused = env.gantry(&words).stderr;
        assert!(refused.contains(want), "{refused}");
    }
}
