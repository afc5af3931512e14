//! Namespaces, cgroups, kernel parameters, seccomp.

use std::fs;

use gantry_runtime::{PlanError, StartError};
use gantry_testkit::environment::PATIENCE;
use serde_json::json;

use crate::Test;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    ("root_namespaces_are_new", root_namespaces_are_new),
    ("root_host_name_and_processes", root_host_name_and_processes),
    ("root_cgroup_limits", root_cgroup_limits),
    ("root_memory_limit_kills", root_memory_limit_kills),
    ("root_process_limit", root_process_limit),
    ("root_freeze_and_thaw", root_freeze_and_thaw),
    ("root_kernel_parameters", root_kernel_parameters),
    ("root_seccomp", root_seccomp),
    ("root_seccomp_of_the_document", root_seccomp_of_the_document),
    ("root_joined_namespaces", root_joined_namespaces),
    ("root_user_namespace", root_user_namespace),
    ("root_privileged", root_privileged),
    (
        "root_what_is_not_supported_is_refused",
        root_what_is_not_supported_is_refused,
    ),
    ("root_it_dies_with_its_parent", root_it_dies_with_its_parent),
];

const KINDS: [&str; 6] = ["mnt", "net", "uts", "pid", "ipc", "cgroup"];

fn root_namespaces_are_new() {
    let world = World::new();
    let output =
        world.sh("for kind in mnt net uts pid ipc cgroup; do readlink /proc/self/ns/$kind; done");
    for (kind, line) in KINDS.iter().zip(output.lines()) {
        let own = fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
        assert_ne!(own.to_string_lossy(), line, "{kind}");
    }
}

fn root_host_name_and_processes() {
    let mut world = World::new();
    world.document["domainname"] = json!("testdomain");
    let output =
        world.sh("hostname; cat /proc/sys/kernel/domainname; echo $$; ls -d /proc/[0-9]* | wc -l");
    assert_eq!(output, "testhost\ntestdomain\n1\n3\n");
}

fn root_cgroup_limits() {
    let mut world = World::new();
    world.document["linux"]["resources"]["memory"] = json!({ "limit": 67_108_864 });
    world.document["linux"]["resources"]["pids"] = json!({ "limit": 33 });
    world.document["linux"]["resources"]["cpu"] =
        json!({ "quota": 50_000, "period": 100_000, "shares": 512, "cpus": "0" });
    let live = world.start(&["sleep", "1000"]).expect("started");
    let cgroup = live.running.cgroup().expect("a cgroup").clone();
    let stats = cgroup.stats();
    assert_eq!(stats.memory_limit, Some(67_108_864));
    assert_eq!(stats.pids_limit, Some(33));
    assert_eq!(stats.pids, Some(1));
    assert_eq!(cgroup.pids().expect("listed"), [live.running.pid()]);
    // What a later process reads back is the same cgroup.
    let text = serde_json::to_string(&cgroup).expect("text");
    let again: gantry_runtime::CgroupHandle = serde_json::from_str(&text).expect("the same");
    assert_eq!(again, cgroup);
    again.kill_all().expect("killed");
    assert_eq!(live.finish().code(), 137);
    assert!(
        again.remove().is_empty(),
        "removing what is gone is no error"
    );
    let output = world.sh(
        "cat /proc/self/cgroup; cd /sys/fs/cgroup; ! mkdir memory/x 2>/dev/null; \
         cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares cpuset/cpuset.cpus pids/pids.max",
    );
    assert!(
        output.ends_with("67108864\n50000\n512\n0\n33\n"),
        "{output}"
    );
    for line in output.lines().filter(|line| line.matches(':').count() == 2) {
        assert!(
            line.ends_with(":/"),
            "the cgroup namespace hides the path: {line}"
        );
    }
}

fn root_memory_limit_kills() {
    let mut world = World::new();
    world.document["linux"]["resources"]["memory"] =
        json!({ "limit": 16_777_216, "swap": 16_777_216 });
    let live = world
        .start(&["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"])
        .expect("started");
    let status = live.running.wait().expect("reaped");
    assert_eq!(status.code(), 137);
    assert!(live.running.oom_killed());
    assert!(live.running.cleanup().is_empty());
}

fn root_process_limit() {
    let mut world = World::new();
    world.document["linux"]["resources"]["pids"] = json!({ "limit": 3 });
    let outcome = world.run(&["sh", "-c", "sleep 1 & sleep 1 & sleep 1 & wait"]);
    assert!(outcome.output.contains("can't fork"), "{outcome:?}");
}

fn root_freeze_and_thaw() {
    let world = World::new();
    let live = world
        .start(&["sh", "-c", "echo ready; while :; do sleep 0.01; done"])
        .expect("started");
    live.expect("ready");
    let cgroup = live.running.cgroup().expect("a cgroup").clone();
    cgroup.freeze().expect("frozen");
    cgroup.thaw().expect("thawed");
    cgroup.freeze().expect("frozen");
    live.running.kill_all().expect("killed, though frozen");
    cgroup.thaw().expect("thawed");
    assert_eq!(live.finish().code(), 137);
}

fn root_kernel_parameters() {
    let mut world = World::new();
    world.document["linux"]["sysctl"] = json!({
        "net.ipv4.ip_forward": "1",
        "kernel.shm_rmid_forced": "1",
        "net/ipv4/conf/lo/arp_filter": "1",
    });
    let output = world.sh(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced \
         /proc/sys/net/ipv4/conf/lo/arp_filter",
    );
    assert_eq!(output, "1\n1\n1\n");
    let refused = [
        ("vm.swappiness", "belongs to no namespace"),
        ("kernel.core_pattern", "belongs to no namespace"),
        ("net.../x", "is no kernel parameter"),
    ];
    for (key, reason) in refused {
        world.document["linux"]["sysctl"] = json!({ key: "1" });
        let error = world.fails(&["true"]).to_string();
        assert!(error.ends_with(reason), "{error}");
    }
}

fn root_seccomp() {
    let mut world = World::new();
    // The same calls with and without the filter, so that it is the filter that refuses.
    let all = json!(["CAP_SYS_ADMIN", "CAP_CHOWN"]);
    let output = world.sh("grep Seccomp: /proc/self/status; unshare -U true 2>&1 || true");
    assert!(output.contains("Seccomp:\t2"), "{output}");
    assert!(output.contains("Operation not permitted"), "{output}");
    for set in ["bounding", "effective", "permitted"] {
        world.document["process"]["capabilities"][set] = all.clone();
    }
    world.sh("unshare -m true");
    world.seccomp = false;
    assert!(world.sh("cat /proc/self/status").contains("Seccomp:\t0"));
}

fn root_seccomp_of_the_document() {
    let mut world = World::new();
    world.seccomp = false;
    world.document["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 }],
    });
    let outcome = world.run(&["mkdir", "/x"]);
    assert!(
        outcome.output.contains("No space left on device"),
        "{outcome:?}"
    );
}

fn root_joined_namespaces() {
    let world = World::new();
    let live = world.start(&["sleep", "1000"]).expect("started");
    let pid = live.running.pid();
    let mut second = World::new();
    second.document["hostname"] = json!(null);
    let namespaces = second.document["linux"]["namespaces"]
        .as_array_mut()
        .expect("a list");
    for namespace in namespaces.iter_mut() {
        let file = match namespace["type"].as_str().expect("a type") {
            "network" => "net",
            "pid" => "pid",
            "ipc" => "ipc",
            "uts" => "uts",
            _ => continue,
        };
        namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
    }
    let output = second.sh("hostname; ps -o comm | grep -c sleep; for kind in net pid ipc uts; do readlink /proc/self/ns/$kind; done");
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("testhost"));
    assert_eq!(lines.next(), Some("1"));
    for kind in ["net", "pid", "ipc", "uts"] {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a namespace");
        assert_eq!(lines.next(), theirs.to_str());
    }
    // This process itself has joined nothing for good.
    let own = fs::read_link("/proc/self/ns/pid").expect("a namespace");
    let children = fs::read_link("/proc/self/ns/pid_for_children").expect("a namespace");
    assert_eq!(own, children);
    live.running.kill_all().expect("killed");
    live.finish();
}

fn root_user_namespace() {
    let mut world = World::new();
    let namespaces = world.document["linux"]["namespaces"]
        .as_array_mut()
        .expect("a list");
    namespaces.push(json!({ "type": "user" }));
    for maps in ["uidMappings", "gidMappings"] {
        world.document["linux"][maps] =
            json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    }
    let output = world.sh("id -u; cat /proc/self/uid_map; touch /file; stat -c %u /file; echo > /dev/null; ! mknod /x c 1 3");
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words[..5], ["0", "0", "100000", "65536", "0"], "{output}");
    let made = fs::metadata(world.upper().join("file")).expect("made");
    // Layers are seen through the mapping: on the disk they belong to nobody's container.
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 0);
    world.document["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    assert_eq!(world.sh("id -u"), "1000\n");
}

fn root_privileged() {
    let mut world = World::new();
    let all: Vec<String> = gantry_sys::capability::Capability::all()
        .map(|capability| format!("CAP_{}", capability.name()))
        .collect();
    for set in ["bounding", "effective", "permitted"] {
        world.document["process"]["capabilities"][set] = json!(all);
    }
    world.document["linux"]["maskedPaths"] = json!([]);
    world.document["linux"]["readonlyPaths"] = json!([]);
    world.document["linux"]["resources"]["devices"] =
        json!([gantry_runtime::defaults::every_device()]);
    world.seccomp = false;
    world.sh(
        "mkdir /m; mount -t tmpfs x /m; umount /m; mknod /kmsg c 1 11; head -c 1 /kmsg > /dev/null",
    );
}

fn root_what_is_not_supported_is_refused() {
    let cases = [
        ("/linux/intelRdt", json!({}), "linux.intelRdt"),
        ("/vm", json!({ "kernel": { "path": "/kernel" } }), "vm"),
    ];
    for (pointer, value, feature) in cases {
        let mut world = World::new();
        let (parent, name) = pointer.rsplit_once('/').expect("a slash");
        world.document.pointer_mut(parent).expect("a parent")[name] = value;
        match world.fails(&["true"]) {
            StartError::Plan(PlanError::Unsupported { feature: own }) => assert_eq!(own, feature),
            other => panic!("{other}"),
        }
    }
}

fn root_it_dies_with_its_parent() {
    let world = World::new();
    let (reader, writer) = gantry_sys::fd::pipe().expect("a pipe");
    let middle = gantry_sys::process::Fork::default()
        .run(|| {
            let live = world.start(&["sleep", "1000"]).expect("started");
            let pid = live.running.pid().to_ne_bytes();
            gantry_sys::fd::write_all(&writer, &pid).expect("told");
            live.running.wait().expect("never");
            0
        })
        .expect("forked");
    let mut pid = [0; 4];
    rustix::io::read(&reader, &mut pid).expect("told");
    let container = gantry_sys::process::Process::open(i32::from_ne_bytes(pid)).expect("alive");
    let handle = {
        let layout = gantry_sys::cgroup::Layout::detect().expect("cgroups");
        let path = world.document["linux"]["cgroupsPath"]
            .as_str()
            .expect("a path")
            .to_owned();
        gantry_sys::cgroup::Cgroup::at(&layout, path.as_ref()).expect("valid")
    };
    middle.signal(9).expect("sent");
    middle.wait().expect("reaped");
    let mut interest = [rustix::event::PollFd::new(
        &container,
        rustix::event::PollFlags::IN,
    )];
    let limit = PATIENCE.try_into().expect("a time");
    assert_eq!(rustix::event::poll(&mut interest, Some(&limit)), Ok(1));
    // The next command cleans up after it.
    let errors = handle.remove();
    assert!(errors.is_empty(), "{errors:?}");
}
