//! Tools in containers that have none.

use std::io::{BufRead, BufReader};

use gantry_testkit::environment::wait_for;
use gantry_testkit::{Caller, TestEnv};

in_both_modes! {
    tools_reach_a_container_and_stay_unseen,
    tools_see_the_files_of_a_container_that_does_not_run,
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
}

fn tools_see_the_files_of_a_container_that_does_not_run(env: TestEnv) {
    // An image without any program.
    env.write(
        "ctx/Dockerfile",
        "FROM scratch\nCOPY file /data/file\nENV OWN=1\n",
    );
    env.write("ctx/file", "content");
    let context = env.work().join("ctx");
    env.gantry(["build", "-q", "-t", "bare", context.to_str().unwrap()])
        .ok();
    env.gantry([
        "create",
        "--name",
        "bare",
        "--hostname",
        "inner",
        "bare",
        "none",
    ])
    .ok();
    let script = "cat /container/data/file; echo; hostname; echo $OWN; pwd; id -u; \
                  touch /container/x 2>/dev/null || echo read-only; touch /tool && echo here";
    let told = env.gantry(["debug", "-c", script, "bare"]).ok();
    assert_eq!(told, "content\ninner\n1\n/container\n0\nread-only\nhere");
    // One that has written, whose image has a user's name; the exit code is the command's.
    let write = "rm /etc/group; echo own > /own";
    env.gantry(["run", "--name", "done", "busybox", "sh", "-c", write])
        .ok();
    let look = "cat /container/own; ls /container/etc/group; id -u; exit 7";
    let seen = env.gantry(["debug", "-u", "nobody", "done", "sh", "-c", look]);
    assert_eq!((seen.code, seen.stdout.as_str()), (7, "own\n65534\n"));
    assert_eq!(env.gantry(["debug", "done", "nonsense"]).code, 127);
    // The tools of the configuration's image, or of the one that is named.
    env.configure("[debug]\nimage = \"nonesuch\"\n");
    let error = env.gantry(["debug", "done"]).fails(1);
    assert!(error.contains("nonesuch"), "{error}");
    let named = [
        "debug",
        "--image",
        "busybox",
        "done",
        "cat",
        "/container/own",
    ];
    assert_eq!(env.gantry(named).ok(), "own");
    env.configure("[debug]\nimage = \"busybox\"\n");
    // Nobody starts it meanwhile, and nothing is left.
    let mut looking = env
        .command(["debug", "done", "sh", "-c", "echo looking; cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(looking.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "looking\n");
    // Whoever wants it waits for some seconds, in both modes: one is enough.
    if env.caller() == Caller::Root {
        env.gantry(["rm", "done"]).fails(1);
    }
    drop(looking.stdin.take());
    assert_eq!(looking.wait().unwrap().code(), Some(0));
    wait_for("the tools' container to go", || {
        env.gantry(["ps", "-a", "--format", "{{.Names}}"]).ok() == "done\nbare"
    });
    env.gantry(["rm", "done", "bare"]).ok();
}
