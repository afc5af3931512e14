//! Attacks through files of the host that a container's process might inherit.

use std::process::Command;

use gantry_testkit::environment::answer;

use super::{Hostile, image};

/// CVE-2024-21626: a working directory that is a descriptor of the host's leads out.
#[test]
fn root_cve_2024_21626_no_working_directory_outside() {
    let env = Hostile::new();
    env.write("marker", "host");
    let marker = env.work().join("marker");
    let marker = marker.to_str().unwrap();
    env.gantry(["run", "-d", "--name", "c1", "hostile", "sleep", "1000"])
        .ok();
    // Seen from a directory of the host's, this path exists.
    let look = format!("cat ./../../../../../../../../../..{marker} && echo ESCAPED; pwd");
    for fd in 0..16 {
        for folder in [
            format!("/proc/self/fd/{fd}"),
            format!("/proc/self/fd/{fd}/../.."),
        ] {
            let run = env.gantry(["run", "--rm", "-w", &folder, "hostile", "sh", "-c", &look]);
            assert!(!run.stdout.contains("ESCAPED"), "run -w {folder}");
            let exec = env.gantry(["exec", "-w", &folder, "c1", "sh", "-c", &look]);
            assert!(!exec.stdout.contains("ESCAPED"), "exec -w {folder}");
        }
    }
    for fd in [3, 7, 8, 9] {
        image(&env, "dir", &format!("WORKDIR /proc/self/fd/{fd}"));
        let run = env.gantry(["run", "--rm", "dir", "sh", "-c", &look]);
        assert!(!run.stdout.contains("ESCAPED"), "WORKDIR fd {fd}");
        let text = format!("FROM busybox\nWORKDIR /proc/self/fd/{fd}\nRUN {look}\n");
        env.write("run/Dockerfile", text);
        let built = env.gantry(["build", "--progress=plain", "--no-cache", "run"]);
        let said = built.stderr.lines().any(|line| line.ends_with(" ESCAPED"));
        assert!(!said, "{}", built.stderr);
    }
}

/// Nothing but the three standard streams is open in a container, whoever called, in its first
/// process, an init before it, or one that joins.
#[test]
fn root_no_descriptor_is_inherited() {
    let env = Hostile::new();
    // A shell leaves it open: from this process the commands of other tests would inherit it.
    let leaking = |args: &[&str]| {
        let command = env.command(args);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec 3</etc/shadow 9</etc/shadow; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs([("GANTRY_ROOT", env.root()), ("GANTRY_RUN", env.run_root())]);
        answer(&mut shell).ok()
    };
    for args in [
        ["run", "--rm", "hostile", "/attacker", "files"].as_slice(),
        &["run", "--rm", "--init", "hostile", "/attacker", "files"],
        &[
            "run",
            "--rm",
            "--privileged",
            "--init",
            "hostile",
            "/attacker",
            "files",
        ],
        &["run", "--rm", "-t", "hostile", "/attacker", "files"],
    ] {
        assert_eq!(leaking(args), "", "{args:?}");
    }
    leaking(&["run", "-d", "--name", "c1", "hostile", "sleep", "1000"]);
    assert_eq!(leaking(&["exec", "c1", "/attacker", "files"]), "");
    let privileged = ["exec", "--privileged", "-t", "c1", "/attacker", "files"];
    assert_eq!(leaking(&privileged), "");
}

/// CVE-2020-15257: with the host's network the abstract sockets of the host are in reach; none
/// of them leads to a supervisor.
#[test]
fn root_cve_2020_15257_no_abstract_socket_of_ours() {
    let env = Hostile::new();
    env.gantry(["run", "-d", "--name", "other", "hostile", "sleep", "1000"])
        .ok();
    let sockets = env
        .gantry([
            "run",
            "--rm",
            "--network",
            "host",
            "hostile",
            "cat",
            "/proc/net/unix",
        ])
        .ok();
    let ours = |line: &&str| line.contains('@') && line.contains("gantry");
    assert_eq!(sockets.lines().find(ours), None);
}
