//! Limits of resources, measured: what a container is not given it does not get.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gantry_testkit::TestEnv;
use gantry_testkit::environment::{answer, wait_for};

use crate::busybox;

in_both_modes! {
    shared_memory_has_its_size,
}

/// Whether this machine has cgroup version 2 alone.
fn unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A file of the container's cgroup as the container sees it, by its names in both versions.
fn file(v1: &str, v2: &str) -> String {
    format!("/sys/fs/cgroup/{}", if unified() { v2 } else { v1 })
}

/// Runs a shell line in a container with these flags.
fn run(env: &TestEnv, flags: &[&str], line: &str) -> gantry_testkit::environment::Answer {
    let mut args = vec!["run", "--rm"];
    args.extend(flags);
    args.extend(["busybox", "sh", "-c", line]);
    env.gantry(args)
}

#[test]
fn root_memory_is_limited_and_the_kill_recorded() {
    let env = busybox();
    let limits = ["-m", "32m", "--memory-swap", "32m"];
    let limit = file("memory/memory.limit_in_bytes", "memory.max");
    assert_eq!(run(&env, &limits, &format!("cat {limit}")).ok(), "33554432");
    let mut args = vec!["run", "--name", "greedy"];
    args.extend(limits);
    args.extend(["busybox", "tail", "/dev/zero"]);
    env.gantry(args).fails(137);
    let state = env
        .gantry([
            "inspect",
            "-f",
            "{{.State.OOMKilled}} {{.State.ExitCode}}",
            "greedy",
        ])
        .ok();
    assert_eq!(state, "true 137");
    let modest = run(&env, &limits, "head -c 1000000 /dev/zero | tail | wc -c");
    assert_eq!(modest.ok(), "1000000");
    assert_eq!(
        env.gantry([
            "run", "-d", "--name", "fine", "-m", "32m", "busybox", "true"
        ])
        .code,
        0
    );
    assert_eq!(env.gantry(["wait", "fine"]).ok(), "0");
    assert_eq!(
        env.gantry(["inspect", "-f", "{{.State.OOMKilled}}", "fine"])
            .ok(),
        "false"
    );
}

#[test]
fn root_swap_and_reservation_reach_the_kernel() {
    let env = busybox();
    let flags = [
        "-m",
        "32m",
        "--memory-swap",
        "48m",
        "--memory-reservation",
        "16m",
    ];
    let swap = file("memory/memory.memsw.limit_in_bytes", "memory.swap.max");
    let soft = file("memory/memory.soft_limit_in_bytes", "memory.low");
    let want = if unified() { "16777216" } else { "50331648" };
    let shown = run(&env, &flags, &format!("cat {swap} {soft}"));
    // A kernel that does not count swap says so, and the limit of memory holds.
    if shown.stderr.contains("does not support swap limit") {
        assert_eq!(run(&env, &flags, &format!("cat {soft}")).code, 0);
    } else {
        assert_eq!(shown.ok(), format!("{want}\n16777216"));
    }
    let swappiness = run(
        &env,
        &["--memory-swappiness", "7"],
        "cat /sys/fs/cgroup/memory/memory.swappiness 2>/dev/null",
    );
    if unified() {
        assert!(
            swappiness.stderr.contains("Memory swappiness discarded"),
            "{}",
            swappiness.stderr
        );
    } else {
        assert_eq!(swappiness.ok(), "7");
    }
}

#[test]
fn root_processor_time_is_throttled() {
    let env = busybox();
    env.gantry([
        "run",
        "-d",
        "--name",
        "busy",
        "--cpus",
        "0.05",
        "busybox",
        "sh",
        "-c",
        "while :; do :; done",
    ])
    .ok();
    // A share so small that it is what holds the loop back, however busy the machine is.
    wait_for("the loop to be throttled ten times", || {
        let text = crate::live::cgroup(&env, "busy", "cpu.stat", "cpu.stat");
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok());
        count.is_some_and(|count: u64| count >= 10)
    });
    env.gantry(["rm", "-f", "busy"]).ok();
}

#[test]
fn root_processors_are_chosen() {
    let env = busybox();
    let allowed = "grep Cpus_allowed_list /proc/self/status | cut -f2";
    assert_eq!(run(&env, &["--cpuset-cpus", "0"], allowed).ok(), "0");
    let mems = "grep Mems_allowed_list /proc/self/status | cut -f2";
    assert_eq!(run(&env, &["--cpuset-mems", "0"], mems).ok(), "0");
    let missing = run(&env, &["--cpuset-cpus", "4000"], "true").fails(125);
    assert!(
        missing.contains("Requested CPUs are not available - requested 4000"),
        "{missing}"
    );
    let shares = file("cpu/cpu.shares", "cpu.weight");
    let want = if unified() { "20" } else { "512" };
    assert_eq!(
        run(&env, &["-c", "512"], &format!("cat {shares}")).ok(),
        want
    );
}

#[test]
fn root_processes_are_counted() {
    let env = busybox();
    let many = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done; kill $(jobs -p); echo done";
    let answer = run(&env, &["--pids-limit", "5"], many);
    assert!(
        answer.stderr.contains("can't fork") && !answer.stdout.contains("done"),
        "{answer:?}"
    );
    assert_eq!(run(&env, &["--pids-limit", "-1"], many).ok(), "done");
}

#[test]
fn root_limits_of_processes_hold_or_are_refused() {
    let env = busybox();
    assert_eq!(
        run(
            &env,
            &["--ulimit", "nofile=64:128"],
            "ulimit -n; ulimit -Hn"
        )
        .ok(),
        "64\n128"
    );
    let written = run(
        &env,
        &["--ulimit", "fsize=4096"],
        "dd if=/dev/zero of=/f bs=1k count=100; stat -c %s /f",
    );
    assert!(written.stdout.ends_with("4096\n"), "{written:?}");
    let files = run(
        &env,
        &["--ulimit", "nofile=8"],
        "exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null",
    );
    assert_ne!(files.code, 0);
    // More than the kernel lets anybody have.
    let refused = run(&env, &["--ulimit", "nofile=2000000000"], "true").fails(125);
    assert!(refused.contains("nofile"), "{refused}");
}

fn shared_memory_has_its_size(env: TestEnv) {
    let fill = "dd if=/dev/zero of=/dev/shm/f bs=1k count=2048 2>&1; stat -c %s /dev/shm/f";
    let small = run(&env, &["--shm-size", "1m"], fill);
    assert!(
        small.stdout.contains("No space left") && small.stdout.ends_with("1048576\n"),
        "{small:?}"
    );
    assert!(
        run(&env, &["--shm-size", "4m"], fill)
            .ok()
            .ends_with("2097152")
    );
}

/// A loop device over a file of its own, let go in the end.
struct Loop {
    device: String,
}

impl Loop {
    fn new(env: &TestEnv) -> Self {
        let file = env.write("disk", vec![0; 16 << 20]);
        let device = answer(Command::new("losetup").args(["--show", "-f"]).arg(file)).ok();
        Self { device }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(answer(Command::new("losetup").args(["-d", &self.device])));
    }
}

#[test]
fn root_block_devices_are_throttled() {
    let env = busybox();
    let disk = Loop::new(&env);
    let device = disk.device.as_str();
    let read = format!("dd if={device} of=/dev/null bs=256k count=5 iflag=direct 2>/dev/null");
    let write = format!("dd if=/dev/zero of={device} bs=256k count=5 oflag=direct 2>/dev/null");
    let (one, small) = (format!("{device}:1mb"), format!("{device}:4"));
    for (flag, value, line) in [
        ("--device-read-bps", &one, &read),
        ("--device-write-bps", &one, &write),
        ("--device-read-iops", &small, &read),
        ("--device-write-iops", &small, &write),
    ] {
        let timed = |flags: &[&str]| {
            let mut all = vec!["--device", device];
            all.extend(flags);
            let start = Instant::now();
            run(&env, &all, line).ok();
            start.elapsed()
        };
        // More than a mebibyte at one a second; the first quarter second may come at once.
        let slow = timed(&[flag, value]);
        assert!(slow >= Duration::from_millis(700), "{flag}: {slow:?}");
        // A machine with much to do may be slow without it, too, but not again and again.
        wait_for("a quicker run without the limit", || timed(&[]) < slow);
    }
    let missing = run(&env, &["--device-read-bps", "/dev/nonesuch:1mb"], "true").fails(125);
    assert!(missing.contains("/dev/nonesuch"), "{missing}");
}

#[test]
fn root_what_the_kernel_cannot_limit_is_told() {
    let env = busybox();
    if !unified() && !Path::new("/sys/fs/cgroup/blkio/blkio.weight").exists() {
        let answer = run(&env, &["--blkio-weight", "300"], "true");
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert!(
            answer
                .stderr
                .contains("WARNING: Your kernel does not support Block I/O weight"),
            "{}",
            answer.stderr
        );
    }
    if unified() {
        let answer = run(&env, &["-m", "32m", "--oom-kill-disable"], "true");
        assert!(
            answer.stderr.contains("OomKillDisable discarded"),
            "{}",
            answer.stderr
        );
        let refused = run(&env, &["--cpu-rt-runtime", "1000"], "true").fails(125);
        assert!(refused.contains("real-time"), "{refused}");
    }
}

#[test]
fn root_device_rules_open_what_they_name() {
    let env = busybox();
    // What makes loop devices: no container has it.
    let node = "mknod /own c 10 237 && head -c 0 /own";
    let closed = run(&env, &[], node);
    assert_ne!(closed.code, 0, "{closed:?}");
    run(&env, &["--device-cgroup-rule", "c 10:237 rmw"], node).ok();
    run(&env, &["--device-cgroup-rule", "c 10:* r"], node).ok();
    assert_ne!(
        run(&env, &["--device-cgroup-rule", "b 10:237 r"], node).code,
        0
    );
    assert_ne!(
        run(&env, &["--device-cgroup-rule", "c 10:237 w"], node).code,
        0
    );
    let wrong = run(&env, &["--device-cgroup-rule", "c 1:11"], "true").fails(125);
    assert!(
        wrong.contains("invalid device cgroup format 'c 1:11'"),
        "{wrong}"
    );
    // One access of a device that is added is one access.
    let read_only = run(
        &env,
        &["--device", "/dev/loop-control:/dev/hole:r"],
        "echo > /dev/hole",
    );
    assert_ne!(read_only.code, 0, "{read_only:?}");
    run(
        &env,
        &["--device", "/dev/loop-control:/dev/hole:r"],
        "head -c 0 /dev/hole",
    )
    .ok();
}
