//! `--userns` and mounts whose files change owners.

use std::os::unix::fs::{MetadataExt, chown};

use crate::{busybox, users_busybox};

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

#[test]
fn a_user_is_told_what_needs_root() {
    let env = users_busybox();
    let refused = env
        .gantry(["run", "--rm", "--userns", "auto", "busybox", "true"])
        .fails(125);
    assert!(refused.contains("needs root"), "{refused}");
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
}
