//! Attacks on the processes that start a container or join it.

use super::{Hostile, begun, content, harmless, image};

/// CVE-2019-5736: a container writes over the runtime's program while that joins it. Here the
/// programs of the image lead back to the one that executes them, too.
#[test]
fn root_cve_2019_5736_the_program_cannot_be_written_over() {
    let env = Hostile::new();
    let before = content(&env.binary);
    image(
        &env,
        "trap",
        "RUN printf '#!/proc/self/exe\\n' > /trap && chmod 755 /trap",
    );
    env.gantry([
        "run", "-d", "--name", "c1", "--init", "trap", "sleep", "1000",
    ])
    .ok();
    let attack = begun(
        &env,
        &["exec", "-i", "c1", "/attacker", "overwrite", "/bin/busybox"],
    );
    for _ in 0..20 {
        // What these come to does not matter, only that they join the container.
        env.gantry(["exec", "c1", "/trap"]);
        env.gantry(["exec", "-u", "nobody", "c1", "true"]);
        env.gantry(["exec", "c1", "/proc/self/exe", "--version"]);
    }
    env.gantry([
        "run",
        "--rm",
        "--entrypoint",
        "/proc/self/exe",
        "trap",
        "version",
    ]);
    env.gantry(["run", "--rm", "trap", "/trap"]);
    harmless(attack);
    assert_eq!(content(&env.binary), before);
}

/// The same by a container that is given every privilege over processes.
#[test]
fn root_cve_2019_5736_not_with_ptrace_either() {
    let env = Hostile::new();
    let before = content(&env.binary);
    env.gantry([
        "run",
        "-d",
        "--name",
        "c1",
        "--init",
        "--cap-add",
        "SYS_PTRACE",
        "hostile",
        "sleep",
        "1000",
    ])
    .ok();
    let attack = begun(
        &env,
        &["exec", "-i", "c1", "/attacker", "overwrite", "/bin/busybox"],
    );
    for _ in 0..20 {
        env.gantry(["exec", "c1", "true"]);
    }
    harmless(attack);
    assert_eq!(content(&env.binary), before);
}

/// A process that joins can be traced by nobody before it has become what it was to be
/// (CVE-2016-9962).
#[test]
fn root_cve_2016_9962_a_joining_process_cannot_be_traced() {
    let env = Hostile::new();
    env.gantry([
        "run",
        "-d",
        "--name",
        "c1",
        "--cap-add",
        "SYS_PTRACE",
        "hostile",
        "sleep",
        "1000",
    ])
    .ok();
    let attack = begun(&env, &["exec", "-i", "c1", "/attacker", "trace"]);
    let mut ended = 0;
    for _ in 0..30 {
        ended += i32::from(env.gantry(["exec", "c1", "true"]).code == 0);
    }
    harmless(attack);
    assert!(ended > 0, "nothing joined the container");
}

/// CVE-2022-24769 and CVE-2022-29162: no inheritable capabilities, for root or anybody else, at
/// the start or in exec, and no bounding set wider than the container's.
#[test]
fn root_cve_2022_24769_and_29162_nothing_is_inheritable() {
    let env = Hostile::new();
    env.gantry(["run", "-d", "--name", "c1", "hostile", "sleep", "1000"])
        .ok();
    let status = ["cat", "/proc/self/status"];
    for user in ["0", "65534"] {
        let run = [["run", "--rm", "-u", user, "hostile"].as_slice(), &status].concat();
        let exec = [["exec", "-u", user, "c1"].as_slice(), &status].concat();
        for args in [run, exec] {
            let text = env.gantry(args.clone()).ok();
            let set = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name)).unwrap();
                line.split_whitespace().nth(1).unwrap().to_owned()
            };
            assert_eq!(set("CapInh:"), "0000000000000000", "{args:?}");
            assert_eq!(set("CapAmb:"), "0000000000000000", "{args:?}");
            assert_eq!(set("CapBnd:"), "00000000a80425fb", "{args:?}");
            let effective = if user == "0" {
                "00000000a80425fb"
            } else {
                "0000000000000000"
            };
            assert_eq!(set("CapEff:"), effective, "{args:?}");
        }
    }
}

/// Processes of the host and of other containers cannot be seen or signalled.
#[test]
fn root_other_processes_are_out_of_reach() {
    let env = Hostile::new();
    env.gantry(["run", "-d", "--name", "other", "hostile", "sleep", "1000"])
        .ok();
    let supervisor = env
        .gantry(["inspect", "-f", "{{.State.Pid}}", "other"])
        .ok();
    let test = std::process::id().to_string();
    for pid in [supervisor.as_str(), test.as_str()] {
        let text = env
            .gantry(["run", "--rm", "hostile", "/attacker", "signal", pid])
            .ok();
        assert_eq!(text, "");
    }
    // All that can be killed is what is in the container.
    env.gantry(["run", "--rm", "hostile", "sh", "-c", "kill -9 -1"]);
    assert_eq!(
        env.gantry(["inspect", "-f", "{{.State.Running}}", "other"])
            .ok(),
        "true"
    );
}
