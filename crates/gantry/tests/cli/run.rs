//! `gantry run`: what goes in, what comes out, and with which exit code.

use std::io::{Read, Write};

use gantry_testkit::TestEnv;
use gantry_testkit::environment::wait_for;

use crate::busybox;

in_both_modes! {
    a_million_lines_arrive_with_their_last_byte,
    a_terminal_is_one,
    detach_keys_leave_it_running,
    environment_user_folder_and_host_name_arrive,
    init_reaps_and_passes_the_exit_code,
    isolation_is_in_place,
    output_streams_and_exit_codes_are_the_commands,
    signals_are_forwarded,
    standard_input_is_passed_and_closed,
    the_id_file_is_written_once,
    what_cannot_start_says_why_with_dockers_codes,
}

fn output_streams_and_exit_codes_are_the_commands(env: TestEnv) {
    let answer = env.gantry([
        "run",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 7",
    ]);
    assert_eq!(
        (answer.code, answer.stdout.as_str(), answer.stderr.as_str()),
        (7, "out\n", "err\n")
    );
    assert_eq!(env.gantry(["run", "--rm", "busybox", "true"]).ok(), "");
    // The first process of a namespace cannot kill itself; with --init the shell is the second.
    assert_eq!(
        env.gantry(["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"])
            .code,
        137
    );
    assert_eq!(env.gantry(["ps", "-aq"]).ok(), "");
}

fn what_cannot_start_says_why_with_dockers_codes(env: TestEnv) {
    let missing = env
        .gantry(["run", "--rm", "busybox", "nonesuch"])
        .fails(127);
    assert!(
        missing.contains("\"nonesuch\"") && missing.contains("not found"),
        "{missing}"
    );
    let folder = env.gantry(["run", "--rm", "busybox", "/etc"]).fails(126);
    assert!(folder.contains("/etc"), "{folder}");
    let flag = env.gantry(["run", "--frobnicate", "busybox"]).fails(125);
    assert!(flag.contains("--frobnicate"), "{flag}");
    let image = env
        .gantry(["run", "--pull", "never", "nonesuch"])
        .fails(125);
    assert!(image.contains("nonesuch"), "{image}");
    let user = env
        .gantry(["run", "--rm", "-u", "nonesuch", "busybox", "true"])
        .fails(125);
    assert!(user.contains("nonesuch"), "{user}");
    assert_eq!(
        env.gantry(["ps", "-aq"]).ok(),
        "",
        "a failed run --rm leaves no container"
    );
}

fn environment_user_folder_and_host_name_arrive(env: TestEnv) {
    let run = |args: &[&str]| {
        let mut all = vec!["run", "--rm"];
        all.extend(args);
        env.gantry(all).ok()
    };
    assert_eq!(
        run(&[
            "-e",
            "A=1",
            "-e",
            "B=x y",
            "busybox",
            "sh",
            "-c",
            "echo $A-$B"
        ]),
        "1-x y"
    );
    let file = env.write("vars", "# comment\nFROM_FILE=yes\n");
    let file = file.to_str().unwrap();
    assert_eq!(
        run(&["--env-file", file, "busybox", "sh", "-c", "echo $FROM_FILE"]),
        "yes"
    );
    assert_eq!(
        run(&["-u", "65534:1", "busybox", "id"]),
        "uid=65534(nobody) gid=1 groups=1"
    );
    assert_eq!(run(&["-u", "nobody", "busybox", "id", "-u"]), "65534");
    assert_eq!(run(&["-w", "/made/here", "busybox", "pwd"]), "/made/here");
    assert_eq!(run(&["--hostname", "web1", "busybox", "hostname"]), "web1");
    assert_eq!(
        run(&[
            "--hostname",
            "web1",
            "busybox",
            "grep",
            "-c",
            "web1",
            "/etc/hosts"
        ]),
        "1"
    );
    assert_eq!(run(&["--entrypoint", "echo", "busybox", "a", "b"]), "a b");
    assert_eq!(
        run(&["busybox", "sh", "-c", "echo $HOME $PATH"]),
        "/root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
}

fn standard_input_is_passed_and_closed(env: TestEnv) {
    let big = vec![b'x'; 3_000_000];
    let answer = env.gantry_with_input(["run", "--rm", "-i", "busybox", "wc", "-c"], &big);
    assert_eq!(answer.ok(), "3000000");
    assert_eq!(
        env.gantry_with_input(["run", "--rm", "busybox", "wc", "-c"], b"ignored")
            .ok(),
        "0"
    );
}

fn a_million_lines_arrive_with_their_last_byte(env: TestEnv) {
    let answer = env.gantry(["run", "--name", "many", "busybox", "seq", "1000000"]);
    let lines = answer.ok();
    assert_eq!(lines.lines().count(), 1_000_000);
    assert!(lines.ends_with("\n1000000"));
    let logged = env.gantry(["logs", "--tail", "2", "many"]).ok();
    assert_eq!(logged, "999999\n1000000");
}

fn isolation_is_in_place(env: TestEnv) {
    let sh = |flags: &[&str], script: &str| {
        let mut args = vec!["run", "--rm"];
        args.extend(flags);
        args.extend(["busybox", "sh", "-c", script]);
        env.gantry(args)
    };
    assert_eq!(sh(&[], "echo $$").ok(), "1");
    assert_eq!(sh(&[], "cat /proc/1/comm").ok(), "cat");
    assert_eq!(
        sh(&[], "grep CapEff /proc/self/status").ok(),
        "CapEff:\t00000000a80425fb"
    );
    assert_eq!(
        sh(&["--cap-drop", "ALL"], "grep CapEff /proc/self/status").ok(),
        "CapEff:\t0000000000000000"
    );
    assert_eq!(
        sh(
            &["--cap-drop=ALL", "--cap-add=CHOWN"],
            "grep CapEff /proc/self/status"
        )
        .ok(),
        "CapEff:\t0000000000000001"
    );
    assert_eq!(
        sh(&[], "grep Seccomp: /proc/self/status").ok(),
        "Seccomp:\t2"
    );
    assert_eq!(
        sh(
            &["--security-opt", "seccomp=unconfined"],
            "grep Seccomp: /proc/self/status"
        )
        .ok(),
        "Seccomp:\t0"
    );
    assert_eq!(
        sh(
            &["--security-opt", "no-new-privileges"],
            "grep NoNewPrivs /proc/self/status"
        )
        .ok(),
        "NoNewPrivs:\t1"
    );
    assert_ne!(sh(&[], "mount -t tmpfs x /mnt").code, 0);
    assert_ne!(sh(&[], "echo 1 > /proc/sys/kernel/domainname").code, 0);
    assert_eq!(sh(&[], "wc -c < /proc/timer_list").ok(), "0");
    assert_ne!(sh(&["--read-only"], "touch /x").code, 0);
    assert_eq!(
        sh(
            &["--read-only", "--tmpfs", "/run:size=64k"],
            "touch /run/x && df -k /run | awk 'END{print $2}'"
        )
        .ok(),
        "64"
    );
    assert_eq!(
        sh(&[], "ls /proc/self/fd | tr '\\n' ' '").ok().trim(),
        "0 1 2 3",
        "3 is ls's own"
    );
    assert_eq!(
        sh(
            &["--privileged"],
            "mkdir -p /mnt && mount -t tmpfs x /mnt && echo yes"
        )
        .ok(),
        "yes"
    );
    assert_eq!(
        sh(&["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn").ok(),
        "100\n200"
    );
    assert_eq!(
        sh(
            &["--sysctl", "net.ipv4.ip_unprivileged_port_start=80"],
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
        )
        .ok(),
        "80"
    );
    assert_eq!(
        sh(&[], "df -k /dev/shm | awk 'END{print $2}'").ok(),
        "65536"
    );
}

#[test]
fn root_limits_are_enforced() {
    let env = busybox();
    let memory = env.gantry([
        "run",
        "--name",
        "big",
        "--memory",
        "20m",
        "busybox",
        "sh",
        "-c",
        "tail /dev/zero",
    ]);
    assert_eq!(memory.code, 137, "{}", memory.stderr);
    assert_eq!(
        env.gantry(["inspect", "--format", "{{.State.OOMKilled}}", "big"])
            .ok(),
        "true"
    );
    let forks = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait";
    let pids = env.gantry([
        "run",
        "--rm",
        "--pids-limit",
        "6",
        "busybox",
        "sh",
        "-c",
        forks,
    ]);
    assert!(pids.stderr.contains("can't fork"), "{}", pids.stderr);
    env.gantry([
        "run", "-d", "--name", "cpu", "--cpus", "0.5", "busybox", "sleep", "100",
    ])
    .ok();
    let inspected = env
        .gantry(["inspect", "--format", "{{.HostConfig.NanoCpus}}", "cpu"])
        .ok();
    assert_eq!(inspected, "500000000");
}

fn init_reaps_and_passes_the_exit_code(env: TestEnv) {
    // An orphan that nobody reaps stays as a zombie.
    let script = "(sleep 0.01 & echo $! > /orphan); \
                  for i in $(seq 3000); do [ -e /proc/$(cat /orphan) ] || exit 3; sleep 0.02; done";
    let answer = env.gantry(["run", "--rm", "--init", "busybox", "sh", "-c", script]);
    assert_eq!(answer.code, 3, "{}", answer.stderr);
}

fn the_id_file_is_written_once(env: TestEnv) {
    let path = env.work().join("cid");
    let path = path.to_str().unwrap();
    env.gantry(["run", "-d", "--cidfile", path, "busybox", "true"])
        .ok();
    assert_eq!(std::fs::read_to_string(path).unwrap().len(), 64);
    let again = env
        .gantry(["run", "-d", "--cidfile", path, "busybox", "true"])
        .fails(125);
    assert!(again.contains(path), "{again}");
}

fn signals_are_forwarded(env: TestEnv) {
    let script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = env.spawn(["run", "--rm", "busybox", "sh", "-c", script]);
    let mut out = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    let kill = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(
        (rest.as_str(), child.wait().unwrap().code()),
        ("got\n", Some(9))
    );
}

fn a_terminal_is_one(env: TestEnv) {
    let script = "test -t 0 && test -t 1 && echo terminal; stty size";
    let mut command = env.at_terminal(&format!("run --rm -it busybox sh -c '{script}'"));
    let answer = gantry_testkit::environment::answer(&mut command);
    assert_eq!(answer.code, 0, "{}", answer.stdout);
    let shown = &answer.stdout;
    assert!(
        shown.contains("terminal\r\n") && shown.contains("33 101\r\n"),
        "{shown:?}"
    );
    let format = "{{.Actor.Attributes.height}} {{.Actor.Attributes.width}}";
    let sizes = env.gantry([
        "events",
        "--since",
        "0",
        "--until",
        "0s",
        "--filter",
        "event=resize",
        "--format",
        format,
    ]);
    // The client may tell it more than once.
    let sizes = sizes.ok();
    let same = sizes.lines().all(|size| size == "33 101");
    assert!(same && !sizes.is_empty(), "{sizes}");
    let no_terminal = env
        .gantry(["run", "--rm", "-it", "busybox", "true"])
        .fails(1);
    assert!(no_terminal.contains("not a terminal"), "{no_terminal}");
}

fn detach_keys_leave_it_running(env: TestEnv) {
    let mut child = env
        .at_terminal("run -it --name stays busybox sh")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the container runs", || {
        env.gantry(["ps", "-q", "--filter", "name=stays"])
            .stdout
            .trim()
            != ""
    });
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"echo $((6*7))\n").unwrap();
    stdin.flush().unwrap();
    wait_for("the shell answers", || {
        env.gantry(["logs", "stays"]).stdout.contains("42")
    });
    stdin.write_all(b"\x10\x11").unwrap();
    stdin.flush().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(
        env.gantry(["inspect", "-f", "{{.State.Running}}", "stays"])
            .ok(),
        "true"
    );
}

#[test]
fn root_an_inspection_tells_what_was_attached() {
    let env = busybox();
    let all: &[(&str, &[&str])] = &[
        ("false true true false", &["create", "busybox", "true"]),
        ("true true true true", &["create", "-i", "busybox", "true"]),
        (
            "false false true false",
            &["create", "-i", "-a", "stderr", "busybox", "true"],
        ),
        ("false false false false", &["run", "-d", "busybox", "true"]),
        (
            "false true false false",
            &["run", "-a", "stdout", "busybox", "true"],
        ),
    ];
    for (at, (want, words)) in all.iter().enumerate() {
        let name = format!("c{at}");
        let named = [&words[..1], &["--name", &name], &words[1..]].concat();
        env.gantry(named).ok();
        let of = "{{with .Config}}{{.AttachStdin}} {{.AttachStdout}} {{.AttachStderr}} {{.StdinOnce}}{{end}}";
        assert_eq!(
            env.gantry(["inspect", "-f", of, &name]).ok(),
            *want,
            "{words:?}"
        );
    }
}
