//! The process: codes, signals, users, capabilities, limits.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use gantry_model::{Fault, FaultKind};
use gantry_runtime::{ExitStatus, StartError, Step};
use serde_json::json;

use crate::Test;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    ("root_exit_codes", root_exit_codes),
    ("root_signals", root_signals),
    (
        "root_commands_that_cannot_be_started",
        root_commands_that_cannot_be_started,
    ),
    ("root_user_groups_and_umask", root_user_groups_and_umask),
    ("root_home_from_passwd", root_home_from_passwd),
    ("root_capabilities", root_capabilities),
    (
        "root_ambient_capabilities_of_a_user",
        root_ambient_capabilities_of_a_user,
    ),
    ("root_no_new_privileges", root_no_new_privileges),
    ("root_resource_limits", root_resource_limits),
    ("root_working_directory", root_working_directory),
    ("root_oom_score", root_oom_score),
    ("root_no_descriptor_leaks", root_no_descriptor_leaks),
    (
        "root_init_reaps_forwards_and_ends",
        root_init_reaps_forwards_and_ends,
    ),
    (
        "root_init_reports_a_missing_command",
        root_init_reports_a_missing_command,
    ),
    ("root_signal_state_is_clean", root_signal_state_is_clean),
    (
        "root_failed_preparation_leaves_nothing",
        root_failed_preparation_leaves_nothing,
    ),
    (
        "root_dropped_container_leaves_nothing",
        root_dropped_container_leaves_nothing,
    ),
];

fn root_exit_codes() {
    let world = World::new();
    for code in [0, 1, 42, 255] {
        let outcome = world.run(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(outcome.status, ExitStatus::Exited { code });
    }
}

fn root_signals() {
    let world = World::new();
    let live = world.start(&["sleep", "1000"]).expect("started");
    live.running.kill(9).expect("sent");
    let outcome = live.finish();
    assert_eq!(outcome.code(), 137);
    // The first process of a PID namespace has no default actions.
    let live = world
        .start(&[
            "sh",
            "-c",
            "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done",
        ])
        .expect("started");
    live.expect("ready");
    live.running.kill(15).expect("sent");
    assert_eq!(live.finish().code(), 7);
}

fn root_commands_that_cannot_be_started() {
    let world = World::new();
    let bin = world.lower().join("bin");
    fs::write(bin.join("plain"), "#!/bin/sh\n").expect("written");
    fs::write(bin.join("nothing"), "just text\n").expect("written");
    fs::write(bin.join("nowhere"), "#!/bin/bash\r\necho\n").expect("written");
    symlink("/gone", bin.join("dangling")).expect("a link");
    for name in ["nothing", "nowhere"] {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bin.join(name), mode).expect("executable");
    }
    let cases = [
        (
            "missing",
            127,
            "exec: \"missing\": executable file not found in $PATH",
        ),
        ("dangling", 127, "executable file not found in $PATH"),
        (
            "/missing",
            127,
            "exec: \"/missing\": stat /missing: no such file or directory",
        ),
        ("/bin/plain", 126, "exec: \"/bin/plain\": permission denied"),
        ("plain", 127, "executable file not found in $PATH"),
        ("/etc", 126, "exec: \"/etc\": is a directory"),
        ("nothing", 126, "exec format error"),
        ("nowhere", 127, "it needs the interpreter \"/bin/bash\\r\""),
        ("/bin/sh/x", 126, "not a directory"),
    ];
    for (command, code, text) in cases {
        let error = world.fails(&[command]);
        assert_eq!(error.exit_code(), code, "{command}: {error}");
        assert!(error.to_string().contains(text), "{command}: {error}");
    }
}

fn root_user_groups_and_umask() {
    let mut world = World::new();
    world.document["process"]["user"] =
        json!({ "uid": 1000, "gid": 1001, "umask": 0o027, "additionalGids": [5, 6] });
    let output = world.sh("id -u; id -g; id -G; umask; echo x > /tmp/x || true; pwd");
    assert!(
        output.starts_with("1000\n1001\n1001 5 6\n0027\n"),
        "{output}"
    );
    // The pipe it writes to is its own.
    world.sh("echo through > /dev/stdout; echo again >> /dev/stderr");
}

fn root_home_from_passwd() {
    let mut world = World::new();
    fs::write(
        world.lower().join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nme:x:77:77::/home/me:\n",
    )
    .expect("written");
    assert_eq!(world.sh("echo $HOME"), "/root\n");
    world.document["process"]["user"] = json!({ "uid": 77, "gid": 77 });
    assert_eq!(world.sh("echo $HOME"), "/home/me\n");
    world.document["process"]["user"] = json!({ "uid": 78, "gid": 77 });
    assert_eq!(world.sh("echo $HOME"), "/\n");
    world.document["process"]["env"] = json!(["PATH=/bin", "HOME=/set"]);
    assert_eq!(world.sh("echo $HOME"), "/set\n");
    // A hostile list of users must not make the start hang or fail.
    let passwd = world.lower().join("etc/passwd");
    fs::remove_file(&passwd).expect("removed");
    symlink("/proc/self/fd/0", &passwd).expect("a link");
    world.document["process"]["env"] = json!(["PATH=/bin"]);
    assert_eq!(world.sh("echo $HOME"), "/\n");
}

fn root_capabilities() {
    let world = World::new();
    let output = world.sh("grep Cap /proc/self/status");
    // Docker's fourteen.
    let expected = "00000000a80425fb";
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(output.contains(&format!("{set}:\t{expected}")), "{output}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert!(
            output.contains(&format!("{set}:\t0000000000000000")),
            "{output}"
        );
    }
}

fn root_ambient_capabilities_of_a_user() {
    let mut world = World::new();
    world.document["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    let output = world.sh("grep Cap /proc/self/status");
    assert!(output.contains("CapEff:\t0000000000000000"), "{output}");
    let one = json!(["CAP_NET_BIND_SERVICE"]);
    for set in [
        "bounding",
        "effective",
        "permitted",
        "inheritable",
        "ambient",
    ] {
        world.document["process"]["capabilities"][set] = one.clone();
    }
    let output = world.sh("grep Cap /proc/self/status");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            output.contains(&format!("{set}:\t0000000000000400")),
            "{output}"
        );
    }
}

fn root_no_new_privileges() {
    let mut world = World::new();
    assert!(world.sh("cat /proc/self/status").contains("NoNewPrivs:\t0"));
    world.document["process"]["noNewPrivileges"] = json!(true);
    let output = world.sh("cat /proc/self/status");
    assert!(output.contains("NoNewPrivs:\t1"), "{output}");
    assert!(output.contains("Seccomp:\t2"), "{output}");
}

fn root_resource_limits() {
    let mut world = World::new();
    world.document["process"]["rlimits"] = json!([
        { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
        { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
    ]);
    assert_eq!(
        world.sh("ulimit -n; ulimit -Hn; ulimit -c"),
        "100\n200\n0\n"
    );
    // Raising a hard limit needs a privilege; whether this machine has it or not, the lenient way
    // starts.
    world.document["process"]["rlimits"] =
        json!([{ "type": "RLIMIT_NOFILE", "soft": 900_000_000, "hard": 900_000_000 }]);
    world.sh("true");
    world.strict_rlimits = true;
    match world.try_run(&["true"]) {
        Ok(_) => {}
        Err(StartError::Child {
            step: Step::Rlimit,
            errno: 1,
            ..
        }) => {}
        Err(error) => panic!("{error}"),
    }
}

fn root_working_directory() {
    let mut world = World::new();
    world.document["process"]["cwd"] = json!("/made/on/demand");
    assert_eq!(world.sh("pwd"), "/made/on/demand\n");
    assert!(world.upper().join("made/on/demand").is_dir());
    world.document["process"]["cwd"] = json!("/bin/sh");
    let error = world.fails(&["true"]);
    assert_eq!(
        error.to_string(),
        "cannot change the working directory to /bin/sh in the container: not a directory"
    );
    assert_eq!(error.kind(), FaultKind::CannotInvoke);
    // A descriptor of the host's as working directory (CVE-2024-21626). The one of the container's
    // own root is as good as any other path to it.
    for number in 3..12 {
        world.document["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        match world.try_run(&["pwd"]) {
            Err(StartError::Child {
                step: Step::Chdir, ..
            }) => {}
            Ok(outcome) if outcome.output == "/\n" => {}
            other => panic!("{other:?}"),
        }
    }
}

fn root_oom_score() {
    let mut world = World::new();
    world.document["process"]["oomScoreAdj"] = json!(500);
    assert_eq!(world.sh("cat /proc/self/oom_score_adj"), "500\n");
    // Not every root may lower it; then it stays.
    world.document["process"]["oomScoreAdj"] = json!(-500);
    world.sh("true");
}

fn root_no_descriptor_leaks() {
    let mut world = World::new();
    let _held = fs::File::open("/").expect("opened");
    let script = "ls -l /proc/self/fd /proc/1/fd";
    for init in [false, true] {
        world.init = init;
        let output = world.sh(script);
        assert!(!output.contains("/lower"), "{output}");
        for line in output.lines().filter(|line| line.contains(" -> ")) {
            let target = line.rsplit(" -> ").next().expect("a target");
            let known = target.starts_with("pipe:")
                || target == "/dev/null"
                || target.starts_with("/proc/")
                || (init && target.starts_with("anon_inode:"));
            assert!(known, "{line}\nof\n{output}");
        }
    }
}

fn root_init_reaps_forwards_and_ends() {
    let mut world = World::new();
    world.init = true;
    // An orphan that nobody reaps stays as a zombie.
    let output = world.sh(
        "echo $$; (sleep 0 & echo $! > /orphan); for i in $(seq 6000); do \
         [ -e /proc/$(cat /orphan) ] || { echo reaped; break; }; sleep 0.01; done",
    );
    assert_eq!(output, "2\nreaped\n");
    assert_eq!(world.run(&["sh", "-c", "exit 9"]).code(), 9);
    let outcome = world.run(&["sh", "-c", "kill -TERM $$"]);
    assert_eq!(outcome.code(), 143);
    let live = world
        .start(&[
            "sh",
            "-c",
            "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done",
        ])
        .expect("started");
    live.expect("ready");
    live.running.kill(15).expect("sent");
    assert_eq!(live.finish().code(), 7);
}

fn root_init_reports_a_missing_command() {
    let mut world = World::new();
    world.init = true;
    let error = world.fails(&["missing"]);
    assert_eq!(error.exit_code(), 127, "{error}");
}

fn root_signal_state_is_clean() {
    let world = World::new();
    // This very process ignores SIGPIPE, as Rust programs do, and blocks one more here.
    let _blocked = gantry_sys::signal::Blocked::new(gantry_sys::signal::SignalSet::ALL);
    // Without a shell, which has its own ideas.
    let output = world.run(&["grep", "Sig", "/proc/self/status"]).output;
    for set in ["SigBlk", "SigIgn"] {
        assert!(
            output.contains(&format!("{set}:\t0000000000000000")),
            "{output}"
        );
    }
}

fn cgroup_count() -> usize {
    let layout = gantry_sys::cgroup::Layout::detect().expect("cgroups");
    let path = format!("/gantry-runtime-test-{}", std::process::id());
    let parent = gantry_sys::cgroup::Cgroup::at(&layout, path.as_ref()).expect("a path");
    parent
        .directories()
        .iter()
        .filter_map(|directory| fs::read_dir(&directory.path).ok())
        .flatten()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
        .count()
}

fn root_failed_preparation_leaves_nothing() {
    let world = World::new();
    let spec = serde_json::from_value({
        let mut document = world.document.clone();
        document["process"]["args"] = json!(["true"]);
        document
    })
    .expect("a document");
    let null = fs::File::open("/dev/null").expect("null");
    let null = std::os::fd::AsFd::as_fd(&null);
    let launch = gantry_runtime::Launch {
        id: "test",
        spec: &spec,
        rootfs: gantry_runtime::RootFs::Directory(world.lower().to_owned()),
        stdio: gantry_runtime::Stdio::Files {
            stdin: null,
            stdout: null,
            stderr: null,
        },
        seccomp: gantry_runtime::SeccompChoice::Document,
        init: false,
        die_with_parent: true,
        strict_rlimits: false,
        oci: gantry_runtime::OciOptions::default(),
    };
    let error = gantry_runtime::create(&launch, |_| Err(std::io::Error::other("no network today")))
        .expect_err("it was refused");
    assert_eq!(error.to_string(), "no network today");
    assert_eq!(cgroup_count(), 0);
    assert_no_children();
}

fn root_dropped_container_leaves_nothing() {
    let world = World::new();
    let null = fs::File::open("/dev/null").expect("null");
    let null = std::os::fd::AsFd::as_fd(&null);
    let stdio = gantry_runtime::Stdio::Files {
        stdin: null,
        stdout: null,
        stderr: null,
    };
    let created = world.create(&["true"], stdio).expect("created");
    assert_ne!(cgroup_count(), 0);
    drop(created);
    assert_eq!(cgroup_count(), 0);
    assert_no_children();
}

fn assert_no_children() {
    let children = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
    assert_eq!(children.err(), Some(rustix::io::Errno::CHILD));
}
