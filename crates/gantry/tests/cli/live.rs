//! Limits that change while a container runs, and what it uses.

use gantry_testkit::TestEnv;
use gantry_testkit::environment::wait_for;

use crate::busybox;

in_both_modes! {
    top_takes_the_options_of_ps,
    inspect_has_the_fields_that_clients_look_for,
}

/// The value of a file of the container's cgroup, seen from the host.
pub(crate) fn cgroup(env: &TestEnv, name: &str, v1: &str, v2: &str) -> String {
    let id = env.gantry(["inspect", "-f", "{{.Id}}", name]).ok();
    let note = env
        .run_root()
        .join("containers")
        .join(id)
        .join("cgroup.json");
    let note: serde_json::Value = serde_json::from_slice(&std::fs::read(note).unwrap()).unwrap();
    let read = |directory: &serde_json::Value| {
        let folder = std::path::Path::new(directory["path"].as_str().unwrap());
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
        text(v1).or_else(|| text(v2))
    };
    let found = note["directories"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(read);
    found.expect("a controller").trim().to_owned()
}

#[test]
fn root_limits_change_while_it_runs_and_stay() {
    let env = busybox();
    env.gantry([
        "run",
        "-d",
        "--name",
        "live",
        "-m",
        "64m",
        "--pids-limit",
        "50",
        "--restart",
        "on-failure:2",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 1' USR1; echo ready; while :; do sleep 0.1; done",
    ])
    .ok();
    let refused = env.gantry(["update", "live"]).fails(1);
    assert!(refused.contains("one or more flags"), "{refused}");
    let refused = env.gantry(["update", "-m", "200m", "live"]).fails(1);
    assert!(refused.contains("memoryswap limit"), "{refused}");
    let said = env
        .gantry([
            "update",
            "-m",
            "200m",
            "--memory-swap",
            "300m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "-1",
            "--cpu-shares",
            "512",
            "--restart",
            "always",
            "live",
        ])
        .ok();
    assert_eq!(said, "live");
    let memory = || cgroup(&env, "live", "memory.limit_in_bytes", "memory.max");
    assert_eq!(memory(), (200 << 20).to_string());
    assert_eq!(cgroup(&env, "live", "pids.max", "pids.max"), "max");
    assert!(
        ["50000", "50000 100000"]
            .contains(&cgroup(&env, "live", "cpu.cfs_quota_us", "cpu.max").as_str())
    );
    let shown = env
        .gantry([
            "inspect", "-f",
            "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}}",
            "live",
        ])
        .ok();
    assert_eq!(
        shown,
        format!("{} {} 500000000 always", 200 << 20, 300 << 20)
    );
    let conflict = env
        .gantry(["update", "--cpu-quota", "5000", "live"])
        .fails(1);
    assert!(
        conflict.contains("NanoCPUs has already been set"),
        "{conflict}"
    );
    wait_for("the trap", || {
        env.gantry(["logs", "live"]).stdout.contains("ready")
    });
    // A restart by policy has the new limits, and so has one by a person.
    env.gantry(["kill", "-s", "USR1", "live"]).ok();
    wait_for("the restart", || {
        env.gantry([
            "inspect",
            "-f",
            "{{.RestartCount}} {{.State.Running}}",
            "live",
        ])
        .ok()
            == "1 true"
    });
    assert_eq!(memory(), (200 << 20).to_string());
    env.gantry(["restart", "-t", "0", "live"]).ok();
    assert_eq!(memory(), (200 << 20).to_string());
    // One that the kernel refuses changes nothing.
    let refused = env.gantry(["update", "--cpuset-cpus", "4000", "live"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(memory(), (200 << 20).to_string());
    assert_eq!(
        env.gantry(["inspect", "-f", "{{.HostConfig.CpusetCpus}}", "live"])
            .ok(),
        ""
    );
    env.gantry(["rm", "-f", "live"]).ok();
}

#[test]
fn root_a_stopped_container_is_updated_and_starts_with_it() {
    let env = busybox();
    env.gantry(["create", "--name", "still", "busybox", "sleep", "100"])
        .ok();
    env.gantry(["update", "--pids-limit", "33", "still"]).ok();
    env.gantry(["start", "still"]).ok();
    assert_eq!(cgroup(&env, "still", "pids.max", "pids.max"), "33");
    let missing = env.gantry(["update", "--pids-limit", "33", "nobody", "still"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (1, "still\n"));
}

#[test]
fn root_what_a_container_uses_is_shown() {
    let env = busybox();
    env.gantry([
        "run",
        "-d",
        "--name",
        "busy",
        "-m",
        "64m",
        "busybox",
        "sh",
        "-c",
        "while :; do :; done",
    ])
    .ok();
    env.gantry(["run", "-d", "--name", "idle", "busybox", "sleep", "100"])
        .ok();
    env.gantry(["create", "--name", "made", "busybox"]).ok();
    let rows = env
        .gantry([
            "stats",
            "--no-stream",
            "--format",
            "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}",
        ])
        .ok();
    let of = |name: &str| {
        let row = rows
            .lines()
            .find(|row| row.starts_with(name))
            .unwrap_or_else(|| panic!("{rows}"));
        row.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let percent = |name: &str| of(name)[1].trim_end_matches('%').parse::<f64>().unwrap();
    assert!((0.1..=150.0).contains(&percent("busy")), "{rows}");
    assert!(percent("idle") < percent("busy"), "{rows}");
    assert_eq!(of("busy")[4], "64MiB");
    assert_eq!(of("idle")[5], "1");
    assert!(!rows.contains("made"), "{rows}");
    let table = env.gantry(["stats", "--no-stream", "--all", "made"]).ok();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0],
        "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O   BLOCK I/O   PIDS"
    );
    assert!(
        lines[1]
            .ends_with("made      0.00%     0B / 0B             0.00%     0B / 0B   0B / 0B     0"),
        "{table}"
    );
    let json = env.json([
        "stats",
        "--no-stream",
        "--no-trunc",
        "--format",
        "json",
        "idle",
    ]);
    assert_eq!(json["Container"], "idle");
    assert_eq!(json["ID"].as_str().unwrap().len(), 64);
    let missing = env.gantry(["stats", "nobody"]).fails(1);
    assert!(missing.contains("No such container"), "{missing}");
}

fn top_takes_the_options_of_ps(env: TestEnv) {
    env.gantry(["run", "-d", "--name", "top", "busybox", "sleep", "1000"])
        .ok();
    let lines = |options: &[&str]| {
        let text = env.gantry([&["top", "top"], options].concat()).ok();
        text.lines()
            .map(|line| {
                line.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    let own = lines(&[]);
    assert_eq!(own[0][..3], ["UID", "PID", "PPID"]);
    let asked = lines(&["-o", "pid,args"]);
    assert_eq!(asked[0], ["PID", "COMMAND"]);
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1], [&own[1][1], "sleep", "1000"]);
    assert_eq!(lines(&["aux"])[0][0], "USER");
    let refused = env.gantry(["top", "top", "-o", "args"]).fails(1);
    assert!(refused.contains("Couldn't find PID field"), "{refused}");
    let refused = env.gantry(["top", "top", "--no-such-option"]).fails(1);
    assert!(refused.contains("ps: error"), "{refused}");
}

fn inspect_has_the_fields_that_clients_look_for(env: TestEnv) {
    env.gantry([
        "run",
        "-d",
        "--name",
        "full",
        "--cap-add",
        "net_admin",
        "busybox",
        "sh",
        "-c",
        "mkdir /d; head -c 1000 /dev/zero >/d/f; exec sleep 1000",
    ])
    .ok();
    wait_for("the file", || {
        env.gantry(["inspect", "-s", "-f", "{{.SizeRw}}", "full"])
            .ok()
            == "1000"
    });
    let document = &env.json(["inspect", "-s", "full"])[0];
    let has = |path: &str| {
        document
            .pointer(path)
            .unwrap_or_else(|| panic!("{path} is not there"))
    };
    for path in [
        "/HostConfig/ConsoleSize",
        "/HostConfig/Links",
        "/HostConfig/UsernsMode",
        "/HostConfig/DeviceRequests",
        "/HostConfig/IOMaximumIOps",
        "/HostConfig/CpuCount",
        "/NetworkSettings/SecondaryIPAddresses",
        "/NetworkSettings/GlobalIPv6PrefixLen",
        "/NetworkSettings/Networks/bridge/IPAMConfig",
        "/NetworkSettings/Networks/bridge/DNSNames",
    ] {
        has(path);
    }
    assert_eq!(has("/HostConfig/CapAdd/0"), "CAP_NET_ADMIN");
    assert!(has("/SizeRootFs").as_u64().unwrap() > 1000);
    let network = env.json(["network", "inspect", "bridge"]);
    assert_eq!(
        has("/NetworkSettings/Networks/bridge/NetworkID"),
        &network[0]["Id"]
    );
    // The merged root can be looked at from the host.
    let merged = has("/GraphDriver/Data/MergedDir").as_str().unwrap();
    assert_eq!(
        std::fs::metadata(format!("{merged}/d/f")).unwrap().len(),
        1000
    );
    let row = env.gantry(["ps", "-s", "--format", "{{.Size}}"]).ok();
    assert!(row.starts_with("1kB (virtual "), "{row}");
    env.gantry(["rm", "-f", "full"]).ok();
}
