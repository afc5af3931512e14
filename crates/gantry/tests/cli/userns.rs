//! `--userns` and mounts whose files change owners.

use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;

use gantry_testkit::environment::wait_for;
use gantry_testkit::{Caller, TestEnv};

use crate::{GANTRY, busybox, users_busybox};

#[test]
fn root_a_namespace_of_its_own_changes_no_file() {
    let env = busybox();
    let script = "stat -c %u /bin /etc/hosts; touch /x && chown 7:8 /x && stat -c %u:%g /x; \
                  echo fine > /dev/stderr; awk '{print $1, $3}' /proc/self/uid_map";
    let answer = env.gantry([
        "run", "--name", "own", "--userns", "auto", "busybox", "sh", "-c", script,
    ]);
    assert_eq!(
        (answer.stdout.as_str(), answer.stderr.as_str()),
        ("0\n0\n7:8\n0 65536\n", "fine\n")
    );
    let id = env.gantry(["ps", "-aq", "--no-trunc"]).ok();
    let written = env.root().join("containers").join(id).join("upper/x");
    let status = std::fs::metadata(written).unwrap();
    assert_eq!(
        (status.uid(), status.gid()),
        (7, 8),
        "the layer has the container's IDs"
    );
}

#[test]
fn root_containers_have_different_users_and_share_volumes() {
    let env = busybox();
    let mut users = Vec::new();
    for name in ["one", "two"] {
        env.gantry([
            "run",
            "-d",
            "--name",
            name,
            "--userns",
            "auto",
            "-v",
            "data:/data",
            "busybox",
            "sh",
            "-c",
            "touch /data/$HOSTNAME; exec sleep 100",
        ])
        .ok();
        let pid = env.gantry(["inspect", "-f", "{{.State.Pid}}", name]).ok();
        users.push(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid());
        assert_eq!(env.gantry(["exec", name, "id", "-u"]).ok(), "0");
    }
    assert!(users.iter().all(|user| *user >= 0x7000_0000), "{users:?}");
    assert_ne!(users[0], users[1]);
    let owners = env.gantry(["exec", "one", "sh", "-c", "stat -c %u /data/*"]);
    assert_eq!(owners.ok(), "0\n0");
}

#[test]
fn root_the_files_of_a_mount_are_the_users() {
    let env = busybox();
    let folder = env.work().join("mine");
    std::fs::create_dir(&folder).unwrap();
    chown(&folder, Some(1234), Some(1234)).unwrap();
    let bind = format!("{}:/mine:map=me", folder.display());
    for mode in ["host", "auto"] {
        let file = format!("/mine/{mode}");
        let script = format!("touch {file} && stat -c %u:%g {file}");
        let shown = env.gantry([
            "run", "--rm", "--userns", mode, "-u", "33:44", "-v", &bind, "busybox", "sh", "-c",
            &script,
        ]);
        assert_eq!(shown.ok(), "33:44", "{mode}");
        let status = std::fs::metadata(folder.join(mode)).unwrap();
        assert_eq!((status.uid(), status.gid()), (1234, 1234), "{mode}");
    }
}

#[test]
fn root_what_the_host_shares_is_not_for_other_users() {
    let env = busybox();
    env.configure("userns = \"auto\"\n");
    let refused = env
        .gantry(["run", "--rm", "--pid", "host", "busybox", "true"])
        .fails(125);
    assert!(refused.contains("--userns host"), "{refused}");
    let nomap = ["run", "--rm", "--userns", "nomap", "busybox", "true"];
    let refused = env.gantry(nomap).fails(125);
    assert!(refused.contains("this is root"), "{refused}");
    let host = [
        "run", "--rm", "--userns", "host", "--pid", "host", "busybox", "true",
    ];
    env.gantry(host).ok();
    let map = [
        "run",
        "--rm",
        "busybox",
        "awk",
        "{print $3}",
        "/proc/self/uid_map",
    ];
    assert_eq!(env.gantry(map).ok(), "65536", "the configuration's default");
}

/// The IDs of a container of this mode, and what it sees of files of the image and of its own.
fn look(env: &TestEnv, mode: &str) -> String {
    let script = "awk '{print $1, $2, $3}' /proc/self/uid_map; \
                  stat -c %u:%g /bin /home/web /etc/hosts; cat /home/web; \
                  echo more >> /home/web && cat /home/web";
    let looked = env.gantry(["run", "--rm", "--userns", mode, "web", "sh", "-c", script]);
    looked.ok().replace('\n', " ")
}

/// An image with a layer of its own, in which a file belongs to somebody and is nobody else's.
fn web(env: &TestEnv) {
    env.write(
        "web/Dockerfile",
        "FROM busybox\nRUN echo mine > /home/web && chown 33:34 /home/web && chmod 600 /home/web\n",
    );
    let context = env.work().join("web");
    env.gantry(["build", "-q", "-t", "web", context.to_str().unwrap()])
        .ok();
}

#[test]
fn a_users_containers_have_users_of_their_own() {
    let env = users_busybox();
    web(&env);
    let files = "0:0 33:34 0:0 mine mine more";
    for (mode, map) in [
        ("auto", "0 1 1024 65534 1025 1"),
        ("auto:size=40", "0 1 40 65534 41 1"),
        ("keep-id", "54321 0 1 0 1 54321 54322 54322 11215"),
        ("keep-id:uid=7,gid=8", "7 0 1 0 1 7 8 8 65529"),
        ("nomap", "0 1 65536"),
        ("0:100:2000,65534:1:1", "0 100 2000 65534 1 1"),
    ] {
        assert_eq!(look(&env, mode), format!("{map} {files}"), "{mode}");
    }
    let few = env
        .gantry(["run", "--rm", "--userns", "0:1:10", "web", "true"])
        .fails(125);
    assert!(few.contains("belongs to user 33"), "{few}");
    let many = env
        .gantry(["run", "--rm", "--userns", "0:1:65537", "web", "true"])
        .fails(125);
    assert!(many.contains("to 65536"), "{many}");
    // The caller's own file is its own in there, and so is what it writes beside it.
    env.write("mine/file", "x");
    let bind = format!("{}:/mine", env.work().join("mine").display());
    let script = "stat -c %u /mine/file; touch /mine/new";
    let mut args = vec!["run", "--rm", "--userns", "keep-id", "-u", "54321:54321"];
    args.extend([
        "-v",
        &bind,
        "--network",
        "host",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(env.gantry(&args).ok(), "54321");
    let written = std::fs::metadata(env.work().join("mine/new")).unwrap();
    assert_eq!((written.uid(), written.gid()), (54_321, 54_321));
    assert_eq!(env.gantry(["system", "check"]).code, 0);
}

#[test]
fn files_of_a_users_container_have_its_numbers_everywhere() {
    let env = users_busybox();
    web(&env);
    let script = "touch /made && chown 7:8 /made && rm /home/web && stat -c %u /data && \
                  touch /data/x && chown 5:6 /data/x; exec sleep 100";
    let volume = ["--userns", "auto", "-v", "data:/data"];
    let mut args = vec!["run", "-d", "--name", "own"];
    args.extend(volume);
    args.extend(["web", "sh", "-c", script]);
    env.gantry(&args).ok();
    let made = || env.gantry(["exec", "own", "test", "-e", "/data/x"]).code == 0;
    wait_for("the container's files", made);
    assert_eq!(
        env.gantry(["logs", "own"]).ok(),
        "0",
        "the volume is its root's"
    );
    let id = ["exec", "-u", "33", "own", "id", "-u"];
    assert_eq!(env.gantry(id).ok(), "33");
    env.write("file", "copied");
    env.gantry(["cp", "file", "own:/file"]).ok();
    let owner = ["exec", "own", "stat", "-c", "%u:%g %n", "/file", "/data/x"];
    assert_eq!(env.gantry(owner).ok(), "0:0 /file\n5:6 /data/x");
    let changes = "A /data\nA /file\nC /home\nD /home/web\nA /made";
    assert_eq!(env.gantry(["diff", "own"]).ok(), changes);
    // Another one has users of its own.
    let other = ["run", "--rm", "--userns", "auto", "busybox", "cat"];
    let map = env.gantry(other.iter().chain(&["/proc/self/uid_map"])).ok();
    let first = map.split_whitespace().nth(1).unwrap().to_owned();
    assert_eq!(first, "1026", "{map}");
    env.gantry(["commit", "own", "changed"]).ok();
    let owners = ["stat", "-c", "%u:%g %n", "/made", "/file"];
    for mode in ["host", "auto"] {
        let seen = ["run", "--rm", "--userns", mode, "changed"];
        let seen = env.gantry(seen.iter().chain(&owners)).ok();
        assert_eq!(seen, "7:8 /made\n0:0 /file", "{mode}");
    }
    let archived = || {
        let archive = env.work().join("own.tar");
        let path = archive.to_str().unwrap();
        env.gantry(["export", "-o", path, "own"]).ok();
        let listed = Command::new("tar")
            .args(["--numeric-owner", "-tvf", path, "made", "file"])
            .output()
            .unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        let owners = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        owners.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(archived(), "0/0 7/8");
    env.gantry(["stop", "-t", "0", "own"]).ok();
    assert_eq!(archived(), "0/0 7/8", "also while it does not run");
    env.gantry(["cp", "file", "own:/later"]).ok();
    env.gantry(["start", "own"]).ok();
    let owner = ["exec", "own", "stat", "-c", "%u:%g", "/later"];
    assert_eq!(env.gantry(owner).ok(), "0:0");
    env.gantry(["rm", "-f", "own"]).ok();
}

#[test]
fn a_user_is_told_what_needs_more() {
    let env = users_busybox();
    let bind = format!("{}:/mine:map=me", env.work().display());
    let mine = ["run", "--rm", "-v", &bind];
    let refused = env
        .gantry(mine.iter().chain(&["-u", "33", "busybox", "true"]))
        .fails(125);
    assert!(refused.contains("other owners"), "{refused}");
    // The container's root is the owner as it is.
    let owner = env.gantry(
        mine.iter()
            .chain(&["busybox", "stat", "-c", "%u:%g", "/mine"]),
    );
    assert_eq!(owner.ok(), "0:0");
    let joined = ["run", "--rm", "--userns", "auto", "--pid", "container:x"];
    let refused = env.gantry(joined.iter().chain(&["busybox", "true"]));
    let refused = refused.fails(125);
    assert!(refused.contains("No such container: x"), "{refused}");
    let single = TestEnv::busybox_of(Caller::SingleId, GANTRY);
    let refused = single
        .gantry(["run", "--rm", "--userns", "auto", "busybox", "true"])
        .fails(125);
    assert!(refused.contains("subordinate IDs"), "{refused}");
}

#[test]
fn devices_are_shown_under_other_names() {
    let line = "echo gone > /dev/x && head -c 3 /dev/deep/y | od -An -tx1; ls /dev/x /dev/deep/y";
    let devices = [
        "--device",
        "/dev/null:/dev/x",
        "--device",
        "/dev/zero:/dev/deep/y",
    ];
    for (env, mode) in [
        (users_busybox(), "host"),
        (users_busybox(), "auto"),
        (busybox(), "auto"),
    ] {
        let run = ["run", "--rm", "--userns", mode];
        let run = run.iter().chain(&devices);
        let shown = env.gantry(run.chain(&["busybox", "sh", "-c", line])).ok();
        assert_eq!(shown, " 00 00 00\n/dev/deep/y\n/dev/x", "{mode}");
    }
}
