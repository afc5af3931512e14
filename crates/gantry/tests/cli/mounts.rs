//! `--mount` in all its forms, and what containers have of each other's mounts.

use gantry_testkit::TestEnv;

use crate::busybox;

in_both_modes! {
    a_part_of_a_volume_is_looked_up_within_it,
    images_are_mounted_read_only,
    mounts_of_other_containers_are_taken_over,
    namespaces_of_other_containers_are_joined,
}

/// Runs a shell line in a container with these flags.
fn run(env: &TestEnv, flags: &[&str], line: &str) -> gantry_testkit::environment::Answer {
    let mut args = vec!["run", "--rm"];
    args.extend(flags);
    args.extend(["busybox", "sh", "-c", line]);
    env.gantry(args)
}

fn a_part_of_a_volume_is_looked_up_within_it(env: TestEnv) {
    let fill = "mkdir /v/sub && echo inside > /v/sub/file && ln -s /sub /v/link && ln -s ../../../../../etc /v/out";
    run(&env, &["-v", "data:/v"], fill).ok();
    let part = |path: &str| {
        let mount = format!("src=data,dst=/m,volume-subpath={path}");
        run(&env, &["--mount", &mount], "cat /m/file /m 2>/dev/null")
    };
    assert_eq!(part("sub").stdout, "inside\n");
    assert_eq!(part("sub/file").stdout, "inside\n");
    // A link that a container has made leads nowhere but into the volume.
    assert_eq!(part("link").stdout, "inside\n");
    let out = part("out").fails(125);
    assert!(out.contains("/out"), "{out}");
    part("nonesuch").fails(125);
    let dots = run(
        &env,
        &["--mount", "src=data,dst=/m,volume-subpath=../x"],
        "true",
    )
    .fails(125);
    assert!(
        dots.contains("subpath must be a relative path within the volume"),
        "{dots}"
    );
}

#[test]
fn root_volumes_take_the_options_of_a_mount() {
    let env = busybox();
    env.write("srv/file", "of the host");
    let device = env.work().join("srv");
    let device = format!("device={}", device.to_str().unwrap());
    env.gantry([
        "volume",
        "create",
        "-o",
        "type=none",
        "-o",
        "o=bind",
        "-o",
        &device,
        "-o",
        "o=bind",
        "bound",
    ])
    .ok();
    assert_eq!(
        run(&env, &["-v", "bound:/m"], "cat /m/file").ok(),
        "of the host"
    );
    let inline = format!(
        "src=inline,dst=/m,volume-opt=type=none,volume-opt=o=bind,volume-opt={device},volume-label=a=b"
    );
    assert_eq!(
        run(&env, &["--mount", &inline], "cat /m/file").ok(),
        "of the host"
    );
    let inspected = env.json(["volume", "inspect", "inline"]);
    assert_eq!(inspected[0]["Labels"]["a"], "b");
    assert_eq!(inspected[0]["Options"]["o"], "bind");
    // Content of the host is not the volume's: it stays.
    env.gantry(["volume", "rm", "bound", "inline"]).ok();
    assert!(env.work().join("srv/file").exists());
    let unknown = run(&env, &["--mount", "dst=/m,volume-opt=foo=bar"], "true").fails(125);
    assert!(unknown.contains("invalid option: \"foo\""), "{unknown}");
    let driver = run(
        &env,
        &["-v", "x1:/m", "--volume-driver", "nonesuch"],
        "true",
    )
    .fails(125);
    assert!(driver.contains("plugin \"nonesuch\" not found"), "{driver}");
    run(&env, &["-v", "x1:/m", "--volume-driver", "local"], "true").ok();
}

fn images_are_mounted_read_only(env: TestEnv) {
    let own = run(
        &env,
        &["--mount", "type=image,src=busybox,dst=/m"],
        "test -x /m/bin/sh && ! touch /m/x 2>/dev/null && echo fine",
    );
    assert_eq!(own.ok(), "fine");
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN mkdir /data && echo lower > /data/a && echo gone > /data/b\n\
         RUN rm /data/b && echo upper > /data/c && ln -s /etc/passwd /data/link\n",
    );
    let context = env.work().join("ctx");
    env.gantry(["build", "-q", "-t", "layered", context.to_str().unwrap()])
        .ok();
    let layered = "type=image,src=layered,dst=/m,image-subpath=data";
    let shown = run(
        &env,
        &["--mount", layered],
        "cd /m; ls; cat a c; ! touch /m/x 2>/dev/null",
    );
    assert_eq!(shown.ok(), "a\nc\nlink\nlower\nupper");
    let file = "type=image,src=layered,dst=/file,image-subpath=data/c";
    assert_eq!(run(&env, &["--mount", file], "cat /file").ok(), "upper");
    let missing = run(&env, &["--mount", "type=image,src=nonesuch,dst=/m"], "true").fails(125);
    assert!(missing.contains("No such image: nonesuch"), "{missing}");
    // The files stay as long as a container has them.
    env.gantry([
        "run", "-d", "--name", "user", "--mount", layered, "busybox", "sleep", "100",
    ])
    .ok();
    env.gantry(["rmi", "layered"]).fails(1);
    let inspected = env.json(["inspect", "user"]);
    assert_eq!(inspected[0]["Mounts"][0]["Type"], "image");
    env.gantry(["rm", "-f", "user"]).ok();
    env.gantry(["rmi", "layered"]).ok();
}

fn mounts_of_other_containers_are_taken_over(env: TestEnv) {
    env.write("data/file", "bound");
    let bind = format!("{}:/a:ro", env.work().join("data").to_str().unwrap());
    env.gantry([
        "create", "--name", "donor", "-v", &bind, "-v", "named:/b", "-v", "/c", "--tmpfs", "/d",
        "busybox", "true",
    ])
    .ok();
    let line = "cat /a/file; touch /b/x /c/x; touch /a/x 2>/dev/null || echo locked; test -e /d || echo none";
    assert_eq!(
        run(&env, &["--volumes-from", "donor"], line).ok(),
        "boundlocked\nnone"
    );
    let locked = "touch /b/y 2>/dev/null || echo b; touch /c/y 2>/dev/null || echo c; ls /b /c";
    assert_eq!(
        run(&env, &["--volumes-from", "donor:ro"], locked).ok(),
        "b\nc\n/b:\nx\n\n/c:\nx"
    );
    // What is said outright wins over what is taken over.
    assert_eq!(
        run(&env, &["--volumes-from", "donor", "--tmpfs", "/b"], "ls /b").ok(),
        ""
    );
    let wrong = run(&env, &["--volumes-from", "donor:zz"], "true").fails(125);
    assert!(wrong.contains("invalid mode: zz"), "{wrong}");
    let missing = run(&env, &["--volumes-from", "nonesuch"], "true").fails(125);
    assert!(missing.contains("No such container: nonesuch"), "{missing}");
    // The anonymous volume goes with the last of its containers, whichever that is.
    env.gantry([
        "run",
        "-d",
        "--name",
        "heir",
        "--volumes-from",
        "donor",
        "busybox",
        "sleep",
        "100",
    ])
    .ok();
    env.gantry(["rm", "-v", "donor"]).ok();
    assert_eq!(env.gantry(["exec", "heir", "ls", "/c"]).ok(), "x");
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok().lines().count(), 2);
    env.gantry(["rm", "-fv", "heir"]).ok();
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "named");
}

fn namespaces_of_other_containers_are_joined(env: TestEnv) {
    env.gantry([
        "run",
        "-d",
        "--name",
        "donor",
        "--ipc",
        "shareable",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    assert_eq!(
        run(
            &env,
            &["--pid", "container:donor"],
            "cat /proc/1/cmdline | tr -d '\\0'"
        )
        .ok(),
        "sleep1000"
    );
    run(
        &env,
        &["--ipc", "container:donor"],
        "echo shared > /dev/shm/note",
    )
    .ok();
    assert_eq!(
        env.gantry(["exec", "donor", "cat", "/dev/shm/note"]).ok(),
        "shared"
    );
    let same = |kind: &str, flag: &str| {
        let line = format!("readlink /proc/self/ns/{kind}");
        let own = env.gantry(["exec", "donor", "sh", "-c", &line]).ok();
        assert_eq!(run(&env, &[flag, "container:donor"], &line).ok(), own);
    };
    same("pid", "--pid");
    same("ipc", "--ipc");
    let id = env.gantry(["inspect", "-f", "{{.Id}}", "donor"]).ok();
    env.gantry([
        "create",
        "--name",
        "guest",
        "--pid",
        "container:donor",
        "busybox",
        "true",
    ])
    .ok();
    assert_eq!(
        env.gantry(["inspect", "-f", "{{.HostConfig.PidMode}}", "guest"])
            .ok(),
        format!("container:{id}")
    );
    env.gantry(["rm", "-f", "donor"]).ok();
    env.gantry(["run", "-d", "--name", "closed", "busybox", "sleep", "1000"])
        .ok();
    let closed = run(&env, &["--ipc", "container:closed"], "true").fails(125);
    assert!(closed.contains("non-shareable IPC"), "{closed}");
    env.gantry(["stop", "-t", "0", "closed"]).ok();
    let stopped = run(&env, &["--pid", "container:closed"], "true").fails(125);
    assert!(
        stopped.contains("failed to join PID namespace") && stopped.contains("is not running"),
        "{stopped}"
    );
    for flag in ["--pid", "--ipc"] {
        let missing = run(&env, &[flag, "container:nonesuch"], "true").fails(125);
        assert!(missing.contains("No such container: nonesuch"), "{missing}");
    }
}

#[test]
fn root_a_donor_cannot_lead_its_guests_out_by_its_shared_memory() {
    let env = busybox();
    // It has put a link to the host's files where its /dev/shm was.
    env.gantry([
        "run",
        "-d",
        "--name",
        "donor",
        "--ipc",
        "shareable",
        "--cap-add",
        "SYS_ADMIN",
        "--security-opt",
        "seccomp=unconfined",
        "busybox",
        "sh",
        "-c",
        "umount /dev/shm && rmdir /dev/shm && ln -s /etc /dev/shm && touch /done && sleep 1000",
    ])
    .ok();
    gantry_testkit::environment::wait_for("the donor to have done its worst", || {
        env.gantry(["exec", "donor", "test", "-e", "/done"]).code == 0
    });
    let guest = run(
        &env,
        &["--ipc", "container:donor"],
        "cat /dev/shm/hostname /dev/shm/shadow",
    );
    let host = std::fs::read_to_string("/etc/shadow").unwrap();
    assert!(
        !guest.stdout.contains(host.lines().next().unwrap()),
        "{guest:?}"
    );
}
