//! More processes in a running container.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;

use gantry_runtime::{ExecTarget, StartError, Stdio, exec};
use gantry_sys::fd;
use serde_json::json;

use crate::Test;
use crate::world::{Live, World};

pub(crate) const TESTS: &[Test] = &[
    ("root_exec_joins_everything", root_exec_joins_everything),
    (
        "root_exec_has_its_own_attributes",
        root_exec_has_its_own_attributes,
    ),
    ("root_exec_failures", root_exec_failures),
    (
        "root_exec_in_a_user_namespace",
        root_exec_in_a_user_namespace,
    ),
    ("root_exec_after_the_end", root_exec_after_the_end),
];

fn try_exec(world: &World, live: &Live, command: &[&str]) -> Result<(i32, String), StartError> {
    let null = fs::File::open("/dev/null").expect("null");
    let (reader, writer) = fd::pipe().expect("a pipe");
    let target = ExecTarget {
        pidfd: live.running.pidfd(),
        pid: live.running.pid(),
        cgroup: live.running.cgroup(),
        seccomp: live.seccomp.as_ref(),
        die_with_parent: true,
        preserve_fds: 0,
        listening: None,
    };
    let stdio = Stdio::Files {
        stdin: null.as_fd(),
        stdout: writer.as_fd(),
        stderr: writer.as_fd(),
    };
    let running = exec(&target, &world.process(command), stdio)?;
    drop(writer);
    let mut output = String::new();
    fs::File::from(reader)
        .read_to_string(&mut output)
        .expect("text");
    Ok((running.wait().expect("reaped").code(), output))
}

fn exec_sh(world: &World, live: &Live, script: &str) -> String {
    let (code, output) =
        try_exec(world, live, &["sh", "-ec", script]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(code, 0, "{output}");
    output
}

fn root_exec_joins_everything() {
    let world = World::new();
    let live = world.start(&["sleep", "1000"]).expect("started");
    let output = exec_sh(
        &world,
        &live,
        "for kind in mnt net uts pid ipc cgroup user; do readlink /proc/self/ns/$kind; done; hostname; \
         ps -o comm | grep -c sleep; cat /proc/self/cgroup /proc/1/cgroup; grep -E 'Cap|Seccomp:' /proc/self/status",
    );
    let pid = live.running.pid();
    for (kind, line) in ["mnt", "net", "uts", "pid", "ipc", "cgroup", "user"]
        .iter()
        .zip(output.lines())
    {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a namespace");
        assert_eq!(theirs.to_string_lossy(), line);
    }
    assert!(output.contains("testhost\n1\n"), "{output}");
    assert!(output.contains("CapEff:\t00000000a80425fb"), "{output}");
    assert!(output.contains("Seccomp:\t2"), "{output}");
    for line in output
        .lines()
        .filter(|line| line.matches(':').count() == 2 && line.contains('/'))
    {
        assert!(line.ends_with(":/"), "{line}");
    }
    let own = fs::read_link("/proc/self/ns/pid").expect("a namespace");
    let children = fs::read_link("/proc/self/ns/pid_for_children").expect("a namespace");
    assert_eq!(own, children);
    let output = exec_sh(&world, &live, "ls -l /proc/self/fd");
    assert!(
        !output.contains("ns:") && !output.contains("cgroup"),
        "{output}"
    );
    live.running.kill_all().expect("killed");
    assert_eq!(live.finish().code(), 137);
}

fn root_exec_has_its_own_attributes() {
    let mut world = World::new();
    let live = world.start(&["sleep", "1000"]).expect("started");
    world.document["process"]["user"] = json!({ "uid": 55, "gid": 66, "additionalGids": [7] });
    world.document["process"]["cwd"] = json!("/etc");
    world.document["process"]["env"] = json!(["PATH=/bin", "A=b"]);
    world.document["process"]["noNewPrivileges"] = json!(true);
    let output = exec_sh(
        &world,
        &live,
        "id -u; id -g; id -G; pwd; echo $A; grep NoNew /proc/self/status",
    );
    assert_eq!(output, "55\n66\n66 7\n/etc\nb\nNoNewPrivs:\t1\n");
    live.running.kill_all().expect("killed");
    live.finish();
}

fn root_exec_failures() {
    let mut world = World::new();
    let live = world.start(&["sleep", "1000"]).expect("started");
    let error = try_exec(&world, &live, &["missing"]).expect_err("missing");
    assert_eq!(error.exit_code(), 127, "{error}");
    let error = try_exec(&world, &live, &["/etc"]).expect_err("a directory");
    assert_eq!(error.exit_code(), 126, "{error}");
    world.document["process"]["cwd"] = json!("/nowhere");
    let error = try_exec(&world, &live, &["true"]).expect_err("no directory");
    assert_eq!(
        error.to_string(),
        "cannot change the working directory to /nowhere in the container: no such file or directory"
    );
    live.running.kill_all().expect("killed");
    live.finish();
    let children = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
    assert_eq!(children.err(), Some(rustix::io::Errno::CHILD));
}

fn root_exec_in_a_user_namespace() {
    let mut world = World::new();
    let namespaces = world.document["linux"]["namespaces"]
        .as_array_mut()
        .expect("a list");
    namespaces.push(json!({ "type": "user" }));
    for maps in ["uidMappings", "gidMappings"] {
        world.document["linux"][maps] =
            json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    }
    let live = world.start(&["sleep", "1000"]).expect("started");
    let output = exec_sh(&world, &live, "id -u; cat /proc/self/uid_map");
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536"]);
    live.running.kill_all().expect("killed");
    live.finish();
}

fn root_exec_after_the_end() {
    let world = World::new();
    let live = world.start(&["true"]).expect("started");
    let pidfd = live.running.pidfd();
    let mut interest = [rustix::event::PollFd::new(
        &pidfd,
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut interest, None).expect("ended");
    assert!(try_exec(&world, &live, &["true"]).is_err());
    live.finish();
}
