//! Digest for digest with skopeo, buildah and podman, both ways.

use gantry_testkit::peers::MODEST_LIMITS;
use gantry_testkit::{Peers, TestEnv, TestRegistry};

use crate::{GANTRY, busybox};

/// What `mine:1` and everything made from it must show.
const OWNER: &str = "70000:3000000";

/// An installation with `mine:1`, saved as `mine.tar`, and the image's id. Its layers hold what
/// is easily lost on the way: a whiteout, a device, large owners, a hard link.
fn saved() -> (TestEnv, String) {
    let env = busybox();
    env.write("ctx/file", "content");
    let text = format!(
        "FROM busybox\nCOPY file /file\n\
         RUN rm /etc/group && mknod /node c 1 3 && chown {OWNER} /file && ln /file /hard\n\
         CMD [\"cat\", \"/file\"]\n"
    );
    env.write("ctx/Dockerfile", text);
    let id = env.gantry(["build", "-q", "-t", "mine:1", "ctx"]).ok();
    env.gantry(["save", "-o", "mine.tar", "mine:1"]).ok();
    (env, id)
}

fn config_digest(peers: &Peers, place: &str) -> String {
    let raw = peers.skopeo(&["inspect", "--raw", "--tls-verify=false", place]);
    let manifest: serde_json::Value = serde_json::from_str(&raw).unwrap();
    manifest["config"]["digest"].as_str().unwrap().to_owned()
}

/// The id and the diff IDs of an image, as Gantry tells them.
fn told_by_gantry(env: &TestEnv, image: &str) -> [String; 2] {
    ["{{.Id}}", "{{json .RootFS.Layers}}"]
        .map(|format| env.gantry(["image", "inspect", "-f", format, image]).ok())
}

/// The same, as podman tells them.
fn told_by_podman(peers: &Peers, image: &str) -> [String; 2] {
    let told = |format| peers.podman(&["image", "inspect", "-f", format, image]);
    [
        format!("sha256:{}", told("{{.Id}}")),
        told("{{json .RootFS.Layers}}"),
    ]
}

/// Loads an archive into an installation of its own and runs what is in it.
fn loaded_and_run(env: &TestEnv, archive: &str, command: &[&str]) -> (TestEnv, String, String) {
    let other = TestEnv::new(GANTRY);
    let archive = env.work().join(archive);
    other.gantry(["load", "-i", archive.to_str().unwrap()]).ok();
    let id = other.gantry(["images", "-q", "--no-trunc"]).ok();
    let shown = other.gantry([&["run", "--rm", &id], command].concat()).ok();
    (other, id, shown)
}

#[test]
fn root_skopeo_reads_what_gantry_saves() {
    let (env, id) = saved();
    let peers = Peers::beside(&env);
    for place in ["docker-archive:mine.tar", "oci-archive:mine.tar"] {
        assert_eq!(config_digest(&peers, place), id, "{place}");
        drop(peers.skopeo(&["copy", place, "oci:layout:1"]));
        assert_eq!(config_digest(&peers, place), id, "{place} copied");
    }
}

#[test]
fn root_gantry_reads_what_skopeo_writes() {
    let (env, id) = saved();
    let peers = Peers::beside(&env);
    for form in [
        "oci-archive:back.tar:mine:1",
        "docker-archive:back.tar:mine:1",
    ] {
        drop(std::fs::remove_file(env.work().join("back.tar")));
        drop(peers.skopeo(&["copy", "docker-archive:mine.tar", form]));
        let (other, found, shown) = loaded_and_run(&env, "back.tar", &[]);
        assert_eq!(shown, "content", "{form}");
        // skopeo may rewrite the configuration between Docker's and OCI's form: the id is that of
        // what it wrote, and the layers stay.
        let place = form.strip_suffix(":mine:1").unwrap();
        assert_eq!(found, config_digest(&peers, place), "{form}");
        assert_eq!(
            told_by_gantry(&other, &found)[1],
            told_by_gantry(&env, &id)[1],
            "{form}"
        );
        let owner = ["run", "--rm", &found, "stat", "-c", "%u:%g", "/file"];
        assert_eq!(other.gantry(owner).ok(), OWNER, "{form}");
    }
}

#[test]
fn root_podman_reads_and_runs_what_gantry_saves() {
    let (env, id) = saved();
    let peers = Peers::beside(&env);
    for form in ["docker-archive", "oci-archive"] {
        drop(peers.podman(&["pull", "-q", &format!("{form}:mine.tar")]));
        assert_eq!(
            told_by_podman(&peers, &id["sha256:".len()..]),
            told_by_gantry(&env, &id),
            "{form}"
        );
        let run = ["run", "--rm", "--network", "none"];
        let script = "cat /file; stat -c ' %u:%g %h' /file; test -c /node && echo node; \
                      test -e /etc/group || echo gone";
        let told = [id.as_str(), "sh", "-c", script];
        let shown = peers.podman(&[&run[..], &MODEST_LIMITS, &told].concat());
        assert_eq!(shown, format!("content {OWNER} 2\nnode\ngone"), "{form}");
        drop(peers.podman(&["rmi", "-a", "-f"]));
    }
}

/// podman and buildah share their storage, so what one builds the other writes.
#[test]
fn root_gantry_reads_what_podman_and_buildah_build_and_write() {
    let (env, _) = saved();
    let peers = Peers::beside(&env);
    drop(peers.podman(&["load", "-q", "-i", "mine.tar"]));
    let text = "FROM docker.io/library/mine:1\n\
                RUN rm /file && echo new > /new && mkdir /d && mkfifo /d/fifo\n\
                COPY file /again\nCMD [\"cat\", \"/new\", \"/again\"]\n";
    env.write("ctx/Dockerfile.theirs", text);
    for builder in ["oci", "docker"] {
        let build = ["build", "-q", "--network", "none", "--format", builder];
        let rest = ["-t", "theirs:1", "-f", "ctx/Dockerfile.theirs", "ctx"];
        let id = peers.podman(&[&build[..], &MODEST_LIMITS, &rest].concat());
        let told = told_by_podman(&peers, &id);
        for (writer, form) in [
            ("podman", "docker-archive"),
            ("podman", "oci-archive"),
            ("buildah", "docker-archive"),
            ("buildah", "oci-archive"),
            ("skopeo", "docker-archive"),
            ("skopeo", "oci-archive"),
        ] {
            let case = format!("{builder} {writer} {form}");
            drop(std::fs::remove_file(env.work().join("back.tar")));
            let place = format!("{form}:back.tar:theirs:1");
            drop(match writer {
                "podman" => {
                    peers.podman(&["save", "-q", "--format", form, "-o", "back.tar", "theirs:1"])
                }
                "buildah" => peers.buildah(&["push", "-q", "localhost/theirs:1", &place]),
                _ => peers.skopeo(&["copy", &peers.stored("localhost/theirs:1"), &place]),
            });
            let written = config_digest(&peers, &format!("{form}:back.tar"));
            let (other, found, shown) = loaded_and_run(&env, "back.tar", &[]);
            assert_eq!(shown, "new\ncontent", "{case}");
            assert_eq!(found, written, "{case}: the id is what they wrote");
            assert_eq!(told_by_gantry(&other, &found)[1], told[1], "{case}");
            if (builder == "oci") == (form == "oci-archive") {
                assert_eq!(told_by_gantry(&other, &found), told, "{case}");
            }
        }
    }
    drop(peers.podman(&["rmi", "-a", "-f"]));
}

#[test]
fn root_a_registry_between_them_changes_nothing() {
    let registry = TestRegistry::start();
    let (env, id) = saved();
    let peers = Peers::beside(&env);
    let name = |tag: &str| format!("{}/mine:{tag}", registry.address());
    let place = |tag: &str| format!("docker://{}", name(tag));
    env.gantry(["tag", "mine:1", &name("1")]).ok();
    env.gantry(["push", "-q", &name("1")]).ok();
    assert_eq!(config_digest(&peers, &place("1")), id);
    drop(peers.podman(&["pull", "-q", "--tls-verify=false", &name("1")]));
    assert_eq!(
        told_by_podman(&peers, &name("1")),
        told_by_gantry(&env, &id)
    );
    let manifest = peers.podman(&["image", "inspect", "-f", "{{.Digest}}", &name("1")]);
    let digests = [
        "image",
        "inspect",
        "-f",
        "{{json .RepoDigests}}",
        &name("1"),
    ];
    let digests = env.gantry(digests).ok();
    assert!(digests.contains(&manifest), "{digests} and {manifest}");

    let zstd = [
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--dest-compress-format",
        "zstd",
        "-f",
        "oci",
    ];
    drop(peers.skopeo(&[&zstd[..], &[&place("1"), &place("zstd")]].concat()));
    let digest_file = env.work().join("digest");
    drop(peers.buildah(&[
        "push",
        "-q",
        "--tls-verify=false",
        "--digestfile",
        digest_file.to_str().unwrap(),
        &name("1"),
        &place("buildah"),
    ]));
    let other = TestEnv::new(GANTRY);
    for tag in ["1", "zstd", "buildah"] {
        other.gantry(["pull", "-q", &name(tag)]).ok();
        assert_eq!(other.gantry(["run", "--rm", &name(tag)]).ok(), "content");
        assert_eq!(
            told_by_gantry(&other, &name(tag))[0],
            config_digest(&peers, &place(tag)),
            "{tag}"
        );
    }
    let pushed = std::fs::read_to_string(digest_file).unwrap();
    let by_digest = format!("{}/mine@{}", registry.address(), pushed.trim());
    other.gantry(["pull", "-q", &by_digest]).ok();
    other.gantry(["system", "check"]).ok();
    drop(peers.podman(&["rmi", "-a", "-f"]));
}

#[test]
fn root_buildah_works_on_gantrys_image_and_gantry_on_buildahs() {
    let (env, _) = saved();
    let peers = Peers::beside(&env);
    let pulled = peers.buildah(&["pull", "-q", "docker-archive:mine.tar"]);
    let container = peers.buildah(&["from", &pulled]);
    drop(peers.buildah(&["copy", "-q", &container, "ctx/file", "/from-buildah"]));
    drop(peers.buildah(&["commit", "-q", &container, "oci-archive:back.tar:back:1"]));
    drop(peers.buildah(&["rm", &container]));
    let script = "cat /file /from-buildah; test -e /etc/group || echo gone";
    let (_, id, shown) = loaded_and_run(&env, "back.tar", &["sh", "-c", script]);
    assert_eq!(shown, "contentcontentgone");
    assert_eq!(id, config_digest(&peers, "oci-archive:back.tar"));
    drop(peers.buildah(&["rmi", "-a", "-f"]));
}
