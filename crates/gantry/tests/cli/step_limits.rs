//! Limits and confinement of `RUN` steps.

use std::fs;
use std::path::{Path, PathBuf};

use gantry_testkit::TestEnv;
use gantry_testkit::environment::{Answer, wait_for};

use crate::{busybox, users_busybox};

in_both_modes! {
    memory_to_share_and_limits_of_processes_hold_and_count,
    security_options_confine_and_count,
    what_cannot_be_is_refused,
}

/// Builds the lines over busybox.
fn build(env: &TestEnv, lines: &str, flags: &[&str]) -> Answer {
    env.write("ctx/Dockerfile", format!("FROM busybox\n{lines}\n"));
    let mut args = vec!["build", "--progress=plain", "--network=none"];
    args.extend(flags);
    args.push("ctx");
    env.gantry(args)
}

/// Builds them, and says whether the last step was in the cache.
fn is_cached(env: &TestEnv, lines: &str, flags: &[&str]) -> bool {
    let answer = build(env, lines, flags);
    assert_eq!(answer.code, 0, "{flags:?}: {}", answer.stderr);
    answer.stderr.contains("CACHED")
}

fn memory_to_share_and_limits_of_processes_hold_and_count(env: TestEnv) {
    let lines = "RUN df -k /dev/shm | tail -1 | awk '{print $2}' > /shown && \
                 ulimit -n >> /shown && ulimit -Hn >> /shown && ulimit -c >> /shown";
    let flags = [
        "--shm-size=1m",
        "--ulimit=nofile=64:128",
        "--ulimit",
        "core=0",
    ];
    let mut to_folder = flags.to_vec();
    to_folder.extend(["--output", "out"]);
    assert!(!is_cached(&env, lines, &to_folder));
    let shown = fs::read_to_string(env.work().join("out/shown")).unwrap();
    assert_eq!(shown, "1024\n64\n128\n0\n");
    // The same in another order, one of them said twice.
    let same = [
        "--ulimit=core=7",
        "--ulimit=core=0",
        "--ulimit=nofile=64:128",
        "--shm-size=1024k",
    ];
    assert!(is_cached(&env, lines, &same));
    assert!(!is_cached(&env, lines, &flags[..2]));
    assert!(!is_cached(&env, lines, &flags[1..]));
    assert!(!is_cached(&env, lines, &[]));
    assert!(is_cached(
        &env,
        lines,
        &["--shm-size=64m", "--compress", "--isolation=default"]
    ));
    let refused = build(&env, "RUN true", &["--ulimit=nofile=2000000000"]).fails(1);
    assert!(refused.contains("nofile"), "{refused}");
}

fn security_options_confine_and_count(env: TestEnv) {
    let profile = |calls: &str| {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":[{calls}],"action":"SCMP_ACT_ERRNO"}}]}}"#
        );
        env.write("profile.json", text)
    };
    profile(r#""chmod","fchmod","fchmodat","fchmodat2""#);
    let lines = "RUN grep -q 'NoNewPrivs:.1' /proc/self/status && touch /x && ! chmod 700 /x";
    let flags = [
        "--security-opt=seccomp=profile.json",
        "--security-opt=no-new-privileges",
    ];
    assert!(!is_cached(&env, lines, &flags));
    assert!(is_cached(&env, lines, &flags));
    let failed = build(&env, lines, &[]).fails(1);
    assert!(failed.contains("exit code: 1"), "{failed}");
    // It is what stands in the file that counts.
    profile(r#""mkdir","chmod","fchmod","fchmodat","fchmodat2""#);
    assert!(!is_cached(&env, lines, &flags));
    let open = "RUN grep -q 'Seccomp:.0' /proc/self/status && ! grep -q /proc/kcore /proc/mounts";
    let flags = [
        "--security-opt=seccomp=unconfined",
        "--security-opt=systempaths=unconfined",
    ];
    assert!(!is_cached(&env, open, &flags));
    assert!(is_cached(&env, open, &flags));
    build(&env, open, &[]).fails(1);
}

fn what_cannot_be_is_refused(env: TestEnv) {
    for (flag, code, said) in [
        (
            "--ulimit=nofile=2:1",
            125,
            "soft limit must be less than or equal to hard limit",
        ),
        (
            "--ulimit=nonsense=1",
            125,
            "invalid ulimit type: \"nonsense\"",
        ),
        ("--shm-size=x", 125, "invalid size: \"x\""),
        ("--isolation=hyperv", 1, "invalid isolation (hyperv)"),
        ("--memory=1k", 1, "Minimum memory limit allowed is 6MB"),
        (
            "--memory-swap=1g",
            1,
            "You should always set the Memory limit",
        ),
        (
            "--cpu-period=5",
            1,
            "CPU cfs period can not be less than 1ms",
        ),
        ("--cpuset-cpus=x", 1, "Invalid value x for cpuset cpus"),
        ("--security-opt=x=y", 1, "invalid --security-opt: \"x=y\""),
        ("--security-opt=seccomp=/nonesuch", 1, "/nonesuch"),
        ("--security-opt=label=type:x", 1, "label"),
        (
            "--cgroup-parent=a.slice",
            1,
            "a systemd slice as --cgroup-parent is not supported",
        ),
        ("--cgroup-parent=/a/../b", 1, "invalid cgroup parent"),
    ] {
        let refused = build(&env, "RUN true", &[flag]);
        assert_eq!(refused.code, code, "{flag}: {refused:?}");
        assert!(refused.stderr.contains(said), "{flag}: {}", refused.stderr);
    }
}

#[test]
fn limits_of_steps_need_a_delegated_cgroup() {
    let env = users_busybox();
    for flag in ["--memory=64m", "--cpu-quota=50000", "--cpuset-cpus=0"] {
        let refused = build(&env, "RUN true", &[flag]).fails(1);
        let named = refused.contains("cannot limit") && refused.contains("delegated");
        assert!(named, "{flag}: {refused}");
    }
}

#[test]
fn root_steps_are_limited_by_cgroups() {
    let env = busybox();
    let folder = "/sys/fs/cgroup";
    let lines = format!(
        "RUN cat {folder}/memory.max {folder}/memory/memory.limit_in_bytes 2>/dev/null > /shown; \
         cat {folder}/cpu.weight {folder}/cpu/cpu.shares 2>/dev/null >> /shown; \
         grep Cpus_allowed_list /proc/self/status >> /shown"
    );
    let flags = [
        "-m",
        "32m",
        "--memory-swap=32m",
        "-c=512",
        "--cpuset-cpus=0",
        "--cpuset-mems=0",
    ];
    let mut to_folder = flags.to_vec();
    to_folder.extend(["--cpu-period=100000", "--cpu-quota=90000", "--output=out"]);
    assert!(!is_cached(&env, &lines, &to_folder));
    let shown = fs::read_to_string(env.work().join("out/shown")).unwrap();
    let shown: Vec<&str> = shown.lines().collect();
    // The first version has shares, the second weights.
    assert_eq!(shown[0], "33554432");
    assert!(["512", "20"].contains(&shown[1]), "{shown:?}");
    assert_eq!(shown[2], "Cpus_allowed_list:\t0");
    // What a step can use says nothing of what it makes.
    assert!(is_cached(&env, &lines, &[]));
    let greedy = build(&env, "RUN tail /dev/zero", &flags).fails(1);
    let named = greedy.contains("out of memory: it needed more than --memory 32m");
    assert!(named && greedy.contains("exit code: 137"), "{greedy}");
}

/// The control groups of that name in all hierarchies.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(top)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let all = hierarchies
        .chain([top.to_owned()])
        .map(|path| path.join(name));
    all.filter(|path| path.is_dir()).collect()
}

#[test]
fn root_steps_are_below_the_cgroup_that_is_named() {
    let env = busybox();
    env.write("ctx/Dockerfile", "FROM busybox\nRUN sleep 1000\n");
    let name = format!("steps-of-{}", std::process::id());
    let mut builder = env.spawn(["build", "--network=none", "--cgroup-parent", &name, "ctx"]);
    let steps = || -> usize {
        let inside = |path: PathBuf| fs::read_dir(path).unwrap().flatten().collect::<Vec<_>>();
        let entries = cgroups(&name).into_iter().flat_map(inside);
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("build-"))
            .count()
    };
    wait_for("the cgroup of the step", || steps() > 0);
    builder.kill().unwrap();
    builder.wait().unwrap();
    wait_for("the cgroup to go with its step", || steps() == 0);
    // Several names may lead to one hierarchy.
    for path in cgroups(&name) {
        drop(fs::remove_dir(path));
    }
    assert!(cgroups(&name).is_empty());
}
