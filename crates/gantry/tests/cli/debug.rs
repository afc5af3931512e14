//! Tools in containers that have none.

use gantry_testkit::TestEnv;
use gantry_testkit::environment::wait_for;

in_both_modes! {
    tools_reach_a_container_and_stay_unseen,
}

fn tools_reach_a_container_and_stay_unseen(env: TestEnv) {
    let script = "echo file > /own; hostname > /name; echo ready; exec sleep 1000";
    env.gantry([
        "run",
        "-d",
        "--name",
        "ct",
        "--hostname",
        "inner",
        "busybox",
        "sh",
        "-c",
        script,
    ])
    .ok();
    wait_for("the file", || {
        env.gantry(["logs", "ct"]).stdout.contains("ready")
    });
    // Its files, processes, network and host name.
    let look = |command: &str| env.gantry(["debug", "-c", command, "ct"]).ok();
    assert_eq!(
        look("cat /container/own; hostname; pwd"),
        "file\ninner\n/container"
    );
    assert!(look("ps").contains("sleep 1000"));
    assert_eq!(look("cat /proc/1/comm"), "sleep");
    let address = |text: String| {
        text.lines()
            .find(|l| l.contains("inet "))
            .map(str::to_owned)
    };
    assert_eq!(
        address(look("ip addr show eth0")),
        address(
            env.gantry(["exec", "ct", "ip", "addr", "show", "eth0"])
                .ok()
        )
    );
    // What is changed in the container stays, what is changed among the tools goes.
    look("echo new > /container/made; echo gone > /tool");
    assert_eq!(env.gantry(["exec", "ct", "cat", "/made"]).ok(), "new");
    assert_eq!(look("ls -d /tool 2>/dev/null || echo none"), "none");
    assert_eq!(env.gantry(["debug", "ct", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(env.gantry(["debug", "ct", "nonsense"]).code, 127);
    assert_eq!(
        env.gantry(["debug", "-u", "5:6", "ct", "id", "-u"]).ok(),
        "5"
    );
    assert_eq!(
        env.gantry(["debug", "--image", "busybox", "ct", "cat", "/container/own"])
            .ok(),
        "file"
    );
    env.gantry(["debug", "--image", "nonesuch", "ct"]).fails(1);
    // The container sees no tools, also through the process that uses them.
    let mut child = env
        .command(["debug", "ct", "sleep", "999"])
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = "ps | grep 'sleep 999' | grep -v grep | awk '{print $1}'";
    wait_for("the tool", || {
        !env.gantry(["exec", "ct", "sh", "-c", pid])
            .stdout
            .trim()
            .is_empty()
    });
    let spy = format!("ls /proc/$({pid})/root/ 2>&1; cat /proc/mounts; ls /");
    let seen = env.gantry(["exec", "ct", "sh", "-c", &spy]).stdout;
    assert!(seen.contains("ermission denied"), "{seen}");
    // The tools' own mounts, and where they see the container.
    let shown = |line: &str| line.contains("/debug/") || line.contains(" /container");
    assert!(
        !seen.lines().any(|line| shown(line) || line == "container"),
        "{seen}"
    );
    env.gantry(["exec", "ct", "sh", "-c", &format!("kill -9 $({pid})")])
        .ok();
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert_eq!(
        std::fs::read_dir(env.run_root().join("debug"))
            .unwrap()
            .count(),
        0
    );
    env.gantry(["stop", "-t", "0", "ct"]).ok();
    let error = env.gantry(["debug", "ct"]).fails(1);
    assert!(error.contains("is not running"), "{error}");
}
