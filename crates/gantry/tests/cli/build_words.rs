//! What people who come from docker say to `build`, `bake`, `builder` and `buildx`: exit codes are
//! those of docker 28 with buildx 0.29, and what is wrong is told with what to do.

use gantry_testkit::TestEnv;

in_both_modes! {
    the_machine_that_builds_has_a_name_in_steps,
}

/// Words behind `gantry`, apart by blanks; the exit code; what is said.
type Case<'c> = (&'c str, i32, &'c str);

fn check(env: &TestEnv, cases: &[Case<'_>]) {
    let wrong = |(words, code, said): &Case<'_>| {
        let answer = env.gantry(words.split(' '));
        let all = format!("{}{}", answer.stdout, answer.stderr);
        let right = answer.code == *code && all.contains(said);
        (!right).then(|| format!("{words}: {code}, {said:?}\n{answer:?}"))
    };
    let wrong: Vec<String> = cases.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn with_context() -> TestEnv {
    let env = TestEnv::new(crate::GANTRY);
    env.write("ctx/Dockerfile", "FROM scratch\nCOPY a /a\n");
    env.write("ctx/a", "1");
    env
}

#[test]
fn values_of_flags_end_a_build_as_with_docker() {
    check(
        &with_context(),
        &[
            ("build -t UPPER ctx", 1, "must be lowercase"),
            ("build -t a@sha256:0 ctx", 1, "\"-t, --tag\" flag"),
            (
                "build --secret id=x,src=/nonesuch ctx",
                1,
                "failed to stat /nonesuch: no such file",
            ),
            ("build --secret foo ctx", 1, "invalid field 'foo'"),
            (
                "build --ssh default=/nonesuch ctx",
                1,
                "failed to stat /nonesuch: no such file",
            ),
            (
                "build --ssh default ctx",
                1,
                "make sure SSH_AUTH_SOCK is set",
            ),
            (
                "build --build-context x=/nonesuch ctx",
                1,
                "neither a folder nor an address",
            ),
            ("build --build-context x ctx", 1, "expected key=value"),
            ("build --add-host x ctx", 1, "expected NAME:ADDRESS"),
            ("build --add-host x:nonsense ctx", 1, "invalid IP address"),
            ("build -q --add-host x:1.2.3.4,y:::1 ctx", 0, "sha256:"),
            ("build -q --add-host x:host-gateway ctx", 0, "sha256:"),
            ("build --label = ctx", 1, "no name before the ="),
            ("build --label =x ctx", 1, "no name before the ="),
            ("build --build-arg =x ctx", 1, "no name before the ="),
            ("build --platform / ctx", 1, "is not a platform"),
            ("build --network mine ctx", 1, "not supported"),
            ("build --allow nope ctx", 1, "--allow nope is not supported"),
            ("build --allow device= ctx", 1, "names no device"),
            ("build --annotation x ctx", 1, "--annotation"),
            ("build --ulimit x ctx", 125, "\"--ulimit\" flag"),
            ("build --shm-size x ctx", 125, "\"--shm-size\" flag"),
            ("build --cpu-shares x ctx", 125, "\"-c, --cpu-shares\" flag"),
            ("build --pull=maybe ctx", 125, "\"--pull\" flag"),
            ("build --nonesuch ctx", 125, "unknown flag: --nonesuch"),
            ("build --policy x ctx", 125, "policies are not there yet"),
            ("build a b", 1, "requires 1 argument"),
            ("builder du --filter x", 125, "bad format of filter"),
            (
                "builder prune -f --max-used-space x",
                125,
                "\"--max-used-space\" flag",
            ),
        ],
    );
}

#[test]
fn progress_and_quiet_are_chosen_as_with_docker() {
    let env = with_context();
    check(
        &env,
        &[
            (
                "build -q --progress=plain ctx",
                1,
                "--progress=plain and --quiet cannot be used together",
            ),
            ("build -q --progress=tty ctx", 1, "cannot be used together"),
            (
                "build -q --progress=rawjson ctx",
                1,
                "cannot be used together",
            ),
            ("build -q --progress=auto ctx", 0, "sha256:"),
            ("build -q --progress=quiet ctx", 0, "sha256:"),
            ("build --progress=quiet ctx", 0, "sha256:"),
            ("build --progress=x ctx", 1, "invalid progress mode \"x\""),
        ],
    );
    let none = env.gantry(["build", "--progress=none", "ctx"]);
    assert_eq!(
        (none.code, none.stdout.as_str(), none.stderr.as_str()),
        (0, "", "")
    );
    // What the environment asks for is no contradiction.
    let mut quiet = env.command(["build", "-q", "ctx"]);
    let quiet = quiet.env("BUILDKIT_PROGRESS", "plain").output().unwrap();
    assert!(quiet.status.success() && quiet.stdout.starts_with(b"sha256:"));
    let mut plain = env.command(["build", "--progress=auto", "ctx"]);
    let plain = plain.env("BUILDKIT_PROGRESS", "rawjson").output().unwrap();
    assert!(plain.stderr.starts_with(b"{"), "{plain:?}");
}

#[test]
fn the_words_of_buildx_work_or_are_refused_by_name() {
    let env = with_context();
    env.write(
        "docker-bake.hcl",
        "target \"default\" { context = \"ctx\" }\n",
    );
    check(
        &env,
        &[
            ("build -D -q ctx", 0, "sha256:"),
            ("buildx -D build -q ctx", 0, "sha256:"),
            ("buildx b --debug -q ctx", 0, "sha256:"),
            ("buildx f -D --print", 0, "\"default\""),
            ("bake --builder default --print", 0, "\"default\""),
            ("build --builder default -q ctx", 0, "sha256:"),
            ("buildx --builder default build -q ctx", 0, "sha256:"),
            ("builder --builder= build -q ctx", 0, "sha256:"),
            ("build --builder other ctx", 1, "no builder \"other\" found"),
            ("buildx --builder other ls", 1, "no builder \"other\" found"),
            ("buildx inspect other", 1, "no builder \"other\" found"),
            ("buildx -D", 0, "Commands:"),
            (
                "buildx --nonsense build ctx",
                125,
                "unknown flag: --nonsense",
            ),
            ("container -x ls", 125, "unknown shorthand flag: 'x' in -x"),
            ("build --help", 0, "verify      Build an image again"),
            ("build verify -D", 1, "requires at least 1"),
            ("buildx ls", 0, "default*"),
            ("builder ls", 0, "default*"),
            ("builder inspect", 0, "Name:   default"),
            ("builder version", 0, "gantry v"),
            (
                "builder imagetools",
                0,
                "Commands to work on images in registries",
            ),
            ("buildx du", 0, "Total:"),
            ("buildx prune -f", 0, "Total:"),
            ("buildx create --use", 1, "leave the command out"),
            ("buildx use default", 1, "leave the command out"),
            ("builder rm x", 1, "leave the command out"),
            ("buildx stop", 1, "leave the command out"),
            ("buildx install", 1, "leave the command out"),
            ("buildx history ls", 1, "--metadata-file"),
            ("buildx debug build ctx", 1, "--on-failure=shell"),
            ("buildx dap build", 1, "--on-failure=shell"),
            ("buildx policy", 1, "policies are not there yet"),
            ("buildx dial-stdio", 1, "no daemon"),
            (
                "buildx nonesuch",
                1,
                "unknown command: gantry buildx nonesuch",
            ),
        ],
    );
    // More is said of what goes wrong, wherever the flag stands.
    env.write("ctx/Dockerfile", "FROM scratch AS A\nCOPY a /a\n");
    for words in ["-D build ctx", "build -D ctx", "builder --debug build ctx"] {
        let said = env.gantry(words.split(' ')).stderr;
        assert!(said.contains("More info:"), "{words}: {said}");
    }
}

#[test]
fn a_failed_build_says_what_to_do() {
    let env = with_context();
    env.write("empty/Dockerfile", "ARG BASE\nFROM $BASE\n");
    env.write("unknown/Dockerfile", "FROM ${BASE}\n");
    env.write("part/Dockerfile", "ARG V\nFROM scratch:${V}\n");
    env.write(
        "device/Dockerfile",
        "FROM scratch\nRUN --device=vendor.com/x=y,required [\"/x\"]\n",
    );
    env.write(
        "strange/Dockerfile",
        "FROM scratch\nRUN --device=/dev/null [\"/x\"]\n",
    );
    env.write(
        "nameless/Dockerfile",
        "FROM scratch\nRUN --device= [\"/x\"]\n",
    );
    env.write(
        "names/Dockerfile",
        "FROM alpine-base AS b\nFROM scratch\nCOPY --from=assets / /\n",
    );
    env.write("assets/f", "1");
    let lines: String = (0..25).map(|n| format!("user{n}:x:{n}\n")).collect();
    env.write("passwd", lines);
    check(
        &env,
        &[
            (
                "build empty",
                1,
                "hint: ARG BASE is empty: give it with --build-arg BASE=…",
            ),
            (
                "build unknown",
                1,
                "hint: BASE is no ARG before the first FROM",
            ),
            ("build part", 1, "hint: ARG V is empty"),
            (
                "build device",
                1,
                "hint: devices come from CDI specifications in /etc/cdi",
            ),
            (
                "build strange",
                1,
                "hint: a device is called vendor.com/class=name",
            ),
            ("build nameless", 1, "hint: --device=vendor.com/class=name"),
            (
                "build -f passwd ctx",
                1,
                "… and 20 more errors in this file",
            ),
            (
                "build ctx/Dockerfile",
                1,
                "the build is gantry build -f ctx/Dockerfile ctx",
            ),
            (
                "build --build-context assets=assets --build-context asets=assets names",
                0,
                "the build context \"asets\" is not used: no FROM, --from or stage has this name \
                 (did you mean assets?)",
            ),
            ("build -f nope ctx", 1, "hint: name another file with -f"),
        ],
    );
    // Nobody listens at that port.
    env.write("near/Dockerfile", "FROM 127.0.0.1:1/assets\n");
    let near = [
        "build",
        "--build-context",
        "127.0.0.1:1/asets=assets",
        "near",
    ];
    let near = env.gantry(near).fails(1);
    assert!(
        near.contains("hint: a build context is called 127.0.0.1:1/asets"),
        "{near}"
    );
    let passwd = env.gantry(["build", "-f", "passwd", "ctx"]).stderr;
    assert_eq!(passwd.matches("unknown instruction").count(), 6, "{passwd}");
    // One that only a stage has which is not needed is no mistake.
    let words = [
        "build",
        "--build-context",
        "assets=assets",
        "--build-context",
        "alpine-base=ctx",
    ];
    let fine = env.gantry(words.iter().chain(&["names"]));
    assert!(
        fine.code == 0 && !fine.stderr.contains("warning"),
        "{}",
        fine.stderr
    );
}

#[test]
fn bake_speaks_of_targets_and_attributes() {
    let env = with_context();
    env.write(
        "docker-bake.hcl",
        r#"variable "TAG" { default = "v1" }
target "tag" { tags = ["UPPER:${TAG}"] }
target "platform" { platforms = ["/"] }
target "out" { output = ["type=nope"] }
target "allow" { entitlements = ["nope"] }
target "missing" { dockerfile = "nope" }
target "inherits" { inherits = ["gone"] }
target "contexts" { contexts = { a = "target:tga" } }
target "secret" { dockerfile-inline = "FROM scratch\nRUN --mount=type=secret,id=x,required [\"/x\"]" }
target "arg" { dockerfile-inline = "ARG BASE\nFROM $BASE" }
target "root" { dockerfile-inline = "FROM scratch\nRUN --security=insecure [\"/x\"]" }
target "near" {
  contexts = { assets = "ctx", asets = "ctx", other = "ctx" }
  dockerfile-inline = "FROM scratch\nCOPY --from=assets / /"
}
"#,
    );
    check(
        &env,
        &[
            (
                "bake tag",
                1,
                "docker-bake.hcl:2: target tag: invalid argument \"UPPER:v1\" for tags:",
            ),
            (
                "bake platform",
                1,
                "docker-bake.hcl:3: target platform: invalid argument \"/\" for platforms:",
            ),
            (
                "bake out",
                1,
                "docker-bake.hcl:4: target out: output type \"nope\"",
            ),
            (
                "bake allow",
                1,
                "docker-bake.hcl:5: target allow: entitlements nope is not supported",
            ),
            (
                "bake missing",
                1,
                "target missing: failed to read dockerfile",
            ),
            ("bake missing", 1, "hint: name another file: dockerfile = "),
            (
                "bake inherits",
                1,
                "failed to find target gone, which is among the inherits of target inherits",
            ),
            (
                "bake contexts",
                1,
                "failed to find target tga, which is among the contexts of target contexts (did you mean tag?)",
            ),
            ("bake contexts", 1, "docker-bake.hcl:8"),
            ("bake secret", 1, "target secret: Dockerfile:2"),
            (
                "bake secret",
                1,
                "hint: give it in target secret: secret = [\"id=x,src=FILE\"]",
            ),
            ("bake arg", 1, "give it in target arg: args = { BASE = "),
            (
                "bake root",
                1,
                "entitlements = [\"security.insecure\"] in target root, and --allow security.insecure",
            ),
            ("bake near", 0, "(did you mean assets?)"),
            (
                "bake --var TGA=x --print tag",
                1,
                "there is no variable TGA that --var could set (did you mean TAG?)",
            ),
            ("bake --var TAG=x --print tag", 0, "UPPER:x"),
            ("bake --allow device= tag", 1, "names no device"),
            ("bake file:///x", 1, "a file of this machine is named by -f"),
            ("bake --progress=x tag", 1, "invalid progress mode"),
        ],
    );
    // A Compose file has the variables that stand in it.
    env.write(
        "compose.yaml",
        "services:\n  web:\n    build: ctx\n    image: web:${RELEASE}\n",
    );
    check(
        &env,
        &[
            ("bake -f compose.yaml --var RELEASE=7 --print", 0, "web:7"),
            (
                "bake -f compose.yaml --var RELAESE=7 --print",
                1,
                "there is no variable RELAESE",
            ),
        ],
    );
}

fn the_machine_that_builds_has_a_name_in_steps(env: TestEnv) {
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN grep builder$ /etc/hosts > /here\n\
         RUN --network=none grep builder$ /etc/hosts > /alone\n",
    );
    let words = [
        "build",
        "--add-host",
        "first:1.2.3.4,builder:host-gateway",
        "-o",
        "out",
        "ctx",
    ];
    let built = env.gantry(words);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let line = |file: &str| {
        let text = std::fs::read_to_string(env.work().join("out").join(file)).unwrap();
        text.split_once('\t').unwrap().0.to_owned()
    };
    let here: std::net::Ipv4Addr = line("here").parse().unwrap();
    assert!(!here.is_loopback() && !here.is_unspecified(), "{here}");
    assert_eq!(line("alone"), "127.0.0.1");
}
