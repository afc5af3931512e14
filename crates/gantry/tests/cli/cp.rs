//! Copying in and out of containers.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Command, Stdio};

use gantry_testkit::environment::answer;
use gantry_testkit::{Caller, TestEnv};

use crate::busybox;

in_both_modes! {
    files_and_folders_go_both_ways,
    docker_s_refusals,
    volumes_binds_and_memory_are_reached,
    streams_go_both_ways,
    a_container_that_swaps_links_stays_inside,
    a_copy_stays_quiet_without_a_terminal,
}

/// A container that runs, with some files.
fn running(env: &TestEnv, script: &str) {
    let script = format!("{script}\necho ready; exec sleep 1000");
    env.gantry(["run", "-d", "--name", "ct", "busybox", "sh", "-c", &script])
        .ok();
    gantry_testkit::environment::wait_for("the files", || {
        env.gantry(["logs", "ct"]).stdout.contains("ready")
    });
}

/// What a shell prints of this in the container.
fn inside(env: &TestEnv, script: &str) -> String {
    env.gantry(["exec", "ct", "sh", "-c", script]).ok()
}

fn files_and_folders_go_both_ways(env: TestEnv) {
    running(
        &env,
        "mkdir -p /d/sub; echo one > /d/f; echo two > /d/sub/g; ln -s f /d/l; chmod 750 /d/f",
    );
    env.gantry(["cp", "ct:/d", "./out"]).ok();
    let at = |path: &str| env.work().join(path);
    let text = |path: &str| fs::read_to_string(at(path)).unwrap();
    assert_eq!(text("out/f"), "one\n");
    assert_eq!(text("out/sub/g"), "two\n");
    assert_eq!(fs::read_link(at("out/l")).unwrap().to_str(), Some("f"));
    assert_eq!(fs::metadata(at("out/f")).unwrap().mode() & 0o7777, 0o750);
    // Into a folder that is there, and its contents alone.
    env.gantry(["cp", "ct:/d", "./out"]).ok();
    assert_eq!(text("out/d/f"), "one\n");
    env.write("flat/own", "");
    env.gantry(["cp", "ct:/d/.", "./flat"]).ok();
    assert_eq!(text("flat/sub/g"), "two\n");
    // Owners are kept by number on the way in; what was there is replaced.
    let first = match env.caller() {
        Caller::Root => 0,
        // The first subordinate ID is user 1.
        Caller::User | Caller::SingleId => 1_200_000_000 - 1,
    };
    std::os::unix::fs::chown(at("out/f"), Some(first + 77), Some(first + 78)).unwrap();
    env.gantry(["cp", "out/f", "ct:/d/sub/g"]).ok();
    assert_eq!(
        inside(&env, "cat /d/sub/g; stat -c %u:%g /d/sub/g"),
        "one\n77:78"
    );
    env.gantry(["cp", "out/.", "ct:/new"]).ok();
    assert_eq!(inside(&env, "cat /new/d/sub/g"), "two");
    // A stopped one as well, and it starts with what it got.
    env.gantry(["stop", "-t", "0", "ct"]).ok();
    env.gantry(["cp", "ct:/new/d/f", "./stopped"]).ok();
    assert_eq!(text("stopped"), "one\n");
    env.gantry(["cp", "stopped", "ct:/from-outside"]).ok();
    env.gantry(["start", "ct"]).ok();
    assert_eq!(inside(&env, "cat /from-outside"), "one");
}

fn docker_s_refusals(env: TestEnv) {
    running(&env, "mkdir /d; echo x > /f");
    env.write("f", "x");
    fs::create_dir(env.work().join("dir")).unwrap();
    for (from, to, want) in [
        (
            "ct:/nope",
            ".",
            "Could not find the file /nope in container ct",
        ),
        ("ct:/f/", ".", "not a directory"),
        ("ct:/f", "missing/", "no such directory"),
        ("ct:/f", "missing/x", "does not exist"),
        ("ct:/f", "/dev/null", "got a device"),
        ("ct:/d", "f", "cannot copy directory"),
        (
            "f",
            "ct:/nodir/x",
            "Could not find the file /nodir in container ct",
        ),
        ("f", "ct:/new/", "no such directory"),
        ("dir", "ct:/f", "cannot copy directory"),
        ("nofile", "ct:/", "no such file or directory"),
        ("f", "nobody:/", "No such container: nobody"),
        ("f", "g", "must specify at least one container source"),
        (
            "ct:/f",
            "ct:/g",
            "copying between containers is not supported",
        ),
        ("f", "ct:/etc/hosts", "busy"),
        ("-", "ct:/f", "must be a directory"),
        ("f", "ct:/proc/", "file system of the kernel"),
        ("f", "ct:/proc/1/oom_score_adj", "file system of the kernel"),
        ("ct:/proc/version", ".", "Could not find the file"),
    ] {
        let error = env.gantry(["cp", from, to]).fails(1);
        assert!(error.contains(want), "{from} {to}: {error}");
    }
    assert_ne!(inside(&env, "cat /etc/hosts"), "");
}

fn volumes_binds_and_memory_are_reached(env: TestEnv) {
    env.write("f", "x");
    let data = env.work().join("data");
    fs::create_dir(&data).unwrap();
    let bind = format!("{}:/ro:ro", data.display());
    env.gantry([
        "run",
        "-d",
        "--name",
        "ct",
        "-v",
        "vo:/vol",
        "-v",
        &bind,
        "--tmpfs",
        "/tm",
        "--read-only",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    env.gantry(["cp", "f", "ct:/vol/"]).ok();
    env.gantry(["cp", "f", "ct:/tm/"]).ok();
    assert_eq!(inside(&env, "cat /vol/f /tm/f"), "xx");
    let refused = |want: &str, to: &str| {
        let error = env.gantry(["cp", "f", to]).fails(1);
        assert!(error.contains(want), "{error}");
    };
    refused("container rootfs is marked read-only", "ct:/x");
    refused("mounted volume is marked read-only", "ct:/ro/x");
    env.gantry(["stop", "-t", "0", "ct"]).ok();
    refused("container rootfs is marked read-only", "ct:/x");
    refused("mounted volume is marked read-only", "ct:/ro/x");
    env.gantry(["cp", "f", "ct:/vol/stopped"]).ok();
    env.gantry(["cp", "ct:/vol/stopped", "back"]).ok();
    assert_eq!(fs::read_to_string(env.work().join("back")).unwrap(), "x");
}

fn streams_go_both_ways(env: TestEnv) {
    running(&env, "mkdir -p /d /in; echo one > /d/f; ln -s /d /ld");
    let listing = |path: &str| {
        let tar = answer(
            env.command(["cp", path, "-"])
                .stdout(fs::File::create(env.work().join("out.tar")).unwrap()),
        );
        assert_eq!(tar.code, 0, "{}", tar.stderr);
        answer(
            Command::new("tar")
                .arg("tf")
                .arg(env.work().join("out.tar")),
        )
        .ok()
    };
    assert_eq!(listing("ct:/ld"), "ld");
    assert_eq!(listing("ct:/d/."), "./\n./f");
    assert_eq!(listing("ct:/d"), "d/\nd/f");
    let tar = fs::read(env.work().join("out.tar")).unwrap();
    env.gantry_with_input(["cp", "-", "ct:/in"], &tar).ok();
    assert_eq!(inside(&env, "cat /in/d/f"), "one");
    env.gantry_with_input(["cp", "-", "ct:/in"], b"junk")
        .fails(1);
    env.gantry_with_input(["cp", "-a", "-", "ct:/in/"], &tar)
        .ok();
}

/// CVE-2018-15664: the container exchanges a folder for a link to the root over and over.
fn a_container_that_swaps_links_stays_inside(env: TestEnv) {
    let secret = env.write("secret", "secret of the host");
    let target = env.work();
    let script = format!(
        "mkdir -p /a/deep{0} /b; echo harmless > /a/deep{0}/secret; ln -s / /b/deep
         (while :; do mv /a/deep /a/old; mv /b/deep /a/deep; mv /a/deep /b/deep; mv /a/old /a/deep; done) &",
        target.display()
    );
    running(&env, &script);
    fs::create_dir(target.join("drop")).unwrap();
    let wanted = format!("ct:/a/deep{}", secret.display());
    for _ in 0..60 {
        drop(fs::remove_file(target.join("got")));
        // Whether it was there at that moment is chance.
        let answered = env.gantry(["cp", &wanted, "./got"]);
        if answered.code == 0 {
            assert_eq!(
                fs::read_to_string(target.join("got")).unwrap(),
                "harmless\n"
            );
        }
        let drop = format!("ct:/a/deep{}/drop", target.display());
        env.gantry(["cp", "secret", &drop]);
        assert_eq!(fs::read_dir(target.join("drop")).unwrap().count(), 0);
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret of the host");
}

/// CVE-2019-14271: nothing of the container is loaded or executed, whatever its libraries do.
#[test]
fn root_links_of_a_container_lead_nowhere_else() {
    let env = busybox();
    env.write("secret", "secret");
    let outside = env.work();
    let outside = outside.to_str().unwrap();
    running(
        &env,
        &format!(
            "ln -s {outside}/secret /s; ln -s {outside} /w; mkdir /d; ln -s ../../../../../../..{outside}/secret /d/s; mknod /d/null c 1 3; chmod 666 /d/null"
        ),
    );
    env.gantry(["cp", "-L", "ct:/s", "./got"]).fails(1);
    env.gantry(["cp", "ct:/w/secret", "./got"]).fails(1);
    env.gantry(["cp", "secret", "ct:/w/new"]).fails(1);
    assert!(!env.work().join("new").exists());
    // Links are copied as links, and what follows in the same folder does not go through them.
    env.gantry(["cp", "ct:/d", "./d"]).ok();
    assert!(env.work().join("d/s").is_symlink());
    assert_eq!(
        fs::symlink_metadata(env.work().join("d/null"))
            .unwrap()
            .mode()
            & 0o777,
        0o600
    );
    symlink("/etc", env.work().join("d2")).unwrap();
    env.gantry(["cp", "ct:/d/.", "./d2/nonesuch/x"]).fails(1);
}

fn a_copy_stays_quiet_without_a_terminal(env: TestEnv) {
    running(&env, "echo x > /f");
    let answered = env.gantry(["cp", "ct:/f", "./f"]);
    assert_eq!(
        (answered.stdout.as_str(), answered.stderr.as_str()),
        ("", "")
    );
    let mut broken = env
        .command(["cp", "ct:/bin", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(broken.stdout.take());
    assert_ne!(broken.wait().unwrap().code(), Some(0));
}
