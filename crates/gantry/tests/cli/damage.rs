//! Damaged documents: one bad container holds up nobody, and nothing it may need is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_testkit::environment::wait_for;
use gantry_testkit::{Answer, TestEnv};

use crate::busybox;

fn document(env: &TestEnv, id: &str) -> PathBuf {
    env.root()
        .join("containers")
        .join(id)
        .join("container.json")
}

#[test]
fn root_a_damaged_document_is_told_of_and_holds_up_nobody() {
    let env = busybox();
    let bad = env
        .gantry(["create", "--name", "bad", "-v", "vol:/v", "busybox", "true"])
        .ok();
    let good = env
        .gantry(["create", "--name", "good", "busybox", "true"])
        .ok();
    env.gantry(["volume", "create", "free"]).ok();
    let path = document(&env, &bad);
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();

    let listed = env.gantry(["ps", "-aq", "--no-trunc"]);
    assert!(
        listed.stderr.contains(path.to_str().unwrap())
            && listed
                .stderr
                .contains(&format!("gantry rm -f {}", &bad[..12]))
            && listed.stderr.matches("WARNING").count() == 1,
        "{}",
        listed.stderr
    );
    assert_eq!(listed.ok(), good);
    // What it may need stays: its image, its volume, and whatever else is there.
    env.gantry(["rmi", "-f", "busybox"]).ok();
    env.gantry(["image", "prune", "-af"]).ok();
    env.gantry(["volume", "prune", "-af"]).ok();
    let pruned = env.gantry(["system", "prune", "-af", "--volumes"]).ok();
    assert!(pruned.contains(&good), "others go: {pruned}");
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "free\nvol");
    let refused = env.gantry(["volume", "rm", "free"]).fails(1);
    assert!(
        refused.contains("cannot tell whether volume free"),
        "{refused}"
    );
    assert_eq!(fs::read_dir(env.root().join("layers")).unwrap().count(), 1);
    let found = env.gantry(["system", "check"]);
    assert_eq!(found.code, 1);
    assert!(found.stdout.contains(path.to_str().unwrap()), "{found:?}");
    let left = env.gantry(["system", "check", "--repair"]);
    assert!(left.stderr.contains("could be mended"), "{left:?}");
    assert_eq!(left.code, 1);

    let refused = env.gantry(["rm", "bad"]).fails(1);
    assert!(refused.contains("rm -f"), "{refused}");
    env.gantry(["rm", "-f", "bad"]).ok();
    let empty = env.gantry(["ps", "-aq"]);
    assert_eq!((empty.stdout.as_str(), empty.stderr.as_str()), ("", ""));
    assert!(env.root().join("names/bad").symlink_metadata().is_err());
    env.gantry(["volume", "rm", "free", "vol"]).ok();
    env.gantry(["system", "prune", "-af"]).ok();
    env.gantry(["system", "check"]).ok();
    assert_eq!(fs::read_dir(env.root().join("layers")).unwrap().count(), 0);
}

#[test]
fn root_an_empty_document_is_told_of_and_its_files_are_kept() {
    let env = busybox();
    let id = env
        .gantry(["run", "-d", "busybox", "sh", "-c", "echo mine >/kept"])
        .ok();
    env.gantry(["wait", &id]).ok();
    let path = document(&env, &id);
    fs::write(&path, "").unwrap();
    // Long enough ago for a sweep of what killed commands left.
    let folder = path.parent().unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for folder in [folder, &env.run_root().join("containers").join(&id)] {
        if let Ok(folder) = fs::File::open(folder) {
            folder.set_modified(old).unwrap();
        }
    }
    let listed = env.gantry(["ps", "-a"]);
    assert!(
        listed.stderr.contains("it is empty") && listed.stderr.contains(&id[..12]),
        "{listed:?}"
    );
    env.gantry(["system", "prune", "-af"]).ok();
    let kept = fs::read_to_string(folder.join("upper/kept"));
    assert_eq!(kept.unwrap(), "mine\n");
    env.gantry(["rm", "-f", &id]).ok();
    assert!(!folder.exists());
    assert_eq!(env.gantry(["ps", "-a"]).stderr, "");
}

#[test]
fn root_a_running_container_with_a_damaged_document_can_be_removed() {
    let env = busybox();
    let id = env.gantry(["run", "-d", "busybox", "sleep", "1000"]).ok();
    fs::write(document(&env, &id), "\0\0\0\0").unwrap();
    env.gantry(["rm", "-f", &id[..12]]).ok();
    assert!(!env.root().join("containers").join(&id).exists());
    assert!(!env.run_root().join("containers").join(&id).exists());
}

#[test]
fn root_what_can_be_mended_is_mended() {
    let env = busybox();
    let ids = ["one", "two"].map(|name| {
        env.gantry(["create", "--name", name, "busybox", "echo", name])
            .ok()
    });
    // What a power cut leaves: blocks behind the end, and a rewrite that was not renamed.
    let path = document(&env, &ids[0]);
    let text = fs::read(&path).unwrap();
    fs::write(&path, [text.as_slice(), &[0; 512]].concat()).unwrap();
    let path = document(&env, &ids[1]);
    fs::rename(&path, path.with_file_name(".container.json")).unwrap();
    fs::create_dir(&path).unwrap();
    let found = env.gantry(["system", "check"]);
    assert!(found.stderr.contains("2 findings"), "{found:?}");
    let mended = env.gantry(["system", "check", "--repair"]);
    assert!(mended.stderr.contains("2 findings, mended"), "{mended:?}");
    mended.ok();
    for name in ["one", "two"] {
        assert_eq!(env.gantry(["start", "-a", name]).ok(), name);
    }
    // The record of the last run may be anything: it is one that did not end well.
    fs::write(
        env.root()
            .join("containers")
            .join(&ids[0])
            .join("state.json"),
        "{",
    )
    .unwrap();
    let state = env.gantry(["ps", "-a", "--filter", "name=one", "--format", "{{.State}}"]);
    assert_eq!(state.ok(), "exited");
    assert_eq!(env.gantry(["start", "-a", "one"]).ok(), "one");
}

/// Where the configuration of an image is kept.
fn configuration(env: &TestEnv, image: &str) -> PathBuf {
    let id = env
        .gantry(["image", "inspect", "-f", "{{.Id}}", image])
        .ok();
    env.root()
        .join("blobs/sha256")
        .join(id.strip_prefix("sha256:").unwrap())
}

#[test]
fn root_a_damaged_image_is_told_of_and_holds_up_nobody() {
    let env = busybox();
    env.gantry(["create", "--name", "maker", "busybox", "true"])
        .ok();
    for name in ["bad:1", "good:1", "other:1"] {
        let change = format!("LABEL is={name}");
        env.gantry(["commit", "-c", &change, "maker", name]).ok();
    }
    env.gantry(["create", "--name", "user", "bad:1", "echo", "works"])
        .ok();
    let archive = env.work().join("bad.tar");
    let archive = archive.to_str().unwrap();
    env.gantry(["save", "-o", archive, "bad"]).ok();
    let path = configuration(&env, "bad:1");
    let text = fs::read(&path).unwrap();
    let short = &path.file_name().unwrap().to_str().unwrap()[..12];
    let layers = || fs::read_dir(env.root().join("layers")).unwrap().count();
    fs::write(&path, &text[..text.len() / 2]).unwrap();

    let listed = env.gantry(["images", "--format", "{{.Repository}}"]);
    assert!(
        listed.stderr.contains("bad:1")
            && listed.stderr.contains(&format!("gantry rmi -f {short}"))
            && listed.stderr.matches("WARNING").count() == 1,
        "{}",
        listed.stderr
    );
    assert_eq!(listed.ok(), "other\ngood\nbusybox");
    for command in [
        &["ps", "-a"][..],
        &["system", "df", "-v"],
        &["save", "-o", "/dev/null", "good"],
        &["inspect", "user"],
        &["rmi", "other:1"],
        &["image", "prune", "-af", "--filter", "label!=is=good:1"],
    ] {
        env.gantry(command).ok();
    }
    assert_eq!(env.gantry(["start", "-a", "user"]).ok(), "works");
    let kept = layers();
    let refused = env.gantry(["save", "-o", "/dev/null", "bad"]).fails(1);
    assert!(refused.contains("damaged"), "{refused}");
    // The same image again heals it.
    env.gantry(["load", "-i", archive]).ok();
    assert_eq!(env.gantry(["images"]).stderr, "");

    fs::write(&path, "garbage").unwrap();
    env.gantry(["rm", "user"]).ok();
    env.gantry(["rmi", "-f", short]).ok();
    assert_eq!(env.gantry(["images"]).stderr, "");
    assert_eq!(layers(), kept, "they are busybox's and good's");
    env.gantry(["system", "check"]).ok();
}

#[test]
fn root_whatever_is_in_place_of_a_blob_is_found_and_removed() {
    let env = busybox();
    env.gantry(["create", "--name", "maker", "busybox", "true"])
        .ok();
    let places = ["link", "folder", "pipe", "missing"].map(|kind| {
        let change = format!("LABEL is={kind}");
        env.gantry(["commit", "-c", &change, "maker", kind]).ok();
        let path = configuration(&env, kind);
        fs::remove_file(&path).unwrap();
        path
    });
    std::os::unix::fs::symlink("/etc/passwd", &places[0]).unwrap();
    fs::create_dir(&places[1]).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &places[2],
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let listed = env.gantry(["images", "-q"]);
    assert_eq!(listed.stderr.matches("WARNING").count(), 4, "{listed:?}");
    assert_eq!(listed.ok().lines().count(), 1);
    let mended = env.gantry(["system", "check", "--repair"]);
    assert!(mended.stderr.contains("mended"), "{mended:?}");
    mended.ok();
    assert_eq!(env.gantry(["images"]).stderr, "");
    env.gantry(["system", "check"]).ok();
}

#[test]
fn root_a_volume_with_a_damaged_document_is_shown_and_kept() {
    let env = busybox();
    for name in ["whole", "torn"] {
        env.gantry(["volume", "create", name]).ok();
    }
    fs::write(env.root().join("volumes/torn/volume.json"), "").unwrap();
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "torn\nwhole");
    env.gantry(["volume", "prune", "-f"]).ok();
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "torn\nwhole");
    env.gantry(["run", "--rm", "-v", "torn:/v", "busybox", "touch", "/v/x"])
        .ok();
    env.gantry(["volume", "rm", "torn"]).ok();
}

#[test]
fn root_a_damaged_note_of_the_bridge_holds_up_nobody() {
    let env = busybox();
    let run = |name| {
        let run = ["run", "-d", "--name", name, "busybox", "sleep", "1000"];
        env.gantry(run).ok();
        let address = "{{.NetworkSettings.IPAddress}}";
        env.gantry(["inspect", "-f", address, name]).ok()
    };
    let one = run("one");
    let note = env.run_root().join("network/state.json");
    fs::write(&note, "{").unwrap();
    let found = env.gantry(["system", "check"]);
    assert_eq!(found.code, 1);
    assert!(found.stdout.contains(note.to_str().unwrap()), "{found:?}");
    env.gantry(["network", "inspect", "bridge"]).ok();
    env.gantry(["ps"]).ok();
    // The next container is on the bridge all the same, with an address of its own.
    let two = run("two");
    assert_ne!(one, two);
    env.gantry(["exec", "two", "ping", "-c1", "-W20", &one])
        .ok();
    fs::write(&note, "").unwrap();
    let mended = env.gantry(["system", "check", "--repair"]);
    assert!(mended.stderr.contains("1 finding, mended"), "{mended:?}");
    let noted = fs::read_to_string(&note).unwrap();
    assert!(noted.contains(&one) && noted.contains(&two), "{noted}");
    env.gantry(["rm", "-f", "one", "two"]).ok();
}

#[test]
fn root_a_name_that_leads_nowhere_goes_with_the_next_prune() {
    let env = busybox();
    let id = env
        .gantry(["create", "--name", "kept", "busybox", "true"])
        .ok();
    let names = env.root().join("names");
    std::os::unix::fs::symlink("f".repeat(64), names.join("ghost")).unwrap();
    env.gantry(["container", "prune", "-f", "--filter", "label=none"])
        .ok();
    assert!(names.join("ghost").symlink_metadata().is_err());
    assert_eq!(
        env.gantry(["ps", "-aq", "--no-trunc", "-f", "name=kept"])
            .ok(),
        id
    );
}

#[test]
fn root_a_stopped_supervisor_is_made_to_go_on() {
    let env = busybox();
    for (name, command) in [
        ("one", &["rm", "-f", "one"][..]),
        ("two", &["stop", "-t", "0", "two"]),
        ("three", &["exec", "three", "true"]),
    ] {
        let run = ["run", "-d", "--name", name, "busybox", "sleep", "1000"];
        let id = env.gantry(run).ok();
        let state = env.root().join("containers").join(id).join("state.json");
        let state: serde_json::Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
        let pid = i32::try_from(state["supervisor_pid"].as_i64().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        env.gantry(command).ok();
    }
    env.gantry(["rm", "-f", "two", "three"]).ok();
}

/// A cgroup of this test's own that nothing moves in.
struct Freezer(PathBuf);

impl Freezer {
    fn with(pid: &str, name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let unified = mounts.find(|mount| mount[2] == "cgroup2").unwrap();
        let own = Self(Path::new(unified[1]).join(name));
        fs::create_dir(&own.0).unwrap();
        fs::write(own.0.join("cgroup.procs"), pid).unwrap();
        fs::write(own.0.join("cgroup.freeze"), "1").unwrap();
        wait_for("the freeze", || {
            let events = fs::read_to_string(own.0.join("cgroup.events")).unwrap();
            events.contains("frozen 1")
        });
        own
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _thawed = fs::write(self.0.join("cgroup.freeze"), "0");
        wait_for("the cgroup is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn root_a_frozen_supervisor_holds_nobody_up() {
    let env = busybox();
    let commands = [
        ("stopped", &["stop", "-t", "0", "stopped"][..]),
        ("killed", &["kill", "killed"]),
        ("removed", &["rm", "-f", "removed"]),
    ];
    let begun = commands.map(|(name, command)| {
        let run = ["run", "-d", "--name", name, "busybox", "sleep", "1000"];
        let id = env.gantry(run).ok();
        let format = "{{.State.Pid}}";
        let first = env.gantry(["inspect", "-f", format, name]).ok();
        let state = env.root().join("containers").join(&id).join("state.json");
        let state: serde_json::Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
        let frozen = Freezer::with(&state["supervisor_pid"].to_string(), &format!("test-{id}"));
        (name, first, env.spawn(command), frozen)
    });
    for (name, first, child, _frozen) in begun {
        let answer = Answer::from(child.wait_with_output().unwrap());
        assert!(answer.stderr.contains("did not answer"), "{answer:?}");
        assert_eq!(answer.ok(), name);
        wait_for("the container's process is gone", || {
            !Path::new("/proc").join(&first).exists()
        });
    }
    let states = env
        .gantry(["ps", "-a", "--format", "{{.Names}} {{.State}}"])
        .ok();
    assert_eq!(states, "killed exited\nstopped exited");
    env.gantry(["start", "stopped"]).ok();
    assert_eq!(env.gantry(["stop", "-t", "0", "stopped"]).stderr, "");
}

/// Says that it is over when it goes.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn root_a_prune_never_takes_a_volume_that_a_run_takes() {
    let env = busybox();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Whatever becomes of the rounds.
        let _ended = Ended(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                env.gantry(["volume", "prune", "-af"]).ok();
            }
        });
        for round in 0..20 {
            let name = format!("c{round}");
            env.gantry([
                "create",
                "--name",
                &name,
                "-v",
                "shared:/v",
                "busybox",
                "cat",
                "/v/x",
            ])
            .ok();
            let volume = env.root().join("volumes/shared/_data");
            let kept = fs::write(volume.join("x"), &name);
            let said = env.gantry(["start", "-a", &name]);
            assert!(
                kept.is_ok() && said.stdout == name,
                "round {round}: {kept:?} {said:?}"
            );
            env.gantry(["rm", &name]).ok();
        }
    });
}

#[test]
fn root_an_anonymous_volume_that_another_container_uses_outlives_its_maker() {
    let env = busybox();
    env.gantry(["create", "--name", "maker", "-v", "/v", "busybox", "true"])
        .ok();
    let volume = env.gantry(["volume", "ls", "-q"]).ok();
    let mount = format!("{volume}:/w");
    env.gantry(["create", "--name", "user", "-v", &mount, "busybox", "true"])
        .ok();
    env.gantry(["rm", "-v", "maker"]).ok();
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), volume);
    env.gantry(["rm", "-v", "user"]).ok();
}

#[test]
fn root_a_path_longer_than_the_kernel_takes_is_no_damage() {
    let env = busybox();
    let step = "n=$(printf %0200d 0); for i in $(seq 25); do";
    let make = format!("{step} mkdir $n && cd $n; done; echo precious > f");
    env.gantry(["run", "--name", "deep", "busybox", "sh", "-c", &make])
        .ok();
    env.gantry(["commit", "deep", "deep:1"]).ok();
    env.gantry(["system", "check", "--repair"]).ok();
    let look = format!("{step} cd $n; done; cat f");
    let run = ["run", "--rm", "deep:1", "sh", "-c", &look];
    assert_eq!(env.gantry(run).ok(), "precious");
}
