//! The life of a container, command by command.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;

use gantry_testkit::environment::wait_for;
use serde_json::{Value, json};

use super::bundles::Bundles;

#[test]
fn root_a_container_outlives_the_one_who_creates_it() {
    let bundles = Bundles::running("echo begun > /begun; exec sleep 1000");
    let id = &bundles.id("one");
    let pid_file = bundles.env.work().join("pid");
    bundles.edit(|document| document["annotations"] = json!({ "org.example": "yes" }));
    bundles
        .runtime(["create", "--pid-file", pid_file.to_str().unwrap(), id])
        .ok();
    let pid = fs::read_to_string(&pid_file).unwrap();
    let state = bundles.told(id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"].to_string(), pid);
    assert_eq!(state["id"], json!(id));
    assert_eq!(state["ociVersion"], "1.3.0");
    assert_eq!(state["bundle"], json!(bundles.bundle()));
    assert_eq!(state["annotations"], json!({ "org.example": "yes" }));
    assert_eq!(state["owner"], "root");
    assert!(!bundles.bundle().join("rootfs/begun").exists());
    assert!(!bundles.cgroups(id).is_empty());

    // The bundle may change afterwards.
    fs::remove_file(bundles.bundle().join("config.json")).unwrap();
    bundles.runtime(["start", id]).ok();
    assert_eq!(bundles.told(id)["status"], "running");
    wait_for("the command", || {
        bundles.bundle().join("rootfs/begun").exists()
    });
    let again = bundles.runtime(["start", id]).fails(1);
    assert!(again.contains("it is running"), "{again}");
    let alive = bundles.runtime(["delete", id]).fails(1);
    assert!(alive.contains("that is not stopped: running"), "{alive}");

    bundles.runtime(["kill", id, "KILL"]).ok();
    bundles.wait(id, "stopped");
    assert_eq!(bundles.told(id)["pid"], 0);
    let dead = bundles.runtime(["kill", id]).fails(1);
    assert!(dead.contains("container not running"), "{dead}");
    let dead = bundles.runtime(["exec", id, "true"]).fails(255);
    assert!(dead.contains("container not running"), "{dead}");
    bundles.runtime(["delete", id]).ok();
    let gone = bundles.runtime(["state", id]).fails(1);
    assert!(gone.contains("does not exist"), "{gone}");
    bundles.runtime(["delete", id]).fails(1);
    bundles.runtime(["delete", "--force", id]).ok();
}

#[test]
fn root_a_damaged_record_holds_up_nobody_and_leaves_no_process() {
    let bundles = Bundles::running("exec sleep 1000");
    let ids = ["torn", "lost", "whole"].map(|name| bundles.id(name));
    let pids = ids.each_ref().map(|id| {
        bundles.runtime(["create", id]).ok();
        bundles.runtime(["start", id]).ok();
        bundles.told(id)["pid"].to_string()
    });
    let record = |id: &String| bundles.state().join(id).join("state.json");
    fs::write(record(&ids[0]), "{\"id\"").unwrap();
    fs::remove_file(record(&ids[1])).unwrap();
    let listed = bundles.runtime(["list"]);
    assert!(
        listed.stderr.contains(record(&ids[0]).to_str().unwrap()),
        "{listed:?}"
    );
    let listed = listed.ok();
    assert!(
        listed.contains(&pids[2]) && listed.contains(&ids[1]),
        "{listed}"
    );
    bundles.runtime(["delete", &ids[0]]).fails(1);
    for (id, pid) in ids.iter().zip(&pids) {
        bundles.runtime(["delete", "--force", id]).ok();
        let process = std::path::PathBuf::from(format!("/proc/{pid}/exe"));
        wait_for("the process to end", || fs::read_link(&process).is_err());
        assert!(!bundles.state().join(id).exists());
        wait_for("the cgroup to go", || bundles.cgroups(id).is_empty());
    }
}

#[test]
fn root_run_ends_as_its_command_does() {
    let bundles = Bundles::running("echo out; echo err >&2; exit 42");
    let answer = bundles.run();
    assert_eq!(
        (answer.code, answer.stdout.as_str(), answer.stderr.as_str()),
        (42, "out\n", "err\n")
    );
    // The first process of a PID namespace has no default actions.
    bundles.script("(sh -c 'kill -9 $$'); exit $?");
    assert_eq!(bundles.run().code, 137);

    bundles.script("exec sleep 1000");
    let id = &bundles.id("one");
    bundles.runtime(["run", "--detach", id]).ok();
    assert_eq!(bundles.told(id)["status"], "running");
    let twice = bundles.runtime(["run", id]).fails(1);
    assert!(twice.contains("already exists"), "{twice}");
    assert_eq!(bundles.told(id)["status"], "running");
    bundles.runtime(["delete", "-f", id]).ok();

    bundles.script("true");
    bundles.runtime(["run", "--keep", id]).ok();
    assert_eq!(bundles.told(id)["status"], "stopped");
}

#[test]
fn root_signals_reach_the_command_through_run() {
    let bundles =
        Bundles::running("trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done");
    let mut child = bundles
        .command(["run", &bundles.id("run")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(
        (rest.as_str(), child.wait().unwrap().code()),
        ("got\n", Some(5))
    );
}

#[test]
fn root_exec_joins_a_container() {
    let bundles = Bundles::running("exec sleep 1000");
    let id = &bundles.id("one");
    bundles.runtime(["run", "-d", id]).ok();
    let first = bundles.told(id)["pid"].to_string();
    let exec = |words: &[&str]| bundles.runtime([&["exec"], words].concat());
    assert_eq!(exec(&[id, "sh", "-c", "echo $$ $0; exit 9"]).code, 9);
    let told = exec(&[
        "--cwd",
        "/tmp",
        "-e",
        "A=b",
        "-e",
        "PATH=/bin",
        "-u",
        "5:6",
        "-g",
        "7,8",
        id,
        "sh",
        "-c",
        "pwd; echo $A $PATH; id",
    ]);
    assert_eq!(told.ok(), "/tmp\nb /bin\nuid=5 gid=6 groups=7,8");
    let caps =
        |more: &[&str]| exec(&[more, &[id, "grep", "CapEff", "/proc/self/status"]].concat()).ok();
    assert_ne!(caps(&[]), caps(&["--cap", "CAP_SYS_PTRACE"]));
    let missing = exec(&[id, "nothing-of-that-name"]).fails(255);
    assert!(
        missing.contains("executable file not found in $PATH"),
        "{missing}"
    );
    // In the same namespaces and cgroup.
    let own = exec(&[
        id,
        "sh",
        "-c",
        "cat /proc/self/cgroup; readlink /proc/self/ns/pid",
    ])
    .ok();
    let theirs = exec(&[
        id,
        "sh",
        "-c",
        "cat /proc/1/cgroup; readlink /proc/1/ns/pid",
    ])
    .ok();
    assert_eq!(own, theirs);

    let pid_file = bundles.env.work().join("exec-pid");
    exec(&[
        "-d",
        "--pid-file",
        pid_file.to_str().unwrap(),
        id,
        "sleep",
        "1000",
    ])
    .ok();
    let pid = fs::read_to_string(&pid_file).unwrap();
    let pids: Vec<i64> =
        serde_json::from_str(&bundles.runtime(["ps", "-f", "json", id]).ok()).unwrap();
    assert_eq!(pids, [first.parse::<i64>().unwrap(), pid.parse().unwrap()]);
    let table = bundles.runtime(["ps", id, "-o", "pid,args"]).ok();
    assert_eq!(table.matches("sleep 1000").count(), 2, "{table}");

    let process = bundles.env.write(
        "process.json",
        json!({
            "user": { "uid": 3, "gid": 4 }, "cwd": "/", "args": ["sh", "-c", "id -u; echo $X"],
            "env": ["PATH=/bin", "X=y"], "noNewPrivileges": true,
        })
        .to_string(),
    );
    assert_eq!(
        exec(&["--process", process.to_str().unwrap(), id]).ok(),
        "3\ny"
    );
    assert!(exec(&[id]).fails(255).contains("needs a command"));
}

#[test]
fn root_a_paused_container_waits() {
    let bundles = Bundles::running("exec sleep 1000");
    let id = &bundles.id("one");
    bundles.runtime(["run", "-d", id]).ok();
    bundles.runtime(["pause", id]).ok();
    assert_eq!(bundles.told(id)["status"], "paused");
    let paused = bundles.runtime(["exec", id, "true"]).fails(255);
    assert!(paused.contains("paused container"), "{paused}");
    bundles.runtime(["pause", id]).fails(1);
    bundles.runtime(["resume", id]).ok();
    assert_eq!(bundles.told(id)["status"], "running");
    bundles.runtime(["exec", id, "true"]).ok();
    bundles.runtime(["resume", id]).fails(1);
    // What is frozen can be killed.
    bundles.runtime(["pause", id]).ok();
    bundles.runtime(["kill", id, "9"]).ok();
    bundles.wait(id, "stopped");
}

#[test]
fn root_limits_change_while_it_runs() {
    let bundles = Bundles::running("exec sleep 1000");
    let id = &bundles.id("one");
    bundles.runtime(["run", "-d", id]).ok();
    bundles
        .runtime([
            "update",
            "--memory",
            "67108864",
            "--pids-limit",
            "50",
            "--cpu-quota",
            "50000",
            "--cpu-period",
            "100000",
            id,
        ])
        .ok();
    let stats: Value =
        serde_json::from_str(&bundles.runtime(["events", "--stats", id]).ok()).unwrap();
    assert_eq!(stats["type"], "stats");
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 67_108_864);
    assert_eq!(stats["data"]["pids"], json!({ "current": 1, "limit": 50 }));
    assert!(stats["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    let file = bundles
        .env
        .write("resources.json", r#"{"pids":{"limit":60}}"#);
    bundles
        .runtime(["update", "-r", file.to_str().unwrap(), id])
        .ok();
    let stats: Value =
        serde_json::from_str(&bundles.runtime(["events", "--stats", id]).ok()).unwrap();
    assert_eq!(stats["data"]["pids"]["limit"], 60);
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 67_108_864);
    let bad = bundles
        .env
        .write("bad.json", r#"{"memory":{"limit":"much"}}"#);
    let said = bundles
        .runtime(["update", "-r", bad.to_str().unwrap(), id])
        .fails(1);
    assert!(said.contains("memory.limit"), "{said}");

    let mut events = bundles
        .command(["events", "--interval", "20ms", id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 8];
    events
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    bundles.runtime(["kill", id, "KILL"]).ok();
    assert!(
        events.wait().unwrap().success(),
        "events end with the container"
    );
}

#[test]
fn root_a_terminal_goes_to_the_one_who_shows_it() {
    let bundles = Bundles::running("tty; stty size; read line; echo got $line");
    bundles.edit(|document| {
        document["process"]["terminal"] = json!(true);
        document["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
    });
    let id = &bundles.id("one");
    let none = bundles.runtime(["create", id]).fails(1);
    assert!(none.contains("console socket"), "{none}");
    let (path, listener) = bundles.console();
    bundles
        .runtime(["create", "--console-socket", path.to_str().unwrap(), id])
        .ok();
    let (peer, _) = listener.accept().unwrap();
    let mut name = [0; 64];
    let mut message = gantry_sys::fd::receive(&peer, &mut name).unwrap();
    let mut terminal = fs::File::from(message.fds.pop().unwrap());
    bundles.runtime(["start", id]).ok();
    terminal.write_all(b"hello\n").unwrap();
    let mut text = String::new();
    // The end of a terminal is an error.
    drop(terminal.read_to_string(&mut text));
    for part in ["/dev/pts/0\r\n", "33 99\r\n", "got hello\r\n"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn root_descriptors_are_handed_over_and_no_others() {
    let bundles = Bundles::running("cat <&3; ls /proc/self/fd");
    let file = bundles.env.write("kept", "kept text\n");
    // A shell opens it: what the test process itself leaves open, other tests' commands inherit.
    let run = |count: &str| {
        let runtime = bundles.command(["run", "--preserve-fds", count, &bundles.id("run")]);
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "exec 3<\"$1\"; shift; exec \"$@\"", "sh"])
            .arg(&file)
            .arg(runtime.get_program())
            .args(runtime.get_args());
        shell.current_dir(bundles.bundle()).output().unwrap()
    };
    let output = run("1");
    let text = String::from_utf8(output.stdout).unwrap();
    // The fourth is that of `ls` itself.
    assert!(text.starts_with("kept text\n0\n1\n2\n3\n4\n"), "{text}");
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(!run("90").status.success(), "descriptors that are not open");
}

#[test]
fn root_failures_are_logged_for_the_caller() {
    let bundles = Bundles::running("true");
    let log = bundles.env.work().join("log.json");
    let log = log.to_str().unwrap();
    bundles.edit(|document| document["process"]["args"] = json!(["nothing-of-that-name"]));
    let said = bundles
        .runtime([
            "--log",
            log,
            "--log-format",
            "json",
            "create",
            &bundles.id("one"),
        ])
        .fails(1);
    assert!(
        said.contains("executable file not found in $PATH"),
        "{said}"
    );
    let line: Value = serde_json::from_str(fs::read_to_string(log).unwrap().trim()).unwrap();
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], json!(said.trim()));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn root_words_that_cannot_be_are_refused() {
    let bundles = Bundles::running("true");
    let cases: [(&[&str], &str); 9] = [
        (&["frobnicate"], "no command of an OCI runtime"),
        (&["create", "--frobnicate", "x"], "unknown flag"),
        (&["create"], "takes other arguments"),
        (&["create", "a/b"], "invalid container ID"),
        (&["create", "--bundle", "/nowhere", "x"], "/nowhere"),
        (
            &["--cgroup-manager", "x", "create", "x"],
            "neither cgroupfs nor systemd",
        ),
        (&["--log-format", "xml", "list"], "log-format"),
        (&["kill", "x", "NOSUCH"], "unknown signal"),
        (&["list", "--format", "xml"], "neither table nor json"),
    ];
    for (words, text) in cases {
        let said = bundles.runtime(words.iter().copied()).fails(1);
        assert!(said.contains(text), "{words:?}: {said}");
    }
}

#[test]
fn root_features_are_what_there_is() {
    let bundles = Bundles::new();
    let features: Value = serde_json::from_str(&bundles.runtime(["features"]).ok()).unwrap();
    assert_eq!(features["ociVersionMax"], "1.3.0");
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    assert!(
        features["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .contains(&json!("time"))
    );
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    assert_eq!(features["linux"]["cgroup"]["systemd"], true);
    let version = bundles.runtime(["--version"]).ok();
    assert!(version.contains("spec: 1.3.0"), "{version}");
    for command in ["create", "exec", "update"] {
        assert!(
            bundles
                .runtime([command, "--help"])
                .ok()
                .contains("Options:")
        );
    }
    assert!(bundles.runtime(["--help"]).ok().contains("checkpoint"));
}
