//! Binds, volumes and memory file systems.

use gantry_testkit::TestEnv;

in_both_modes! {
    anonymous_volumes_go_with_their_container,
    binds_show_the_hosts_files,
    volumes_keep_and_copy_up,
}

fn binds_show_the_hosts_files(env: TestEnv) {
    env.write("data/file", "from the host");
    let folder = env.work().join("data");
    let folder = folder.to_str().unwrap();
    let bind = format!("{folder}:/data");
    assert_eq!(
        env.gantry(["run", "--rm", "-v", &bind, "busybox", "cat", "/data/file"])
            .ok(),
        "from the host"
    );
    env.gantry([
        "run",
        "--rm",
        "-v",
        &bind,
        "busybox",
        "sh",
        "-c",
        "echo new > /data/new",
    ])
    .ok();
    assert_eq!(
        std::fs::read_to_string(format!("{folder}/new")).unwrap(),
        "new\n"
    );
    let read_only = format!("{folder}:/data:ro");
    assert_ne!(
        env.gantry([
            "run", "--rm", "-v", &read_only, "busybox", "touch", "/data/x"
        ])
        .code,
        0
    );
    assert_eq!(
        env.gantry([
            "run",
            "--rm",
            "-v",
            "./data:/data",
            "busybox",
            "cat",
            "/data/file"
        ])
        .ok(),
        "from the host"
    );
    let file = format!("type=bind,src={folder}/file,dst=/etc/one");
    assert_eq!(
        env.gantry([
            "run", "--rm", "--mount", &file, "busybox", "cat", "/etc/one"
        ])
        .ok(),
        "from the host"
    );
    let missing = env
        .gantry([
            "run",
            "--rm",
            "--mount",
            "type=bind,src=/nonesuch,dst=/x",
            "busybox",
        ])
        .fails(125);
    assert!(missing.contains("/nonesuch"), "{missing}");
    let made = format!("{folder}/made:/x");
    env.gantry(["run", "--rm", "-v", &made, "busybox", "true"])
        .ok();
    assert!(std::path::Path::new(&format!("{folder}/made")).is_dir());
}

fn volumes_keep_and_copy_up(env: TestEnv) {
    env.write("ctx/Dockerfile", "FROM busybox\nRUN mkdir /seed && echo first > /seed/file && chown 7:8 /seed/file && chmod 600 /seed/file\n");
    let context = env.work().join("ctx");
    env.gantry(["build", "-q", "-t", "seeded", context.to_str().unwrap()])
        .ok();
    let shown = env
        .gantry([
            "run",
            "--rm",
            "-v",
            "data:/seed",
            "seeded",
            "sh",
            "-c",
            "cat /seed/file; stat -c '%u:%g %a' /seed/file",
        ])
        .ok();
    assert_eq!(shown, "first\n7:8 600");
    env.gantry([
        "run",
        "--rm",
        "-v",
        "data:/seed",
        "seeded",
        "sh",
        "-c",
        "echo second > /seed/file",
    ])
    .ok();
    assert_eq!(
        env.gantry([
            "run",
            "--rm",
            "-v",
            "data:/other",
            "busybox",
            "cat",
            "/other/file"
        ])
        .ok(),
        "second"
    );
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "data");
    env.gantry([
        "run", "-d", "--name", "user", "-v", "data:/d", "busybox", "sleep", "100",
    ])
    .ok();
    let used = env.gantry(["volume", "rm", "data"]).fails(1);
    assert!(used.contains("in use"), "{used}");
    env.gantry(["rm", "-f", "user"]).ok();
    assert_eq!(env.gantry(["volume", "rm", "data"]).ok(), "data");
}

fn anonymous_volumes_go_with_their_container(env: TestEnv) {
    env.gantry([
        "run",
        "--rm",
        "-v",
        "/scratch",
        "busybox",
        "touch",
        "/scratch/x",
    ])
    .ok();
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "");
    env.gantry([
        "run",
        "--name",
        "kept",
        "-v",
        "/scratch",
        "busybox",
        "touch",
        "/scratch/x",
    ])
    .ok();
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok().len(), 64);
    env.gantry(["rm", "-v", "kept"]).ok();
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "");
}
