//! Digest for digest with skopeo and buildah, both ways.

use std::process::Command;

use gantry_testkit::environment::answer;
use gantry_testkit::{TestEnv, TestRegistry};

use crate::{GANTRY, busybox};

fn peer(program: &str, env: &TestEnv) -> Command {
    let mut command = Command::new(program);
    command.current_dir(env.work());
    if program == "buildah" {
        let store = env.work().join("buildah");
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(store.join("root"))
            .arg("--runroot")
            .arg(store.join("run"));
    }
    command
}

fn skopeo(env: &TestEnv, args: &[&str]) -> String {
    let mut command = peer("skopeo", env);
    answer(
        command
            .args(["--insecure-policy", "--tmpdir"])
            .arg(env.work())
            .args(args),
    )
    .ok()
}

fn config_digest(env: &TestEnv, place: &str) -> String {
    let raw = skopeo(env, &["inspect", "--raw", place]);
    let manifest: serde_json::Value = serde_json::from_str(&raw).unwrap();
    manifest["config"]["digest"].as_str().unwrap().to_owned()
}

fn built(env: &TestEnv) -> String {
    env.write("ctx/file", "content");
    env.write("ctx/Dockerfile", "FROM busybox\nCOPY file /file\nRUN rm /etc/group && mknod /node c 1 3 && chown 70000:3000000 /file\nCMD [\"cat\", \"/file\"]\n");
    let context = env.work().join("ctx");
    env.gantry(["build", "-q", "-t", "mine:1", context.to_str().unwrap()])
        .ok()
}

#[test]
fn root_skopeo_reads_what_gantry_saves() {
    let env = busybox();
    let id = built(&env);
    env.gantry(["save", "-o", "docker.tar", "mine:1"]).ok();
    assert_eq!(config_digest(&env, "docker-archive:docker.tar"), id);
    skopeo(&env, &["copy", "docker-archive:docker.tar", "oci:layout:1"]);
    assert_eq!(config_digest(&env, "oci-archive:docker.tar"), id);
}

#[test]
fn root_gantry_reads_what_skopeo_writes() {
    let env = busybox();
    let id = built(&env);
    env.gantry(["save", "-o", "docker.tar", "mine:1"]).ok();
    for format in ["oci-archive:a.tar:mine:1", "docker-archive:b.tar:mine:1"] {
        skopeo(&env, &["copy", "docker-archive:docker.tar", format]);
        let path = format.split(':').nth(1).unwrap();
        let other = TestEnv::new(GANTRY);
        let archive = env.work().join(path);
        other.gantry(["load", "-i", archive.to_str().unwrap()]).ok();
        let found = other.gantry(["images", "-q", "--no-trunc"]).ok();
        // skopeo may rewrite the configuration between Docker's and OCI's form; the layers stay.
        let layers = |env: &TestEnv, id: &str| {
            env.gantry(["inspect", "-f", "{{json .RootFS.Layers}}", id])
                .ok()
        };
        assert_eq!(layers(&other, &found), layers(&env, &id), "{format}");
        assert_eq!(other.gantry(["run", "--rm", &found]).ok(), "content");
        assert_eq!(
            other
                .gantry(["run", "--rm", &found, "stat", "-c", "%u:%g", "/file"])
                .ok(),
            "70000:3000000"
        );
    }
}

#[test]
fn root_a_registry_between_them_changes_nothing() {
    let registry = TestRegistry::start();
    let env = busybox();
    let id = built(&env);
    let name = format!("{}/mine:1", registry.address());
    env.gantry(["tag", "mine:1", &name]).ok();
    env.gantry(["push", "-q", &name]).ok();
    let place = format!("docker://{name}");
    let raw = skopeo(&env, &["inspect", "--raw", "--tls-verify=false", &place]);
    assert!(raw.contains(&id), "{raw}");
    let zstd = format!("docker://{}/mine:zstd", registry.address());
    skopeo(
        &env,
        &[
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--dest-compress-format",
            "zstd",
            "-f",
            "oci",
            &place,
            &zstd,
        ],
    );
    let other = TestEnv::new(GANTRY);
    for tag in ["1", "zstd"] {
        let name = format!("{}/mine:{tag}", registry.address());
        other.gantry(["pull", "-q", &name]).ok();
        assert_eq!(other.gantry(["run", "--rm", &name]).ok(), "content");
    }
    other.gantry(["system", "check"]).ok();
}

#[test]
fn root_buildah_builds_on_gantrys_image_and_gantry_on_buildahs() {
    let env = busybox();
    built(&env);
    env.gantry(["save", "-o", "docker.tar", "mine:1"]).ok();
    let run = |args: &[&str]| answer(peer("buildah", &env).args(args)).ok();
    let pulled = run(&["pull", "-q", "docker-archive:docker.tar"]);
    let container = run(&["from", &pulled]);
    run(&["copy", "-q", &container, "ctx/file", "/from-buildah"]);
    run(&["commit", "-q", &container, "oci-archive:back.tar:back:1"]);
    run(&["rm", &container]);
    env.gantry(["load", "-i", "back.tar"]).ok();
    let shown = env
        .gantry([
            "run",
            "--rm",
            "back:1",
            "sh",
            "-c",
            "cat /file /from-buildah; test -e /etc/group || echo gone",
        ])
        .ok();
    assert_eq!(shown, "contentcontentgone");
    run(&["rmi", "-a", "-f"]);
}
