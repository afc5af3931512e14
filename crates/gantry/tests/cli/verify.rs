//! `gantry build verify`: images built again, and what differs.

use std::fs;

use gantry_testkit::web::GitServer;
use gantry_testkit::{Answer, Peers, TestEnv, TestRegistry};
use serde_json::Value;

in_both_modes! {
    an_image_is_the_same_again_or_its_first_difference_is_told,
    each_platform_is_verified_by_itself,
}

const FIXED: &str = "--build-arg=SOURCE_DATE_EPOCH=1700000000";

/// Builds the context into an archive with provenance, and loads that.
fn attested(env: &TestEnv, name: &str, context: &str, flags: &[&str]) {
    let output = format!("-o=type=oci,dest=made.tar,rewrite-timestamp=true,name={name}");
    let mut args = vec!["build", "-q", "--provenance=mode=max", &output];
    args.extend(flags);
    args.push(context);
    env.gantry(args).ok();
    env.gantry(["load", "-q", "-i", "made.tar"]).ok();
}

fn verify(env: &TestEnv, args: &[&str]) -> Answer {
    env.gantry(["build", "verify", "--progress=plain"].iter().chain(args))
}

fn same(env: &TestEnv, args: &[&str]) -> String {
    let answer = verify(env, args);
    assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
    assert!(
        answer.stdout.starts_with("verified: sha256:"),
        "{}",
        answer.stdout
    );
    answer.stdout + &answer.stderr
}

fn differs(env: &TestEnv, args: &[&str], want: &[&str]) -> String {
    let answer = verify(env, args);
    assert_eq!(answer.code, 1, "{}{}", answer.stdout, answer.stderr);
    for text in want {
        assert!(
            answer.stdout.contains(text),
            "{text}: {}{}",
            answer.stdout,
            answer.stderr
        );
    }
    answer.stdout
}

/// What of the store a command could leave behind.
fn kept(env: &TestEnv) -> [String; 3] {
    let mut layers: Vec<String> = fs::read_dir(env.root().join("layers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    layers.sort();
    let cache = env.gantry(["builder", "du", "--verbose"]).ok();
    // The context's digests are remembered by every build, whatever its flags.
    let steps = cache.split("\n\n").filter(|row| row.contains("regular"));
    let ids = steps.filter_map(|row| row.lines().find(|line| line.starts_with("ID:")));
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    let images = env.gantry(["images", "-aq", "--no-trunc"]).ok();
    [layers.join("\n"), ids.join("\n"), images]
}

fn an_image_is_the_same_again_or_its_first_difference_is_told(env: TestEnv) {
    env.write("ctx/hello", "hello\n");
    env.write("ctx/sub/made", "FROM busybox AS low\nARG WORD\nCOPY hello /copied/\nRUN echo $WORD > /word && cat /proc/uptime > /tmp/gone && rm /tmp/gone\nFROM low\nRUN exit 1\n");
    let flags = [
        "--build-arg=WORD=mine",
        "--target=low",
        "--label=a=b",
        "-f=ctx/sub/made",
    ];
    attested(&env, "app:1", "ctx", &[&flags[..], &[FIXED]].concat());
    let before = kept(&env);
    let told = same(&env, &["app:1", "ctx"]);
    assert!(told.contains("the same to the byte"), "{told}");
    assert!(!told.contains("CACHED"), "every step runs again: {told}");
    // What the flags say stands before what the image says.
    differs(
        &env,
        &["--build-arg=WORD=yours", "app:1", "ctx"],
        &[
            "not verified: app:1: the configuration has",
            "created_by",
            "WORD=yours",
        ],
    );
    env.write("ctx/hello", "hellO\n");
    differs(
        &env,
        &["app:1", "ctx"],
        &["COPY hello /copied/: the content of /copied/hello differs from byte 4 on"],
    );
    let found = verify(&env, &["--format=json", "app:1", "ctx"]);
    assert_eq!(found.code, 1, "{}", found.stderr);
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(found["verified"], false);
    assert_eq!(found["sourceDateEpoch"], 1_700_000_000);
    let layer = &found["layers"][0];
    assert_eq!(
        (&layer["files"][0]["path"], &layer["changed"]),
        (&"/copied/hello".into(), &1.into())
    );
    assert_eq!(layer["files"][0]["differences"][0]["offset"], 4);
    assert_eq!(kept(&env), before, "nothing is left");
    let lost = verify(&env, &["app:1"]).fails(1);
    assert!(lost.contains("gantry build verify app:1 PATH"), "{lost}");
    let lost = verify(&env, &["app:1", "nonesuch"]).fails(1);
    assert!(lost.contains("nonesuch"), "{lost}");

    // Without provenance, and with the time of day in a file.
    env.write(
        "clock/Dockerfile",
        "FROM busybox\nRUN echo a > /same\nRUN echo b > /e && cat /proc/uptime > /f\n",
    );
    env.gantry(["build", "-q", "-t", "clock", "clock"]).ok();
    let told = differs(
        &env,
        &["clock", "clock"],
        &["[3/3] RUN echo b > /e && cat /proc/uptime > /f: the content of /f differs from byte"],
    );
    assert!(!told.contains("/same"), "{told}");
    // What differs in its time alone counts when that is asked for.
    env.write("clock/Dockerfile", "FROM busybox\nRUN echo a > /same\n");
    env.gantry(["build", "-q", "-t", "still", "clock"]).ok();
    let told = same(&env, &["still", "clock"]);
    assert!(
        told.contains("no provenance") && told.contains("--strict"),
        "{told}"
    );
    differs(
        &env,
        &["--strict", "still", "clock"],
        &["the mtime of /same is"],
    );
    let squashed = [
        "build",
        "-q",
        "--squash",
        "-t",
        "flat",
        "ctx",
        "-f",
        "ctx/sub/made",
        "--target=low",
    ];
    env.gantry(squashed).ok();
    same(&env, &["flat", "ctx", "-f", "ctx/sub/made", "--target=low"]);
}

fn each_platform_is_verified_by_itself(env: TestEnv) {
    env.write("ctx/file", "file");
    env.write(
        "ctx/Dockerfile",
        "FROM scratch\nARG TARGETARCH\nENV FOR=$TARGETARCH\nCOPY file /\n",
    );
    let host = gantry_model::Platform::host().to_string();
    let both = format!("--platform=linux/riscv64,{host}");
    attested(&env, "both:1", "ctx", &[FIXED, &both]);
    let native = same(&env, &["--format=text", "both:1", "ctx"]);
    let other = same(&env, &["--platform=linux/riscv64", "both:1", "ctx"]);
    let id = |text: &str| text.lines().next().unwrap().to_owned();
    assert_ne!(id(&native), id(&other));
    // What is said of the images leaves with them.
    env.gantry(["save", "-o", "saved.tar", "both:1"]).ok();
    env.gantry(["rmi", "-f", "both:1"]).ok();
    env.gantry(["load", "-q", "-i", "saved.tar"]).ok();
    assert!(!same(&env, &["both:1", "ctx"]).contains("no provenance"));
    let none = verify(&env, &["--platform=linux/s390x", "both:1", "ctx"]);
    assert!(
        none.code != 0 && none.stderr.contains("linux/riscv64"),
        "{}",
        none.stderr
    );
}

#[test]
fn root_what_went_in_is_what_the_provenance_names() {
    let env = crate::busybox();
    let registry = TestRegistry::start();
    let at = registry.address();
    let (base, name) = (format!("{at}/base:1"), format!("{at}/app:1"));
    env.gantry(["tag", "busybox", &base]).ok();
    env.gantry(["push", "-q", &base]).ok();
    let server = GitServer::start();
    let repository = server.repository("app.git");
    repository.write("Dockerfile", &format!("FROM {base}\nCOPY word /\n"));
    repository.write("word", "first\n");
    let _commit = repository.commit();
    let push = [
        "build",
        "-q",
        "--provenance=true",
        "--push",
        FIXED,
        "-t",
        &name,
    ];
    let context = format!("{}#main", server.url("app.git"));
    env.gantry(push.iter().chain(&[context.as_str()])).ok();
    // All of it moves on.
    repository.write("word", "second\n");
    let _commit = repository.commit();
    env.write(
        "other/Dockerfile",
        "FROM busybox\nRUN echo other > /bin/other\n",
    );
    let second = format!("{at}/base:2");
    env.gantry(["build", "-q", "-t", &base, "-t", &second, "--push", "other"])
        .ok();
    let elsewhere = TestEnv::new(crate::GANTRY);
    let told = same(&elsewhere, &[&name]);
    assert!(told.contains("the same to the byte"), "{told}");
    // Another base in its place makes another image, which is told as what it is.
    env.write("ctx/word", "first\n");
    env.write("ctx/Dockerfile", format!("FROM {base}\nCOPY word /\n"));
    let stands_in = format!("--build-context={base}=docker-image://{second}");
    let context = env.work().join("ctx");
    let context = context.to_str().unwrap();
    differs(&elsewhere, &[&stands_in, &name, context], &["not verified"]);
    // And one that is nowhere any more is named.
    let peers = Peers::beside(&env);
    let old = env.json(["image", "inspect", "busybox"]);
    let digest = old[0]["RepoDigests"][0].as_str().unwrap().to_owned();
    let source = format!("docker://{digest}");
    let _quiet = peers.skopeo(&["delete", "--tls-verify=false", &source]);
    let third = TestEnv::new(crate::GANTRY);
    let gone = verify(&third, &[&name]).fails(1);
    assert!(
        gone.contains(&format!("the base image {base} moved")),
        "{gone}"
    );
}

#[test]
fn root_attestations_come_and_go_with_all_platforms() {
    let env = crate::busybox();
    let registry = TestRegistry::start();
    let (name, copy) = (
        format!("{}/said:1", registry.address()),
        format!("{}/copy:1", registry.address()),
    );
    env.write("ctx/Dockerfile", "FROM busybox\nRUN echo a > /a\n");
    let flags = ["--provenance=true", "--sbom=true", "--push", "-t", &name];
    env.gantry(["build", "-q"].iter().chain(&flags).chain(&["ctx"]))
        .ok();
    let other = TestEnv::new(crate::GANTRY);
    other.gantry(["pull", "-q", "--all-platforms", &name]).ok();
    other.gantry(["tag", &name, &copy]).ok();
    other.gantry(["push", "-q", &copy]).ok();
    let peers = Peers::beside(&env);
    let raw = |name: &str| -> Value {
        let source = format!("docker://{name}");
        let text = peers.skopeo(&["inspect", "--raw", "--tls-verify=false", &source]);
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(raw(&name), raw(&copy), "to the byte");
    // An archive has other manifests, and the statements are about those.
    other.gantry(["save", "-o", "saved.tar", &name]).ok();
    let folder = other.work().join("saved");
    fs::create_dir(&folder).unwrap();
    let tar = std::process::Command::new("tar")
        .args(["-xf", "../saved.tar"])
        .current_dir(&folder)
        .status();
    assert!(tar.unwrap().success());
    let blob = |digest: &Value| -> Value {
        let path = digest.as_str().unwrap().replace(':', "/");
        serde_json::from_slice(&fs::read(folder.join("blobs").join(path)).unwrap()).unwrap()
    };
    let layout: Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let index = blob(&layout["manifests"][0]["digest"]);
    let [image, beside] = &index["manifests"].as_array().unwrap()[..] else {
        panic!("{index}")
    };
    assert_eq!(
        beside["annotations"]["vnd.docker.reference.digest"],
        image["digest"]
    );
    let statements = blob(&beside["digest"])["layers"].clone();
    assert_eq!(statements.as_array().unwrap().len(), 2);
    let subject = blob(&statements[0]["digest"])["subject"][0]["digest"]["sha256"].clone();
    let digest = image["digest"].as_str().unwrap();
    assert_eq!(format!("sha256:{}", subject.as_str().unwrap()), digest);
}
