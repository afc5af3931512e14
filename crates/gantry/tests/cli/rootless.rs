//! What is special about an ordinary user's containers.

use gantry_testkit::environment::wait_for;
use gantry_testkit::{Caller, TestEnv};

use crate::{GANTRY, users_busybox};

#[test]
fn files_of_other_owners_belong_to_subordinate_ids() {
    use std::os::unix::fs::MetadataExt;
    let env = users_busybox();
    env.write("shared/mine", "x");
    let bind = format!("{}:/shared", env.work().join("shared").display());
    let script = "stat -c %u /shared/mine; touch /shared/root /shared/other; \
                  chown 1000:1000 /shared/other; mknod /dev/x c 1 3 || echo no devices";
    let shown = env.gantry(["run", "--rm", "-v", &bind, "busybox", "sh", "-c", script]);
    assert_eq!(shown.ok(), "0\nno devices");
    let owner = |name: &str| {
        let path = env.work().join("shared").join(name);
        std::fs::metadata(path).unwrap().uid()
    };
    assert_eq!(owner("root"), 54_321, "root in the container is the user");
    assert_eq!(owner("other"), 1_200_000_999);
}

#[test]
fn layers_of_a_build_keep_owners_devices_and_whiteouts() {
    let env = users_busybox();
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN mkdir /d && touch /d/a /d/b && chown 7:8 /d/a && chmod 4755 /d/a\n\
         RUN rm /d/b && rm -r /home && mkdir /home && touch /home/new\nUSER 7\n",
    );
    let context = env.work().join("ctx");
    env.gantry(["build", "-q", "-t", "made", context.to_str().unwrap()])
        .ok();
    let shown = env
        .gantry([
            "run",
            "--rm",
            "made",
            "sh",
            "-c",
            "id -u; stat -c '%u:%g %a' /d/a; ls /d /home",
        ])
        .ok();
    assert_eq!(shown, "7\n7:8 4755\n/d:\na\n\n/home:\nnew");
    assert_eq!(env.gantry(["system", "check"]).code, 0);
    // What one user's store gave comes back with the same digests in root's.
    let archive = env.work().join("made.tar");
    env.gantry(["save", "-o", archive.to_str().unwrap(), "made"])
        .ok();
    let id = env.gantry(["images", "-q", "--no-trunc", "made"]).ok();
    let other = TestEnv::new(GANTRY);
    other.gantry(["load", "-i", archive.to_str().unwrap()]).ok();
    assert_eq!(
        other.gantry(["images", "-q", "--no-trunc", "made"]).ok(),
        id
    );
    let again = other
        .gantry(["run", "--rm", "made", "stat", "-c", "%u:%g %a", "/d/a"])
        .ok();
    assert_eq!(again, "7:8 4755");
}

#[test]
fn device_nodes_of_an_image_come_back() {
    let root = crate::busybox();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("dev")).unwrap();
    let made = std::process::Command::new("mknod")
        .arg(folder.path().join("dev/null"))
        .args(["c", "1", "3"])
        .status();
    assert!(made.unwrap().success());
    let archive = root.work().join("device.tar");
    let packed = std::process::Command::new("tar")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .arg("dev")
        .status();
    assert!(packed.unwrap().success());
    let env = users_busybox();
    env.import(&archive, "device", &["CMD [\"x\"]"]);
    let layer = |env: &TestEnv| {
        env.gantry(["inspect", "-f", "{{json .RootFS.Layers}}", "device"])
            .ok()
    };
    root.import(&archive, "device", &["CMD [\"x\"]"]);
    assert_eq!(layer(&env), layer(&root), "the layer is the same");
    let saved = env.work().join("saved.tar");
    env.gantry(["save", "-o", saved.to_str().unwrap(), "device"])
        .ok();
    assert_eq!(env.gantry(["system", "check"]).code, 0);
}

#[test]
fn exec_and_joined_networks_reach_containers_of_other_commands() {
    let env = users_busybox();
    env.gantry(["run", "-d", "--name", "one", "busybox", "sleep", "100"])
        .ok();
    let id = env.gantry(["exec", "-u", "65534", "one", "id", "-u"]).ok();
    assert_eq!(id, "65534");
    let address = ["ip", "-4", "-o", "addr"];
    let own = env.gantry(["exec", "one"].iter().chain(&address)).ok();
    let joined = ["run", "--rm", "--network", "container:one", "busybox"];
    assert_eq!(env.gantry(joined.iter().chain(&address)).ok(), own);
    let top = env.gantry(["top", "one"]).ok();
    assert!(top.contains("sleep 100"), "{top}");
}

#[test]
fn published_ports_reach_the_container_and_nothing_stays() {
    for program in ["pasta", "slirp4netns"] {
        let env = users_busybox();
        env.configure(&format!("[network]\nrootless = \"{program}\"\n"));
        let server = "while :; do echo hello | nc -l -p 80; done";
        env.gantry([
            "run",
            "-d",
            "--name",
            "web",
            "-p",
            "127.0.0.1::80",
            "busybox",
            "sh",
            "-c",
            server,
        ])
        .ok();
        let port = env.gantry(["port", "web", "80"]).ok();
        let answers = || {
            use std::io::Read;
            let mut text = String::new();
            std::net::TcpStream::connect(&port)
                .and_then(|mut stream| stream.read_to_string(&mut text))
                .is_ok()
                && text == "hello\n"
        };
        wait_for("the container answers", answers);
        let taken = env
            .gantry([
                "run",
                "--rm",
                "-p",
                &format!("{port}:80"),
                "busybox",
                "true",
            ])
            .fails(125);
        assert!(taken.contains("already in use"), "{program}: {taken}");
        env.gantry(["rm", "-f", "web"]).ok();
        // Somebody else may have the port already.
        assert!(!answers());
    }
}

#[test]
fn what_a_container_without_a_cgroup_uses_is_shown() {
    let env = users_busybox();
    // The second process has ended; what it used counts.
    let script = "head -c 9000000 /dev/zero | md5sum; sleep 1000 & while :; do :; done";
    env.gantry(["run", "-d", "--name", "busy", "busybox", "sh", "-c", script])
        .ok();
    let format = "{{.CPUPerc}} {{.MemUsage}} {{.PIDs}}";
    let stats = || {
        env.gantry(["stats", "--no-stream", "--format", format, "busy"])
            .ok()
    };
    wait_for("figures of both processes", || {
        let shown = stats();
        !shown.starts_with("0.00%") && !shown.contains(" 0B /") && shown.ends_with(" 2")
    });
    let refused = env.gantry(["pause", "busy"]).fails(1);
    assert!(
        refused.contains("cannot pause") && refused.contains("Delegate=yes"),
        "{refused}"
    );
}

#[test]
fn limits_need_a_delegated_cgroup() {
    let env = users_busybox();
    let refused = env
        .gantry(["run", "--rm", "--memory", "64m", "busybox", "true"])
        .fails(125);
    assert!(
        refused.contains("cannot limit memory") && refused.contains("delegated"),
        "{refused}"
    );
}

#[test]
fn a_single_id_is_enough() {
    let env = TestEnv::busybox_of(Caller::SingleId, GANTRY);
    let shown = env.gantry(["run", "--rm", "busybox", "cat", "/proc/self/uid_map"]);
    let shown = shown.ok();
    assert_eq!(
        shown.split_whitespace().collect::<Vec<_>>(),
        ["0", "54321", "1"]
    );
    let refused = env
        .gantry(["run", "--rm", "-u", "33", "busybox", "true"])
        .fails(125);
    assert!(
        refused.contains("user 33") && refused.contains("/etc/subuid"),
        "{refused}"
    );
    // Owners that there are not are kept with the layer, and come back from it.
    let root = crate::busybox();
    root.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN touch /x && chown 7:8 /x\n",
    );
    let context = root.work().join("ctx");
    root.gantry(["build", "-q", "-t", "owned", context.to_str().unwrap()])
        .ok();
    let archive = root.work().join("owned.tar");
    root.gantry(["save", "-o", archive.to_str().unwrap(), "owned"])
        .ok();
    let copy = env.write("owned.tar", std::fs::read(&archive).unwrap());
    env.gantry(["load", "-i", copy.to_str().unwrap()]).ok();
    let owner = env.gantry(["run", "--rm", "owned", "stat", "-c", "%u:%g", "/x"]);
    assert_eq!(owner.ok(), "0:0");
    assert_eq!(env.gantry(["system", "check"]).code, 0);
    let again = env.work().join("again.tar");
    env.gantry(["save", "-o", again.to_str().unwrap(), "owned"])
        .ok();
    let back = TestEnv::new(GANTRY);
    back.gantry(["load", "-i", again.to_str().unwrap()]).ok();
    let owner = back.gantry(["run", "--rm", "owned", "stat", "-c", "%u:%g", "/x"]);
    assert_eq!(owner.ok(), "7:8");
}

#[test]
fn a_foreign_run_folder_is_not_used() {
    let env = users_busybox();
    let foreign = env.work().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    let refused = env
        .gantry(["--run-root", foreign.to_str().unwrap(), "ps"])
        .fails(1);
    assert!(refused.contains("belongs to user 0"), "{refused}");
}

/// An overlay over an overlay at a place: the kernel lays no third one over those.
struct Stacked(Vec<std::path::PathBuf>);

impl Stacked {
    fn at(env: &TestEnv, place: &std::path::Path) -> Stacked {
        let mut stacked = Stacked(Vec::new());
        let base = env.work().join("stack");
        for (lower, at) in [("bottom", base.join("first")), ("first", place.to_owned())] {
            let parts = ["upper", "work"].map(|part| base.join(format!("{lower}-{part}")));
            for folder in [&base.join("bottom"), &at, &parts[0], &parts[1]] {
                std::fs::create_dir_all(folder).unwrap();
                std::os::unix::fs::chown(folder, Some(54_321), Some(54_321)).unwrap();
            }
            let options = format!(
                "lowerdir={},upperdir={},workdir={}",
                base.join(lower).display(),
                parts[0].display(),
                parts[1].display()
            );
            let mounted = std::process::Command::new("mount")
                .args(["-t", "overlay", "overlay", "-o", &options])
                .arg(&at)
                .status();
            assert!(mounted.unwrap().success());
            stacked.0.push(at);
        }
        stacked
    }
}

impl Drop for Stacked {
    fn drop(&mut self) {
        for place in self.0.iter().rev() {
            let unmounted = std::process::Command::new("umount")
                .arg("--lazy")
                .arg(place)
                .status();
            assert!(unmounted.is_ok_and(|status| status.success()));
        }
    }
}

#[test]
fn where_the_kernel_mounts_no_layers_a_program_does() {
    let env = TestEnv::of(Caller::User, GANTRY);
    let _stacked = Stacked::at(&env, &env.root());
    env.import(&gantry_testkit::fixture::busybox(), "busybox", &[]);
    let script =
        "echo one > /made; chown 7:8 /made; grep ' / ' /proc/self/mountinfo; exec sleep 100";
    let run = ["run", "-d", "--name", "own", "--network", "none", "busybox"];
    env.gantry(run.iter().chain(&["sh", "-c", script])).ok();
    let logged = || !env.gantry(["logs", "own"]).ok().is_empty();
    wait_for("the container's output", logged);
    let root = env.gantry(["logs", "own"]).ok();
    assert!(root.contains("fuse-overlayfs"), "{root}");
    let look = [
        "exec",
        "own",
        "sh",
        "-c",
        "stat -c %u:%g /made; pidof fuse-overlayfs",
    ];
    let looked = env.gantry(look);
    assert_eq!(looked.stdout, "7:8\n", "nothing of it is in the container");
    assert_eq!(env.gantry(["diff", "own"]).ok(), "A /made");
    env.gantry(["commit", "own", "changed"]).ok();
    env.gantry(["stop", "-t", "0", "own"]).ok();
    env.write("file", "copied");
    env.gantry(["cp", "file", "own:/file"]).ok();
    env.gantry(["start", "own"]).ok();
    let both = ["exec", "own", "cat", "/made", "/file"];
    assert_eq!(env.gantry(both).ok(), "one\ncopied");
    env.write(
        "ctx/Dockerfile",
        "FROM changed\nRUN echo two > /two && cat /made > /three\nCOPY Dockerfile /\n",
    );
    let context = env.work().join("ctx");
    let build = ["build", "-q", "-t", "built", context.to_str().unwrap()];
    env.gantry(build).ok();
    let run = ["run", "--rm", "--network", "none", "built"];
    let cat = ["cat", "/two", "/three"];
    assert_eq!(env.gantry(run.iter().chain(&cat)).ok(), "two\none");
    env.gantry(["rm", "-f", "own"]).ok();
    let place = env.root().display().to_string();
    let serving = || {
        let processes = std::process::Command::new("ps")
            .args(["-eo", "args"])
            .output();
        String::from_utf8_lossy(&processes.unwrap().stdout)
            .lines()
            .any(|line| line.starts_with("fuse-overlayfs") && line.contains(&place))
    };
    wait_for("the end of the programs", || !serving());
}
