//! `gantry bake`: definitions, what is printed and listed, and the builds.

use std::os::unix::fs::PermissionsExt;

use gantry_testkit::TestEnv;

in_both_modes! {
    outputs_do_not_leave_what_is_granted_through_links_of_their_own,
    targets_limit_their_steps_and_are_granted_privileges,
    targets_of_a_file_are_built_together,
}

#[test]
fn the_example_of_the_page_works_as_it_is_written() {
    let env = crate::busybox();
    env.gantry(["tag", "busybox", "busybox:1.37"]).ok();
    let page = include_str!("../../../../docs/bake.md");
    let block = |start: &str| {
        let (_, rest) = page.split_once(start).unwrap();
        rest.split_once("```").unwrap().0
    };
    env.write("docker-bake.hcl", block("```hcl\n"));
    for name in ["web/Dockerfile", "Dockerfile"] {
        env.write(name, block(&format!("```dockerfile\n# {name}\n")));
    }
    let built = env.gantry(["bake", "--progress=plain"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let kind = ["run", "--rm", "shop/tools:full", "cat", "/kind"];
    assert_eq!(env.gantry(kind).ok(), "full");
    assert_eq!(env.gantry(["run", "--rm", "shop/web"]).ok(), "well");
    assert_eq!(env.gantry(["bake", "--print", "tools-*"]).code, 0);
}

const FILE: &str = r#"
variable "TAG" { default = "v1" }
group "default" { targets = ["web", "tools"] }
target "common" {
  args = { GREETING = "hello" }
  labels = { made = "by ${TAG}" }
}
target "web" {
  inherits = ["common"]
  context = "web"
  tags = ["baked:${TAG}"]
}
target "tools" {
  name = "tools-${kind}"
  matrix = { kind = ["a", "b"] }
  dockerfile-inline = <<EOT
FROM busybox
ARG KIND
RUN echo $KIND > /kind
EOT
  args = { KIND = kind }
  tags = ["tools:${kind}"]
}
target "app" {
  contexts = { base = "target:web", kinds = "target:tools-a" }
  dockerfile-inline = <<EOT
FROM base
COPY --from=kinds /kind /copied
RUN --mount=from=kinds,target=/m cat /m/kind /file > /both
EOT
  tags = ["app"]
}
target "files" {
  inherits = ["web"]
  output = ["type=local,dest=out"]
}
"#;

fn targets_of_a_file_are_built_together(env: TestEnv) {
    env.write("docker-bake.hcl", FILE);
    let dockerfile =
        "FROM busybox\nARG GREETING\nCOPY file /file\nRUN echo $GREETING > /greeting\n";
    env.write("web/Dockerfile", dockerfile);
    env.write("web/file", "content\n");
    // What a context names is built with it, but not given a name.
    let linked = env.gantry(["bake", "--progress=plain", "app"]);
    assert_eq!(linked.code, 0, "{}", linked.stderr);
    let files = ["run", "--rm", "app", "cat", "/greeting", "/copied", "/both"];
    assert_eq!(env.gantry(files).ok(), "hello\na\na\ncontent");
    assert_eq!(env.gantry(["images", "-q", "baked"]).ok(), "");
    let label = ["inspect", "-f", "{{.Config.Labels.made}}", "app"];
    assert_eq!(env.gantry(label).ok(), "by v1");
    let words = [
        "bake",
        "--progress=plain",
        "--var",
        "TAG=v2",
        "--metadata-file=made.json",
    ];
    let built = env.gantry(words);
    assert_eq!(built.code, 0, "{}", built.stderr);
    for vertex in [
        "[web 2/3] COPY file /file",
        "[tools-a 2/2] RUN echo",
        "[tools-b 2/2] RUN echo",
    ] {
        assert!(built.stderr.contains(vertex), "{vertex}: {}", built.stderr);
    }
    let show = |image: &str, path: &str| env.gantry(["run", "--rm", image, "cat", path]).ok();
    assert_eq!(show("baked:v2", "/greeting"), "hello");
    assert_eq!(show("tools:a", "/kind"), "a");
    assert_eq!(show("tools:b", "/kind"), "b");
    let label = ["inspect", "-f", "{{.Config.Labels.made}}", "baked:v2"];
    assert_eq!(env.gantry(label).ok(), "by v2");
    let made = std::fs::read_to_string(env.work().join("made.json")).unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let id = env.gantry(["inspect", "-f", "{{.Id}}", "baked:v2"]).ok();
    assert_eq!(made["web"]["containerimage.config.digest"], id);
    assert!(made["tools-a"].is_object() && made["tools-b"].is_object());
    // Another output of the same steps, with an argument of the command line.
    let words = ["bake", "--set", "files.args.GREETING=bye", "files"];
    assert_eq!(env.gantry(words).code, 0);
    let greeting = std::fs::read_to_string(env.work().join("out/greeting")).unwrap();
    assert_eq!(greeting, "bye\n");
}

#[test]
fn definitions_are_printed_and_listed() {
    let env = TestEnv::new(crate::GANTRY);
    env.write("docker-bake.hcl", FILE);
    let printed = env.gantry([
        "bake",
        "--print",
        "--set",
        "web.platform=linux/amd64",
        "web",
    ]);
    let document: serde_json::Value = serde_json::from_str(&printed.ok()).unwrap();
    assert_eq!(document["target"]["web"]["tags"][0], "baked:v1");
    assert_eq!(document["target"]["web"]["platforms"][0], "linux/amd64");
    assert_eq!(document["group"]["default"]["targets"][0], "web");
    let told = env.gantry(["bake", "--call=targets", "tools-a"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stdout.contains("TARGET"), "{}", told.stdout);
    assert!(told.stderr.contains("tools-a:"), "{}", told.stderr);
    let printed = env.gantry([
        "buildx",
        "bake",
        "--print",
        "-f",
        "docker-bake.hcl",
        "tools-*",
    ]);
    let document: serde_json::Value = serde_json::from_str(&printed.ok()).unwrap();
    assert_eq!(
        document["group"]["default"]["targets"],
        serde_json::json!(["tools-a", "tools-b"])
    );
    insta::assert_snapshot!(env.gantry(["bake", "--list=targets"]).ok(), @r"
    TARGET    DESCRIPTION
    app
    common
    default   tools, web
    files
    tools     tools-a, tools-b
    tools-a
    tools-b
    web
    ");
    let words = ["bake", "--list=type=variables,format=json"];
    insta::assert_snapshot!(env.gantry(words).ok(), @r#"
    [
      {
        "name": "TAG",
        "value": "v1"
      }
    ]
    "#);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let env = TestEnv::new(crate::GANTRY);
    let nothing = env.gantry(["bake"]);
    assert_eq!(nothing.code, 1);
    assert!(
        nothing.stderr.contains("couldn't find a bake definition"),
        "{}",
        nothing.stderr
    );
    env.write(
        "docker-bake.hcl",
        "target \"default\" {\n  tags = [TAG]\n}\n",
    );
    let wrong = env.gantry(["bake"]);
    assert_eq!(wrong.code, 1);
    insta::assert_snapshot!(wrong.stderr, @r#"
    docker-bake.hcl:2
    --------------------
       1 |     target "default" {
       2 | >>>   tags = [TAG]
         |               ^^^
       3 |     }
    --------------------
    error: there is no variable TAG
    hint: define it: variable "TAG" { default = … }
    "#);
    env.write(
        "docker-bake.hcl",
        "target \"default\" {\n  output = [\"/nonesuch\"]\n}\n",
    );
    let outside = env.gantry(["bake"]);
    assert_eq!(outside.code, 1);
    assert!(
        outside.stderr.contains("--allow=fs.write=/nonesuch"),
        "{}",
        outside.stderr
    );
    for (words, wanted) in [
        (vec!["bake", "gone"], "failed to find target gone"),
        (vec!["bake", "--list=groups"], "invalid list type"),
        (
            vec!["bake", "--print", "--list=targets"],
            "conflicting options",
        ),
        (vec!["bake", "--var", "X"], "invalid variable"),
        (
            vec!["bake", "--set", "default.colour=red"],
            "unknown key: colour",
        ),
        (vec!["bake", "-f", "gone.hcl"], "gone.hcl"),
        (
            vec!["bake", "--set=default.output=", "--sbom=true"],
            "attestations are not supported without an output",
        ),
    ] {
        let answer = env.gantry(&words);
        assert_eq!(answer.code, 1, "{words:?}");
        assert!(
            answer.stderr.contains(wanted),
            "{words:?}: {}",
            answer.stderr
        );
    }
}

fn targets_limit_their_steps_and_are_granted_privileges(env: TestEnv) {
    env.write(
        "docker-bake.hcl",
        r#"
target "default" {
  dockerfile-inline = <<EOT
FROM busybox
RUN ulimit -n > /shown && df -k /dev/shm | tail -1 | awk '{print $2}' >> /shown
RUN --security=insecure grep -c 'Seccomp:.0' /proc/self/status >> /shown && cat /etc/hosts >> /shown
EOT
  shm-size = "1m"
  ulimits = ["nofile=64:128"]
  entitlements = ["security.insecure"]
  extra-hosts = { db = "1.2.3.4" }
  network = "none"
  output = ["out"]
}
"#,
    );
    let refused = env.gantry(["bake"]).fails(1);
    assert!(
        refused.contains("running RUN with all privileges")
            && refused.contains("--allow=security.insecure"),
        "{refused}"
    );
    let set = [
        "bake",
        "--set=*.entitlements=network.host",
        "--allow=security.insecure",
    ];
    for words in [&["bake", "--allow=security.insecure"][..], &set] {
        let built = env.gantry(words);
        assert_eq!(built.code, 0, "{}", built.stderr);
        let shown = std::fs::read_to_string(env.work().join("out/shown")).unwrap();
        assert!(shown.starts_with("64\n1024\n1\n"), "{shown}");
        assert!(shown.contains("1.2.3.4\tdb"), "{shown}");
    }
}

/// What an output makes is another's way out as little as what was there before.
fn outputs_do_not_leave_what_is_granted_through_links_of_their_own(env: TestEnv) {
    let victim = tempfile::tempdir().unwrap();
    // The command may be another user's, who could write there.
    std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o777)).unwrap();
    let outside = victim.path().display().to_string();
    let file = |first: &str, second: &str| {
        let text = format!(
            r#"
group "default" {{ targets = ["a", "b"] }}
target "a" {{
  dockerfile-inline = <<EOT
FROM busybox AS make
RUN mkdir -p /r/own /r/c && ln -s {outside} /r/l && ln -s {outside} /r/c/blobs && ln -s own /r/in && echo new >/r/f
FROM scratch
COPY --from=make /r /
EOT
  {first}
}}
target "b" {{
  contexts = {{ a = "target:a" }}
  dockerfile-inline = "FROM a"
  {second}
}}
"#
        );
        env.write("docker-bake.hcl", &text);
        // Each begins without the links of the one before.
        drop(std::fs::remove_dir_all(env.work().join("x")));
    };
    let make = "type=local,dest=x";
    for (more, target) in [
        ("type=local,dest=x/l/sub", "a"),
        ("type=tar,dest=x/l/pwn.tar", "a"),
        ("type=oci,dest=x/l/pwn.tar", "a"),
        ("type=oci,tar=false,dest=x/c", "a"),
        ("type=docker,dest=x/l/new/pwn.tar", "b"),
        ("type=local,dest=x/l/cache", "cache"),
        ("type=local,dest=x/c", "cache"),
    ] {
        let first = format!("output = [\"{make}\"]");
        match target {
            "a" => file(&format!("output = [\"{make}\", \"{more}\"]"), ""),
            "b" => file(&first, &format!("output = [\"{more}\"]")),
            _ => file(&format!("{first}\n  cache-to = [\"{more}\"]"), ""),
        }
        let said = env.gantry(["bake", "--progress=plain"]).fails(1);
        assert!(
            said.contains("outside of what is granted"),
            "{more}: {said}"
        );
        let left: Vec<_> = std::fs::read_dir(&victim).unwrap().collect();
        assert!(left.is_empty(), "{more}: {left:?}");
    }
    // Links that stay within are followed, and so are all that lead to what was granted.
    let inner = "output = [\"type=local,dest=x\", \"type=local,dest=x/in/sub\"]";
    file(inner, "output = [\"type=cacheonly\"]");
    env.gantry(["bake", "--progress=plain"]).ok();
    assert!(env.work().join("x/own/sub/f").is_file());
    let first = "output = [\"type=local,dest=x\", \"type=tar,dest=x/l/out.tar\"]";
    file(first, "output = [\"type=cacheonly\"]");
    let allow = format!("--allow=fs.write={outside}");
    env.gantry(["bake", "--progress=plain", &allow]).ok();
    assert!(victim.path().join("out.tar").is_file());
}

#[test]
fn only_paths_of_the_attribute_are_granted_by_set() {
    let env = TestEnv::new(crate::GANTRY);
    let victim = tempfile::tempdir().unwrap();
    let outside = victim.path().display().to_string();
    let file = format!(
        "target \"default\" {{\n  inherits = [\"base\"]\n  output = [\"type=local,dest={outside}/o\"]\n}}\n\
         target \"base\" {{\n  dockerfile-inline = \"FROM scratch\"\n}}\n\
         target \"other\" {{\n}}\n"
    );
    env.write("docker-bake.hcl", &file);
    for set in [
        format!("*.args.PREFIX={outside}/o"),
        format!("*.args.entitlements=fs.write={outside}"),
        format!("*.labels.output={outside}/o"),
        format!("default.context={outside}/o"),
        format!("other.output={outside}/o"),
        format!("base.cache-from=type=local,src={outside}/o"),
    ] {
        let said = env.gantry(["bake", "--set", &set]).fails(1);
        let wanted = format!("--allow=fs.write={outside}/o");
        assert!(said.contains(&wanted), "{set}: {said}");
    }
    let set = format!("default.output=type=local,dest={outside}/o");
    let told = env.gantry(["bake", "--call=targets", "--set", &set]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let base = format!("base.cache-to=type=local,dest={outside}/o");
    let told = env.gantry(["bake", "--call=targets", "--set", &base]);
    assert_eq!(told.code, 0, "{}", told.stderr);
}
