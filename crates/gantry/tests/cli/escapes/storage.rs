//! Attacks through what lies on the host's disks.

use std::os::unix::fs::symlink;
use std::process::Command;

use gantry_testkit::environment::answer;

use super::{Hostile, image};

/// CVE-2021-41091: another user of the host enters the folders of containers and runs programs
/// with setuid bits out of them.
#[test]
fn root_cve_2021_41091_other_users_do_not_enter_the_store() {
    let env = Hostile::new();
    image(
        &env,
        "set",
        "RUN cp /bin/busybox /root-shell && chmod 4755 /root-shell",
    );
    env.gantry([
        "run",
        "-d",
        "--name",
        "c1",
        "-v",
        "data:/data",
        "set",
        "sh",
        "-c",
        "cp /bin/busybox /mine && chmod 4755 /mine && cp /mine /data/ && sleep 1000",
    ])
    .ok();
    // The folder of the test itself may be entered, so that nothing but the store's own holds.
    let open = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(env.work().parent().unwrap());
    let found = answer(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "find"])
            .args([env.root(), env.run_root()])
            .args(["-type", "f"]),
    );
    assert_eq!(found.stdout, "");
    assert!(found.stderr.contains("denied"), "{found:?}");
}

/// A volume over a link of the image's is filled from inside the image, never from the host
/// (CVE-2018-15664's kin in the copy-up of volumes).
#[test]
fn root_the_copy_up_of_a_volume_stays_inside() {
    let env = Hostile::new();
    env.write("secret/key", "of the host");
    let secret = env.work().join("secret");
    std::fs::create_dir_all(env.work().join("links")).unwrap();
    symlink(&secret, env.work().join("links/absolute")).unwrap();
    let up = format!("{}{}", "../".repeat(20), &secret.to_str().unwrap()[1..]);
    symlink(up, env.work().join("links/relative")).unwrap();
    image(&env, "links", "COPY links/ /");
    for link in ["absolute", "relative"] {
        let answer = env.gantry([
            "run",
            "--rm",
            "-v",
            &format!("{link}:/{link}"),
            "links",
            "sh",
            "-c",
            &format!("cat /{link}/key /{link}{}/key", secret.display()),
        ]);
        assert!(!answer.stdout.contains("of the host"), "{answer:?}");
    }
}

/// CVE-2022-1708: what a command in a container writes fills the memory of the process that
/// keeps it. Here nobody reads for a while, too.
#[test]
fn root_cve_2022_1708_a_flood_does_not_fill_memory() {
    let env = Hostile::new();
    env.gantry([
        "run",
        "-d",
        "--name",
        "c1",
        "--health-cmd",
        "head -c 300000000 /dev/zero",
        "--health-interval",
        "1s",
        "hostile",
        "sleep",
        "1000",
    ])
    .ok();
    let mut slow = env.spawn([
        "exec",
        "c1",
        "sh",
        "-c",
        "yes 'a line of sixty characters or so, written over and over' | head -c 500000000",
    ]);
    let fast = env.gantry([
        "exec",
        "c1",
        "sh",
        "-c",
        "yes | head -c 50000000 | tail -c 3",
    ]);
    assert_eq!(fast.ok(), "\ny");
    let pid = std::fs::read_to_string(
        env.root()
            .join("containers")
            .join(env.gantry(["inspect", "-f", "{{.Id}}", "c1"]).ok())
            .join("state.json"),
    )
    .unwrap();
    let state: serde_json::Value = serde_json::from_str(&pid).unwrap();
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", state["supervisor_pid"])).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kilobytes: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes < 40_000, "the supervisor grew to {kilobytes} kB");
    slow.kill().unwrap();
    slow.wait().unwrap();
    let health = env
        .gantry(["inspect", "-f", "{{json .State.Health.Log}}", "c1"])
        .ok();
    assert!(health.len() < 100_000, "{}", health.len());
}
