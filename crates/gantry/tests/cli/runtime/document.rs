//! What a document can ask for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use gantry_sys::lsm::Modules;
use serde_json::{Value, json};

use super::bundles::Bundles;

#[test]
fn root_what_is_wrong_is_named() {
    let bundles = Bundles::running("true");
    let good = fs::read_to_string(bundles.bundle().join("config.json")).unwrap();
    type Edit = fn(&mut Value);
    let mut cases: Vec<(Edit, &str)> = vec![
        (|d| d["ociVersion"] = json!("2.0.0"), "ociVersion"),
        (|d| d["root"] = Value::Null, "root.path"),
        (|d| d["process"]["args"] = json!("sh"), "process.args"),
        (
            |d| d["process"]["user"]["uid"] = json!(-1),
            "process.user.uid",
        ),
        (
            |d| d["process"]["user"]["additionalGids"] = json!([u32::MAX]),
            "process.user",
        ),
        (
            |d| d["linux"]["namespaces"][0]["type"] = json!("moon"),
            "linux.namespaces[0].type",
        ),
        (
            |d| d["mounts"][0]["options"] = json!([1]),
            "mounts[0].options[0]",
        ),
        (
            |d| d["hooks"] = json!({ "prestart": [{ "path": "true" }] }),
            "hooks.path",
        ),
        (
            |d| d["hooks"] = json!({ "poststop": [{ "path": "/x", "timeout": 0 }] }),
            "hooks.timeout",
        ),
        (
            |d| d["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1 } }),
            "linux.timeOffsets",
        ),
        (
            |d| d["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }),
            "process.ioPriority",
        ),
        (
            |d| d["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": 50 }),
            "process.scheduler",
        ),
        (
            |d| d["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }]),
            "process.rlimits",
        ),
        (
            |d| d["linux"]["resources"]["devices"][0]["access"] = json!("q"),
            "linux.resources.devices",
        ),
    ];
    let active = Modules::active();
    if !active.apparmor {
        cases.push((
            |d| d["process"]["apparmorProfile"] = json!("web"),
            "process.apparmorProfile",
        ));
    }
    if !active.selinux {
        cases.push((
            |d| d["process"]["selinuxLabel"] = json!("a:b:c:d"),
            "process.selinuxLabel",
        ));
        cases.push((
            |d| d["linux"]["mountLabel"] = json!("a:b:c:d"),
            "linux.mountLabel",
        ));
    }
    for (edit, field) in cases {
        fs::write(bundles.bundle().join("config.json"), &good).unwrap();
        bundles.edit(edit);
        let said = bundles.run().fails(1);
        assert!(said.contains(field), "{field}: {said}");
    }
    fs::write(bundles.bundle().join("config.json"), "{").unwrap();
    let said = bundles.run().fails(1);
    assert!(said.contains("config.json"), "{said}");
}

#[test]
fn root_clocks_of_a_time_namespace() {
    let bundles = Bundles::running("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets");
    let add_namespace = |document: &mut Value| {
        let namespaces = document["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "time" }));
    };
    bundles.edit(|document| {
        add_namespace(document);
        document["linux"]["timeOffsets"] =
            json!({ "boottime": { "secs": 1_000_000 }, "monotonic": { "secs": 7, "nanosecs": 9 } });
    });
    let told = bundles.says();
    let up: u64 = told.lines().next().unwrap().parse().unwrap();
    assert!(up >= 1_000_000, "{told}");
    let words: Vec<Vec<&str>> = told
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        words,
        [
            vec!["monotonic", "7", "9"],
            vec!["boottime", "1000000", "0"]
        ]
    );

    // A process that joins has the same clocks.
    bundles.script("exec sleep 1000");
    let id = &bundles.id("one");
    bundles.runtime(["run", "-d", id]).ok();
    let up = bundles
        .runtime(["exec", id, "cut", "-d.", "-f1", "/proc/uptime"])
        .ok();
    assert!(up.parse::<u64>().unwrap() >= 1_000_000, "{up}");
}

#[test]
fn root_users_and_networks_of_another_container_are_joined() {
    let bundles = Bundles::running("exec sleep 1000");
    let given = std::process::Command::new("chown")
        .args(["-R", "100000:100000"])
        .arg(bundles.bundle().join("rootfs"))
        .status();
    assert!(given.unwrap().success());
    for folder in [&bundles.bundle(), &bundles.env.work()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let above = bundles.env.work();
    fs::set_permissions(above.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let maps = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    bundles.edit(|document| {
        let namespaces = document["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "user" }));
        document["linux"]["uidMappings"] = maps.clone();
        document["linux"]["gidMappings"] = maps;
    });
    let first = &bundles.id("first");
    bundles.runtime(["run", "-d", first]).ok();
    let pid = bundles.told(first)["pid"].as_i64().unwrap();
    let file = |kind: &str| format!("/proc/{pid}/ns/{kind}");
    bundles.edit(|document| {
        let namespaces = document["linux"]["namespaces"].as_array_mut().unwrap();
        for namespace in namespaces {
            let kind = namespace["type"].as_str().unwrap();
            let name = if kind == "network" { "net" } else { kind };
            if matches!(kind, "user" | "network" | "pid") {
                namespace["path"] = json!(file(name));
            }
        }
    });
    // Neither the namespaces that are new nor those that are joined are out of its root's reach.
    bundles.edit(|document| {
        for set in ["bounding", "effective", "permitted"] {
            document["process"]["capabilities"][set] = json!(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
        }
    });
    bundles.script(
        "readlink /proc/self/ns/user; readlink /proc/self/ns/net; awk '{print $1, $2, $3}' /proc/self/uid_map; \
         id -u; ip link set lo up && hostname other && hostname; mount -t tmpfs none /tmp; \
         stat -f -c %T /tmp",
    );
    let links = ["user", "net"].map(|kind| fs::read_link(file(kind)).unwrap());
    let [users, network] = links.map(|link| link.to_str().unwrap().to_owned());
    assert_eq!(
        bundles.says(),
        format!("{users}\n{network}\n0 100000 1000\n0\nother\ntmpfs")
    );
    let second = &bundles.id("second");
    bundles.script("exec sleep 1000");
    bundles.runtime(["run", "-d", second]).ok();
    let id = bundles.runtime(["exec", second, "id", "-u"]);
    assert_eq!(id.ok(), "0");
    bundles.edit(|document| document["linux"]["uidMappings"][0]["size"] = json!(999));
    let refused = bundles.run().fails(1);
    assert!(refused.contains("linux.uidMappings"), "{refused}");
}

#[test]
fn root_when_and_where_a_process_runs() {
    let bundles = Bundles::running("cut -d' ' -f19,41 /proc/self/stat; ionice -p $$");
    bundles.edit(|document| {
        document["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 7 });
        document["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
        document["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0" });
    });
    // Nice value and policy (SCHED_BATCH is 3).
    assert_eq!(bundles.says(), "7 3\nbest-effort: prio 6");
    bundles.script("grep -m1 -o 'bind:0' /proc/self/numa_maps || echo none");
    let told = bundles.says();
    assert_eq!(told, "bind:0");

    bundles.script("exec sleep 1000");
    bundles.edit(|document| {
        document["process"]["execCPUAffinity"] = json!({ "initial": "0", "final": "1" });
    });
    let id = &bundles.id("one");
    bundles.runtime(["run", "-d", id]).ok();
    let list = "grep Cpus_allowed_list /proc/PID/status | cut -f2";
    let first = bundles
        .runtime(["exec", id, "sh", "-c", &list.replace("PID", "1")])
        .ok();
    let other = bundles
        .runtime(["exec", id, "sh", "-c", &list.replace("PID", "self")])
        .ok();
    assert_eq!(other, "1");
    assert_ne!(first, "1");
}

#[test]
fn root_the_null_device_is_the_containers_own() {
    // That of the host could be found neither by its path nor by who writes the container to disk.
    let own = "for n in 0 2; do stat -L -c '%d %t:%T' /proc/1/fd/$n >> /told; done; \
        stat -c '%d %t:%T' /dev/null >> /told";
    let bundles = Bundles::running(own);
    let id = bundles.id("run");
    let mut command = bundles.command(["run", id.as_str()]);
    let [stdout, stderr] = [(); 2].map(|()| Stdio::null());
    let status = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    assert!(status.status().unwrap().success());
    let told = fs::read_to_string(bundles.bundle().join("rootfs/told")).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert_eq!(lines[..2], [lines[2]; 2], "{told}");
}

#[test]
fn root_mounts_of_a_document() {
    let bundles = Bundles::running(
        "cat /bin-copy/file /bin-copy/below/link; stat -c '%a %u' /bin-copy/below; \
         echo x > /bin-copy/file && cat /bin-copy/file; cat /here/marker; \
         touch /here/y 2>&1; grep -c ' /bin-copy ' /proc/self/mounts",
    );
    let below = bundles.bundle().join("rootfs/bin-copy/below");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("../file"), "copied\n").unwrap();
    std::os::unix::fs::symlink("../file", below.join("link")).unwrap();
    std::os::unix::fs::chown(&below, Some(12), Some(13)).unwrap();
    fs::create_dir(bundles.bundle().join("relative")).unwrap();
    fs::write(
        bundles.bundle().join("relative/marker"),
        "from the bundle\n",
    )
    .unwrap();
    bundles.edit(|document| {
        document["mounts"].as_array_mut().unwrap().extend([
            json!({ "destination": "/bin-copy", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=755"] }),
            json!({ "destination": "/here", "type": "bind", "source": "relative", "options": ["bind"] }),
            json!({ "destination": "/here", "type": "bind", "source": "relative", "options": ["remount", "bind", "ro"] }),
        ]);
    });
    let told = bundles.says();
    assert_eq!(
        told,
        "copied\ncopied\n755 12\nx\nfrom the bundle\ntouch: /here/y: Read-only file system\n1"
    );
    assert_eq!(
        fs::read_to_string(below.join("../file")).unwrap(),
        "copied\n"
    );
}

#[test]
fn root_the_root_can_be_moved_instead_of_exchanged() {
    let bundles = Bundles::running(
        "ls -d /bin/busybox /home/../../../../bin; ls /proc/1/root/ | grep -c bin; mount | grep -c ' / '",
    );
    let told = bundles
        .runtime(["run", "--no-pivot", &bundles.id("run")])
        .ok();
    assert!(told.starts_with("/bin/busybox\n"), "{told}");
    assert!(told.contains("\n1\n"), "{told}");
}

#[test]
fn root_a_listener_decides_about_calls() {
    let bundles = Bundles::running("mkdir /made 2>&1; echo end");
    let socket = bundles.env.work().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    bundles.edit(|document| {
        document["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "listenerPath": socket,
            "listenerMetadata": "what I asked for",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
        });
    });
    let id = &bundles.id("run");
    let agent = std::thread::spawn(move || {
        let (peer, _) = listener.accept().unwrap();
        let mut text = vec![0; 4096];
        let message = gantry_sys::fd::receive(&peer, &mut text).unwrap();
        text.truncate(message.length);
        // Without anybody to ask the call fails.
        assert_eq!(message.fds.len(), 1);
        serde_json::from_slice::<Value>(&text).unwrap()
    });
    let told = bundles.runtime(["run", id]).ok();
    assert_eq!(
        told,
        "mkdir: can't create directory '/made': Function not implemented\nend"
    );
    let state = agent.join().unwrap();
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "what I asked for");
    assert_eq!(state["state"]["id"], json!(id));
    assert_eq!(state["pid"], state["state"]["pid"]);
    // Nobody listens any more.
    let said = bundles.run().fails(1);
    assert!(said.contains("seccomp listener"), "{said}");
}

#[test]
fn root_an_interface_of_the_host_becomes_the_containers() {
    let bundles = Bundles::running("ip -o addr show dev inside; cat /sys/class/net/inside/mtu");
    let name = format!("gt{}", std::process::id());
    let ip = |words: &[&str]| {
        let status = std::process::Command::new("ip").args(words).status();
        assert!(status.unwrap().success(), "ip {words:?}");
    };
    let peer = format!("{name}p");
    ip(&[
        "link", "add", &name, "mtu", "1400", "type", "veth", "peer", "name", &peer,
    ]);
    ip(&["addr", "add", "198.51.100.7/24", "dev", &name]);
    bundles.edit(|document| {
        document["linux"]["netDevices"][&name] = json!({ "name": "inside" });
    });
    let told = bundles.says();
    assert!(told.contains("198.51.100.7/24"), "{told}");
    assert!(told.ends_with("1400"), "{told}");
    // It went with the namespace.
    let said = bundles.run().fails(1);
    assert!(said.contains(&format!("network device {name}")), "{said}");
    bundles.edit(|document| {
        document["linux"]["netDevices"] = json!({ "lo/../x": {} });
    });
    assert!(bundles.run().fails(1).contains("linux.netDevices"));
}

#[test]
fn root_sockets_of_systemd_are_announced() {
    let bundles = Bundles::running("echo $LISTEN_FDS $LISTEN_PID; cat <&3");
    let file = bundles.env.write("kept", "kept text\n");
    let mut runtime = bundles.command(["run", &bundles.id("run")]);
    runtime.env("LISTEN_FDS", "1");
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "exec 3<\"$1\"; shift; exec \"$@\"", "sh"])
        .arg(file)
        .arg(runtime.get_program())
        .args(runtime.get_args())
        .env("LISTEN_FDS", "1")
        .current_dir(bundles.bundle());
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 1\nkept text\n");
}
