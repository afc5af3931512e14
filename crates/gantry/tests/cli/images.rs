//! Images: pull, push, list, tag, remove, save and load.

use gantry_testkit::{TestEnv, TestRegistry};

use crate::{GANTRY, busybox};

#[test]
fn root_what_is_pushed_can_be_pulled() {
    let registry = TestRegistry::start();
    let env = busybox();
    let name = format!("{}/team/box:1", registry.address());
    env.gantry(["tag", "busybox", &name]).ok();
    let pushed = env.gantry(["push", &name]).ok();
    let digest = pushed
        .split("digest: ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let id = env.gantry(["images", "-q", "--no-trunc", "busybox"]).ok();

    let other = TestEnv::new(GANTRY);
    let pulled = other.gantry(["pull", &name]).ok();
    assert!(pulled.contains(&digest), "{pulled}");
    assert_eq!(other.gantry(["images", "-q", "--no-trunc"]).ok(), id);
    assert_eq!(
        other.gantry(["run", "--rm", &name, "echo", "hi"]).ok(),
        "hi"
    );
    let again = other.gantry(["pull", &name]).ok();
    assert!(again.contains("up to date"), "{again}");
    let by_digest = format!("{}/team/box@{digest}", registry.address());
    other.gantry(["rmi", &name]).ok();
    other.gantry(["pull", "-q", &by_digest]).ok();
    assert_eq!(
        other.gantry(["run", "--rm", &by_digest, "echo", "hi"]).ok(),
        "hi"
    );
}

#[test]
fn root_a_mirror_serves_docker_hubs_names() {
    let registry = TestRegistry::start();
    let env = busybox();
    let name = format!("{}/library/debian:bookworm-slim", registry.address());
    env.gantry(["tag", "busybox", &name]).ok();
    env.gantry(["push", "-q", &name]).ok();
    let other = TestEnv::new(GANTRY);
    other.configure(&format!(
        "[registries.\"docker.io\"]\nmirrors = [\"http://{}\"]\n",
        registry.address()
    ));
    other.write(
        "ctx/Dockerfile",
        "FROM debian:bookworm-slim\nRUN echo built > /x\nCMD [\"cat\", \"/x\"]\n",
    );
    let context = other.work().join("ctx");
    other
        .gantry(["build", "-q", "-t", "mine", context.to_str().unwrap()])
        .ok();
    assert_eq!(other.gantry(["run", "--rm", "mine"]).ok(), "built");
    assert!(other.gantry(["images"]).ok().contains("debian"));
}

#[test]
fn root_tags_come_and_go() {
    let env = busybox();
    env.gantry(["tag", "busybox", "copy:1"]).ok();
    let id = env.gantry(["images", "-q", "copy"]).ok();
    assert_eq!(env.gantry(["images", "-q", "busybox"]).ok(), id);
    assert_eq!(env.gantry(["rmi", "copy:1"]).ok(), "Untagged: copy:1");
    env.gantry(["create", "--name", "user", "busybox"]).ok();
    let used = env.gantry(["rmi", "busybox"]).fails(1);
    assert!(used.contains("container"), "{used}");
    env.gantry(["rm", "user"]).ok();
    let removed = env.gantry(["rmi", "busybox"]).ok();
    assert!(
        removed.contains("Untagged: busybox:latest") && removed.contains("Deleted: sha256:"),
        "{removed}"
    );
    assert_eq!(env.gantry(["images", "-q"]).ok(), "");
    let usage = env.gantry(["system", "df", "--format", "json"]).ok();
    assert!(usage.contains("Images"), "{usage}");
    env.gantry(["system", "check"]).ok();
}

#[test]
fn root_save_and_load_keep_the_id() {
    let env = busybox();
    let path = env.work().join("image.tar");
    let path = path.to_str().unwrap();
    env.gantry(["save", "-o", path, "busybox"]).ok();
    let other = TestEnv::new(GANTRY);
    assert_eq!(
        other.gantry(["load", "-i", path]).ok(),
        "Loaded image: busybox:latest"
    );
    let id = |env: &TestEnv| env.gantry(["images", "-q", "--no-trunc"]).ok();
    assert_eq!(id(&env), id(&other));
    assert_eq!(
        other.gantry(["run", "--rm", "busybox", "echo", "hi"]).ok(),
        "hi"
    );
}

#[test]
fn root_all_tags_of_a_repository_are_pulled() {
    let registry = TestRegistry::start();
    let env = busybox();
    let repository = format!("{}/team/box", registry.address());
    for tag in ["one", "two"] {
        let name = format!("{repository}:{tag}");
        env.gantry(["tag", "busybox", &name]).ok();
    }
    env.gantry(["push", "-q", "-a", &repository]).ok();
    let other = TestEnv::new(GANTRY);
    let pulled = other.gantry(["pull", "-a", &repository]).ok();
    let end = format!("Status: Downloaded newer image for {repository}\n{repository}");
    assert!(pulled.ends_with(&end), "{pulled}");
    let tags = other
        .gantry(["images", "--format", "{{.Tag}}", &repository])
        .ok();
    assert_eq!(tags, "one\ntwo");
    let refused = other
        .gantry(["pull", "-a", &format!("{repository}:one")])
        .fails(1);
    assert!(
        refused.contains("can't be used with --all-tags"),
        "{refused}"
    );
    let tree = other.gantry(["images", "--tree"]).ok();
    assert!(tree.ends_with(&format!("\n{repository}:two")), "{tree}");
}

#[test]
fn root_an_image_of_another_platform_is_not_meant() {
    let env = busybox();
    let (own, other) = match std::env::consts::ARCH {
        "aarch64" => ("linux/arm64", "linux/amd64"),
        _ => ("linux/amd64", "linux/arm64"),
    };
    let commands: [&[&str]; 5] = [
        &["image", "inspect", "-f", "{{.Os}}", "busybox"],
        &["history", "-q", "busybox"],
        &["save", "-o", "image.tar", "busybox"],
        &["load", "-q", "-i", "image.tar"],
        &["rmi", "busybox"],
    ];
    for words in commands {
        let on = |platform| {
            let mut all = words.to_vec();
            all.splice(words.len() - 1..words.len() - 1, ["--platform", platform]);
            if words[0] == "load" {
                all = vec!["load", "-q", "--platform", platform, "-i", "image.tar"];
            }
            env.gantry(all)
        };
        let refused = on(other).fails(1);
        assert!(refused.contains(other), "{refused}");
        on("foo").fails(125);
        on(own).ok();
    }
}

#[test]
fn root_what_is_not_there_is_said_so() {
    let env = TestEnv::new(GANTRY);
    env.configure(
        "[registries.\"docker.io\"]\nmirrors = [\"http://127.0.0.1:9\"]\nonly-mirrors = true\n",
    );
    let refused = env.gantry(["pull", "busybox"]).fails(1);
    assert!(refused.contains("127.0.0.1:9"), "{refused}");
    let bad = env.gantry(["pull", "UPPER"]).fails(1);
    assert!(bad.contains("lowercase"), "{bad}");
    let none = env.gantry(["rmi", "nonesuch"]).fails(1);
    assert!(none.contains("nonesuch"), "{none}");
}

#[test]
fn root_disk_usage_tells_of_each_thing_to_programs() {
    let env = busybox();
    env.write("ctx/Dockerfile", "FROM busybox\nRUN echo a >/a\n");
    env.gantry(["build", "-q", "-t", "built", "ctx"]).ok();
    env.gantry([
        "run",
        "--name",
        "user",
        "-v",
        "vol:/v",
        "built",
        "sh",
        "-c",
        "echo xyz >/v/x",
    ])
    .ok();
    let usage = env.json(["system", "df", "-v", "--format", "json"]);
    let names: Vec<&String> = usage.as_object().unwrap().keys().collect();
    assert_eq!(names, ["BuildCache", "Containers", "Images", "Volumes"]);
    let of = |list: &str, field: &str| -> Vec<String> {
        let rows = usage[list].as_array().unwrap().iter();
        rows.map(|row| row[field].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(of("Containers", "Names"), ["user"]);
    assert_eq!(of("Containers", "ID")[0].len(), 64);
    assert_eq!(
        (of("Volumes", "Name"), of("Volumes", "Links")),
        (vec!["vol".into()], vec!["1".into()])
    );
    let mut images = of("Images", "Repository");
    images.sort();
    assert_eq!(images, ["built", "busybox"]);
    assert!(!of("BuildCache", "Size").is_empty());
    let template = "{{len .Images}} {{range .Volumes}}{{.Name}}{{end}}";
    let said = env
        .gantry(["system", "df", "-v", "--format", template])
        .ok();
    assert_eq!(said, "2 vol");
    let refused = env
        .gantry(["system", "df", "-v", "--format", "table {{.Type}}"])
        .fails(1);
    assert!(refused.contains("--verbose"), "{refused}");
}
