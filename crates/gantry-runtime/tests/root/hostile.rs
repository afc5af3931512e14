//! Root file systems that try to make the runtime reach outside of them.

use std::fs;
use std::os::unix::fs::symlink;

use gantry_runtime::{StartError, Step};
use serde_json::json;

use crate::Test;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    (
        "root_links_at_mount_targets_stay_inside",
        root_links_at_mount_targets_stay_inside,
    ),
    (
        "root_proc_and_sys_must_not_be_links",
        root_proc_and_sys_must_not_be_links,
    ),
    (
        "root_dev_as_a_link_stays_inside",
        root_dev_as_a_link_stays_inside,
    ),
    (
        "root_targets_exchanged_while_mounting",
        root_targets_exchanged_while_mounting,
    ),
    ("root_loops_of_links_end", root_loops_of_links_end),
    (
        "root_masks_do_not_follow_links_out",
        root_masks_do_not_follow_links_out,
    ),
];

fn root_links_at_mount_targets_stay_inside() {
    let mut world = World::new();
    let victim = world.folder().join("victim");
    fs::create_dir(&victim).expect("a directory");
    fs::write(victim.join("file"), "untouched").expect("written");
    let lower = world.lower().to_owned();
    let up = format!("{}{}", "../".repeat(30), &victim.display().to_string()[1..]);
    symlink(&victim, lower.join("absolute")).expect("a link");
    symlink(&up, lower.join("relative")).expect("a link");
    symlink(format!("{up}/made"), lower.join("file")).expect("a link");
    let source = world.folder().join("source");
    fs::write(&source, "mounted").expect("written");
    world.mount(json!({ "destination": "/absolute", "type": "tmpfs", "source": "x" }));
    world.mount(json!({ "destination": "/relative/deeper", "type": "tmpfs", "source": "x" }));
    world.mount(
        json!({ "destination": "/file", "type": "bind", "source": source,
        "options": ["bind"] }),
    );
    let output = world.sh("cat /file; touch /absolute/x /relative/deeper/y");
    assert_eq!(output, "mounted");
    let names: Vec<_> = fs::read_dir(&victim)
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["file"]);
    assert_eq!(
        fs::read_to_string(victim.join("file")).expect("read"),
        "untouched"
    );
}

fn root_proc_and_sys_must_not_be_links() {
    for name in ["proc", "sys"] {
        for target in ["/", "/tmp", "tmp"] {
            let world = World::new();
            symlink(target, world.lower().join(name)).expect("a link");
            match world.fails(&["true"]) {
                StartError::Child {
                    step: Step::MountTarget,
                    path,
                    ..
                } => {
                    assert_eq!(path, Some(format!("/{name}").into()));
                }
                other => panic!("{other}"),
            }
        }
    }
}

fn root_dev_as_a_link_stays_inside() {
    let mut world = World::new();
    symlink("/etc", world.lower().join("dev")).expect("a link");
    world.document["mounts"]
        .as_array_mut()
        .expect("a list")
        .retain(|mount| {
            !mount["destination"]
                .as_str()
                .is_some_and(|at| at.starts_with("/dev"))
        });
    let before = fs::read_dir("/etc").expect("listed").count();
    let output = world.sh("ls -l /etc/null");
    assert!(output.contains("1,   3"), "{output}");
    assert_eq!(fs::read_dir("/etc").expect("listed").count(), before);
    assert!(world.upper().join("etc/null").exists());
}

/// A container that shares a volume with another one being created exchanges a directory for a
/// link as fast as it can (CVE-2021-30465).
fn root_targets_exchanged_while_mounting() {
    let mut world = World::new();
    let volume = world.folder().join("volume");
    let victim = world.folder().join("victim");
    for folder in [volume.join("directory"), victim.clone()] {
        fs::create_dir_all(folder).expect("a directory");
    }
    symlink(&victim, volume.join("link")).expect("a link");
    let exchange = gantry_sys::process::Fork::default()
        .run(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let (directory, link) = (volume.join("directory"), volume.join("link"));
            loop {
                rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    &directory,
                    rustix::fs::CWD,
                    &link,
                    flags,
                )
                .expect("exchanged");
            }
        })
        .expect("forked");
    let secret = world.folder().join("secret");
    fs::create_dir(&secret).expect("a directory");
    world.mount(
        json!({ "destination": "/volume", "type": "bind", "source": volume,
        "options": ["bind"] }),
    );
    world.mount(
        json!({ "destination": "/volume/directory/deep/target", "type": "bind",
        "source": secret, "options": ["bind"] }),
    );
    let mut started = 0;
    for _ in 0..60 {
        // Either the mount is inside, or the start fails; never is anything made outside.
        if world.try_run(&["true"]).is_ok() {
            started += 1;
        }
        assert_eq!(fs::read_dir(&victim).expect("listed").count(), 0);
    }
    exchange.signal(9).expect("sent");
    exchange.wait().expect("reaped");
    assert!(started > 0);
}

fn root_loops_of_links_end() {
    let mut world = World::new();
    symlink("b", world.lower().join("a")).expect("a link");
    symlink("a", world.lower().join("b")).expect("a link");
    symlink("c/x", world.lower().join("c")).expect("a link");
    for target in ["/a", "/a/deeper", "/c", "/c/deeper"] {
        let before = world.document.clone();
        world.mount(json!({ "destination": target, "type": "tmpfs", "source": "x" }));
        let error = world.fails(&["true"]);
        assert!(
            matches!(
                error,
                StartError::Child {
                    step: Step::MountTarget,
                    ..
                }
            ),
            "{error}"
        );
        world.document = before.clone();
        world.mount(
            json!({ "destination": target, "type": "bind", "source": "/dev/null",
            "options": ["bind"] }),
        );
        let error = world.fails(&["true"]);
        assert!(
            matches!(
                error,
                StartError::Child {
                    step: Step::MountTarget,
                    ..
                }
            ),
            "{error}"
        );
        world.document = before;
    }
}

fn root_masks_do_not_follow_links_out() {
    let mut world = World::new();
    let secret = world.folder().join("secret");
    fs::write(&secret, "secret").expect("written");
    symlink(
        format!("/proc/1/root{}", secret.display()),
        world.lower().join("mask"),
    )
    .expect("a link");
    symlink("/etc", world.lower().join("also")).expect("a link");
    world.document["linux"]["maskedPaths"] = json!(["/also"]);
    world.document["linux"]["readonlyPaths"] = json!(["/bin"]);
    fs::write(world.lower().join("etc/hidden"), "x").expect("written");
    assert_eq!(
        world.sh("ls -A /etc; ! touch /bin/x"),
        "touch: /bin/x: Read-only file system\n"
    );
    assert_eq!(fs::read_to_string(&secret).expect("read"), "secret");
    world.document["linux"]["maskedPaths"] = json!(["/mask"]);
    // A magic link is not followed at all.
    let error = world.fails(&["true"]);
    assert!(
        matches!(
            error,
            StartError::Child {
                step: Step::MaskPath,
                ..
            }
        ),
        "{error}"
    );
}
