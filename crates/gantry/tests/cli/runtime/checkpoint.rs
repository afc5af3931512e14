//! checkpoint and restore, with a program in criu's place that speaks as it does: what criu itself
//! can do depends on the kernel.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use super::bundles::Bundles;

/// A bundle that sleeps, and the folder of the program in criu's place.
fn sleeping() -> (Bundles, PathBuf) {
    let bundles = Bundles::running("exec sleep 1000");
    let folder = bundles.env.work().join("criu");
    fs::create_dir(&folder).unwrap();
    // Not written here: a child that another test starts meanwhile would hold it open for writing,
    // and nobody executes such a file.
    let copied = Command::new("install")
        .arg("--mode=755")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/cli/runtime/criu.py"
        ))
        .arg(folder.join("criu"))
        .status();
    assert!(copied.unwrap().success());
    (bundles, folder)
}

#[test]
fn root_what_criu_is_asked_for() {
    let (bundles, criu) = sleeping();
    let program = criu.join("criu");
    let program = program.to_str().unwrap();
    let shared = bundles.env.work().join("shared");
    fs::create_dir(&shared).unwrap();
    bundles.edit(|document| {
        let mounts = document["mounts"].as_array_mut().unwrap();
        mounts.push(
            json!({ "destination": "/shared", "type": "bind", "source": shared,
            "options": ["bind"] }),
        );
    });
    let (one, two) = (&bundles.id("one"), &bundles.id("two"));
    bundles.runtime(["run", "-d", one]).ok();
    let images = bundles.env.work().join("images");
    let images = images.to_str().unwrap();
    let checkpoint = ["--criu", program, "checkpoint", "--image-path", images];

    // A failure is told by its first reason, and the container goes on.
    fs::write(criu.join("fail"), "").unwrap();
    let said = bundles.runtime([&checkpoint[..], &[one]].concat()).fails(1);
    assert!(said.contains("something is in the way"), "{said}");
    assert!(said.contains("dump.log"), "{said}");
    assert_eq!(bundles.told(one)["status"], "running");
    fs::remove_file(criu.join("fail")).unwrap();

    let flags = ["--leave-running", "--file-locks", "--empty-ns", "network"];
    let pid = bundles.told(one)["pid"].to_string();
    bundles
        .runtime([&checkpoint[..], &flags, &[one]].concat())
        .ok();
    assert_eq!(bundles.told(one)["status"], "running");
    let asked = fs::read_to_string(criu.join("asked")).unwrap();
    let root = bundles.bundle().join("rootfs");
    for line in [
        &format!("2 {pid}"),
        "3 1",
        "8 1",
        &format!("13 {}", root.display()),
        "23 /shared /shared",
        "38 1073741824",
    ] {
        assert!(asked.lines().any(|other| other == line), "{line}: {asked}");
    }
    bundles.runtime([&checkpoint[..], &[one]].concat()).ok();
    assert_eq!(bundles.runtime(["list", "-q"]).ok(), "");

    // It comes back under another name, in a cgroup of its own.
    let restore = ["--criu", program, "restore", "--image-path", images, two];
    let mut back = bundles
        .command(restore)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    gantry_testkit::environment::wait_for("the container that came back", || {
        bundles.runtime(["state", two]).stdout.contains("running")
    });
    let pid = bundles.told(two)["pid"].to_string();
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(
        cgroup.contains(&format!("/gantry-runtime-{two}")),
        "{cgroup}"
    );
    let asked = fs::read_to_string(criu.join("asked")).unwrap();
    let mount = format!("23 /shared {}", shared.display());
    assert!(asked.lines().any(|line| line == mount), "{asked}");
    let place = bundles.state().join(two).join("criu-root");
    let place = format!("13 {}", place.display());
    assert!(asked.lines().any(|line| line == place), "{asked}");
    back.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(back.wait().unwrap().code(), Some(7));
    assert_eq!(bundles.runtime(["list", "-q"]).ok(), "");
}

#[test]
fn root_what_does_not_come_back_leaves_nothing() {
    let (bundles, criu) = sleeping();
    let program = criu.join("criu");
    let program = program.to_str().unwrap();
    let said = bundles.env.work().join("hooks");
    let hook = |word: &str| {
        json!([{ "path": "/bin/sh",
        "args": ["sh", "-c", format!("echo {word} >> {}", said.display())] }])
    };
    bundles.edit(|document| {
        document["hooks"] = json!({ "createRuntime": hook("made"), "poststop": hook("gone") });
    });
    let images = bundles.env.work().join("images");
    fs::create_dir(&images).unwrap();
    fs::write(
        images.join("descriptors.json"),
        r#"["/dev/null","pipe:[7]",""]"#,
    )
    .unwrap();
    fs::write(criu.join("fail"), "").unwrap();
    let two = &bundles.id("two");
    let images = images.to_str().unwrap();
    let restore = [
        "--criu",
        program,
        "restore",
        "-d",
        "--image-path",
        images,
        two,
    ];
    let told = bundles.runtime(restore).fails(1);
    assert!(told.contains("something is in the way"), "{told}");
    assert_eq!(fs::read_to_string(said).unwrap(), "made\ngone\n");
    assert_eq!(bundles.runtime(["list", "-q"]).ok(), "");
    let asked = fs::read_to_string(criu.join("asked")).unwrap();
    assert!(asked.lines().any(|line| line == "27 pipe:[7] 1"), "{asked}");
}

#[test]
fn root_without_criu_there_is_no_checkpoint() {
    let (bundles, criu) = sleeping();
    let one = &bundles.id("one");
    bundles.runtime(["run", "-d", one]).ok();
    let out = bundles
        .command(["checkpoint", one])
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(
        said.contains("checkpoint needs criu, which is not installed"),
        "{said}"
    );
    let program = criu.join("criu");
    let told = bundles
        .runtime([
            "--criu",
            program.to_str().unwrap(),
            "checkpoint",
            "--empty-ns",
            "ipc",
            one,
        ])
        .fails(1);
    assert!(told.contains("--empty-ns"), "{told}");
    assert_eq!(bundles.told(one)["status"], "running");
}
