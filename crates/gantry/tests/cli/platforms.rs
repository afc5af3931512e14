//! Images of several platforms: built, shown, moved, run.

use std::fs;

use gantry_testkit::fixture::{AARCH64, RISCV, foreign_program};
use gantry_testkit::{Answer, TestEnv, TestRegistry};

in_both_modes! {
    several_platforms_become_one_image,
    one_platform_in_an_index_where_it_is_asked_for,
    a_base_without_the_platform_says_what_it_has,
    a_missing_emulator_is_named,
    the_environment_says_which_platform_is_meant,
    processes_share_equal_work,
}

fn host() -> String {
    gantry_model::Platform::host().to_string()
}

fn build(env: &TestEnv, flags: &[&str]) -> Answer {
    let context = env.work().join("ctx");
    let mut args = vec!["build", "--progress=plain"];
    args.extend(flags);
    args.push(context.to_str().unwrap());
    env.gantry(args)
}

fn the_environment_says_which_platform_is_meant(env: TestEnv) {
    env.write("ctx/same", "same");
    env.write("ctx/Dockerfile", "FROM scratch\nCOPY same /\n");
    let context = env.work().join("ctx");
    let mut build = env.command(["build", "-q", "-t", "meant", context.to_str().unwrap()]);
    let built = build
        .env("DOCKER_DEFAULT_PLATFORM", "linux/riscv64")
        .output();
    let built = built.unwrap();
    assert!(built.status.success(), "{built:?}");
    let inspect = ["image", "inspect", "-f", "{{.Architecture}}", "meant"];
    assert_eq!(env.gantry(inspect).ok(), "riscv64");
    let mut run = env.command(["run", "--rm", "--pull=never", "busybox", "true"]);
    let refused = run.env("DOCKER_DEFAULT_PLATFORM", "linux/riscv64").output();
    let refused = refused.unwrap();
    assert_eq!(refused.status.code(), Some(125), "{refused:?}");
}

const CROSS: &str = "FROM --platform=$BUILDPLATFORM busybox AS make\nARG TARGETARCH\n\
    RUN echo for $TARGETARCH > /arch\nFROM scratch\nCOPY --from=make /arch /arch\nCOPY same /\n";

fn several_platforms_become_one_image(env: TestEnv) {
    env.write("ctx/same", "same");
    env.write("ctx/Dockerfile", CROSS);
    let both = format!("linux/riscv64,{}", host());
    let iid = env.work().join("iid");
    let flags = [
        "--platform",
        &both,
        "-t",
        "app:1",
        "--iidfile",
        iid.to_str().unwrap(),
    ];
    let built = build(&env, &flags);
    assert_eq!(built.code, 0, "{}", built.stderr);
    for name in [
        "->riscv64 make 2/2] RUN echo for riscv64",
        "[linux/riscv64 stage-1 1/2] COPY --from=make /arch /arch",
        "exporting manifest list sha256:",
    ] {
        assert!(built.stderr.contains(name), "{name}: {}", built.stderr);
    }
    let again = build(&env, &flags).stderr;
    // A RUN and two COPY for each.
    assert_eq!(again.matches("CACHED").count(), 6, "{again}");

    // One row, one tree, and the index's digest is an id as well.
    assert_eq!(env.gantry(["images", "-q", "app"]).ok().lines().count(), 1);
    let tree = env.gantry(["images", "--tree", "app"]).ok();
    assert!(
        tree.contains("├─ linux/riscv64") && tree.contains("└─ "),
        "{tree}"
    );
    let architecture = ["image", "inspect", "-f", "{{.Architecture}}"];
    let shown = |rest: &[&str]| env.gantry(architecture.iter().chain(rest)).ok();
    let own = gantry_model::Platform::host().architecture;
    assert_eq!(shown(&["app:1"]), own);
    assert_eq!(shown(&["--platform", "linux/riscv64", "app:1"]), "riscv64");
    let index = fs::read_to_string(&iid).unwrap();
    assert_eq!(shown(&["--platform", "linux/riscv64", &index]), "riscv64");
    assert_eq!(shown(&[&index[..19]]), own);

    // What is saved is all of it, and one platform's files have a folder of their own.
    let archive = env.work().join("app.tar");
    let archive = archive.to_str().unwrap();
    env.gantry(["save", "-o", archive, "app:1"]).ok();
    env.gantry(["rmi", "app:1"]).ok();
    assert_eq!(env.gantry(["images", "-q", "app"]).ok(), "");
    assert_eq!(
        env.gantry(["load", "-i", archive]).ok(),
        "Loaded image: app:1"
    );
    assert_eq!(shown(&["--platform", "linux/riscv64", "app:1"]), "riscv64");
    let out = env.work().join("out");
    let output = format!("type=local,dest={}", out.display());
    let built = build(&env, &["--platform", &both, "-o", &output]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let arch = fs::read_to_string(out.join("linux_riscv64/arch")).unwrap();
    assert_eq!(arch, "for riscv64\n");
    let own_folder = out.join(host().replace('/', "_"));
    assert_eq!(fs::read_to_string(own_folder.join("same")).unwrap(), "same");
    // One platform goes alone.
    env.gantry(["rmi", "--platform", "linux/riscv64", "app:1"])
        .ok();
    let gone = ["image", "inspect", "--platform", "linux/riscv64", "app:1"];
    assert!(env.gantry(gone).fails(1).contains("riscv64"));
    assert_eq!(shown(&["app:1"]), own);
}

fn one_platform_in_an_index_where_it_is_asked_for(env: TestEnv) {
    env.write("ctx/same", "same");
    env.write("ctx/Dockerfile", CROSS);
    let flags = ["--build-arg", "BUILDKIT_MULTI_PLATFORM=1", "-t", "app"];
    let built = build(&env, &flags);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(
        built.stderr.contains("exporting manifest list"),
        "{}",
        built.stderr
    );
    let own = host();
    assert!(
        built.stderr.contains(&format!("[{own} make 2/2] RUN")),
        "{}",
        built.stderr
    );
    assert!(!built.stderr.contains("not consumed"), "{}", built.stderr);
}

fn a_base_without_the_platform_says_what_it_has(env: TestEnv) {
    // Nobody listens there.
    env.gantry(["tag", "busybox", "127.0.0.1:9/base:1"]).ok();
    env.write(
        "ctx/Dockerfile",
        "FROM 127.0.0.1:9/base:1\nCOPY Dockerfile /\n",
    );
    let built = build(&env, &["--platform", "linux/riscv64"]);
    assert_eq!(built.code, 1);
    for word in ["linux/riscv64", &host(), ">>> FROM"] {
        assert!(built.stderr.contains(word), "{word}: {}", built.stderr);
    }
}

#[test]
fn root_a_base_for_one_other_platform_alone_is_taken_and_told_of() {
    let registry = TestRegistry::start();
    let env = crate::busybox();
    let base = format!("{}/base:1", registry.address());
    env.write("ctx/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let foreign = "linux/riscv64";
    let pushed = build(&env, &["--platform", foreign, "-t", &base, "--push"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    env.gantry(["rmi", "-f", &base]).ok();
    let text = format!("FROM {base}\nLABEL a=b\n");
    env.write("ctx/Dockerfile", &text);
    let told = format!(
        "InvalidBaseImagePlatform: Base image {base} was pulled with platform \"{foreign}\", \
         expected \"{}\" for current build (line 1)",
        host()
    );
    for flags in [&["-t", "made"][..], &["--no-cache"]] {
        let built = build(&env, flags);
        assert_eq!(built.code, 0, "{}", built.stderr);
        assert!(built.stderr.contains(&told), "{}", built.stderr);
    }
    let checked = build(&env, &["--check"]);
    assert_eq!(checked.code, 1);
    assert!(
        checked.stdout.contains("InvalidBaseImagePlatform"),
        "{}",
        checked.stdout
    );
    let fits = build(&env, &["--platform", foreign]);
    assert!(
        fits.code == 0 && !fits.stderr.contains("InvalidBase"),
        "{}",
        fits.stderr
    );
    let strict = format!("# check=error=true\n{text}");
    env.write("ctx/Dockerfile", &strict);
    let failed = build(&env, &[]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
}

fn a_missing_emulator_is_named(env: TestEnv) {
    env.write("ctx/tool", foreign_program(RISCV));
    env.write(
        "ctx/Dockerfile",
        "FROM scratch\nCOPY --chmod=755 tool /tool\nRUN [\"/tool\"]\n",
    );
    let built = build(&env, &["--platform", "linux/riscv64"]);
    assert_eq!(built.code, 1, "{}", built.stderr);
    for word in [
        "it is for linux/riscv64",
        "no emulator",
        "gantry system binfmt install riscv64",
        ">>> RUN",
    ] {
        assert!(built.stderr.contains(word), "{word}: {}", built.stderr);
    }
}

#[test]
fn root_lists_of_manifests_and_buildx_speak_dockers_words() {
    let registry = TestRegistry::start();
    let env = crate::busybox();
    let at = |name: &str| format!("{}/{name}", registry.address());
    env.write("ctx/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let (own, foreign, all) = (at("app:own"), at("app:foreign"), at("app:all"));
    for (name, platform) in [(&own, host()), (&foreign, "linux/riscv64".to_owned())] {
        let built = build(&env, &["--platform", &platform, "-t", name, "--push"]);
        assert_eq!(built.code, 0, "{}", built.stderr);
    }
    // `docker manifest`
    let made = env
        .gantry(["manifest", "create", &all, &own, &foreign])
        .ok();
    assert_eq!(made, format!("Created manifest list {all}"));
    let again = env.gantry(["manifest", "create", &all, &own]).fails(1);
    assert!(again.contains("--amend"), "{again}");
    let annotate = ["manifest", "annotate", "--variant", "rva23", &all, &foreign];
    env.gantry(annotate).ok();
    let shown = env.gantry(["manifest", "inspect", &all]).ok();
    let document: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(document["manifests"][1]["platform"]["variant"], "rva23");
    let digest = env.gantry(["manifest", "push", "--purge", &all]).ok();
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert!(
        env.gantry(["manifest", "rm", &all])
            .fails(1)
            .contains("No such manifest")
    );

    // `docker buildx imagetools`
    let inspect = |name: &str, rest: &[&str]| {
        let words = ["buildx", "imagetools", "inspect", name];
        env.gantry(words.iter().chain(rest)).ok()
    };
    let text = inspect(&all, &[]);
    assert!(text.contains(&format!("Digest:    {digest}")), "{text}");
    assert!(text.contains("Platform:    linux/riscv64/rva23"), "{text}");
    assert_eq!(inspect(&all, &["--format", "{{.Manifest.digest}}"]), digest);
    let copy = at("copy/app:1");
    let create = ["buildx", "imagetools", "create", "-t", &copy, &all];
    env.gantry(create).ok();
    assert_eq!(inspect(&copy, &["--raw"]), inspect(&all, &["--raw"]));
    let joined = at("copy/app:2");
    let annotation = "index:org.example.by=hand";
    let create = ["buildx", "imagetools", "create", "--annotation", annotation];
    env.gantry(
        create
            .iter()
            .copied()
            .chain(["-t", &joined, &own, &foreign]),
    )
    .ok();
    let raw: serde_json::Value = serde_json::from_str(&inspect(&joined, &["--raw"])).unwrap();
    assert_eq!(raw["annotations"]["org.example.by"], "hand");
    assert_eq!(raw["manifests"].as_array().unwrap().len(), 2);
    let dry = [
        "buildx",
        "imagetools",
        "create",
        "--dry-run",
        &own,
        &foreign,
    ];
    assert!(env.gantry(dry).ok().contains("riscv64"));

    // The builder that scripts ask for.
    assert!(env.gantry(["buildx", "ls"]).ok().contains(&host()));
    assert!(
        env.gantry(["buildx", "inspect", "--bootstrap"])
            .ok()
            .contains("Name:   default")
    );
    env.gantry(["buildx", "inspect", "other"]).fails(1);
    assert!(
        env.gantry(["buildx", "version"])
            .ok()
            .starts_with("gantry v")
    );
}

fn processes_share_equal_work(env: TestEnv) {
    // A step that tells how often it ran, in builds of processes that know nothing of each other.
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS common\nARG ROUND\n\
         RUN --mount=type=cache,target=/runs echo $ROUND >> /runs/told; sleep 1\n\
         FROM common\nARG OWN\nRUN echo $OWN > /own\n\
         RUN --mount=type=cache,target=/runs wc -l < /runs/told > /count\n",
    );
    let context = env.work().join("ctx");
    let builds: Vec<_> = (0..3)
        .map(|number| {
            let own = format!("OWN={number}");
            let tag = format!("shared:{number}");
            env.spawn([
                "build",
                "-q",
                "--build-arg",
                "ROUND=1",
                "--build-arg",
                &own,
                "-t",
                &tag,
                context.to_str().unwrap(),
            ])
        })
        .collect();
    for mut one in builds {
        assert!(one.wait().unwrap().success());
    }
    for number in 0..3 {
        let tag = format!("shared:{number}");
        let shown = env
            .gantry(["run", "--rm", &tag, "cat", "/own", "/count"])
            .ok();
        assert_eq!(shown, format!("{number}\n1"));
    }
    env.gantry(["system", "check"]).ok();
}

/// Where the kernel's handlers are mounted, once somebody registers one.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// Takes the emulator away whatever becomes of the test, and the mount, unless they were there
/// before.
struct Registered<'a> {
    env: &'a TestEnv,
    fresh: bool,
    mounted: bool,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if self.fresh {
            self.env.gantry(["system", "binfmt", "uninstall", "arm64"]);
        }
        if !self.mounted {
            let _unmounted = std::process::Command::new("umount").arg(HANDLERS).status();
        }
    }
}

#[test]
fn root_programs_of_other_machines_run_by_an_emulator() {
    let env = crate::busybox();
    let state = || {
        let format = "{{.Architecture}} {{.Status}} {{.Flags}}";
        let all = env
            .gantry(["system", "binfmt", "ls", "--format", format])
            .ok();
        let line = all.lines().find(|line| line.starts_with("arm64 "));
        line.map(str::to_owned).unwrap_or_default()
    };
    let fresh = !state().contains("emulated");
    let registered = Registered {
        env: &env,
        fresh,
        mounted: fs::exists(format!("{HANDLERS}/register")).unwrap(),
    };
    env.gantry(["system", "binfmt", "install", "arm64"]).ok();
    assert!(state().starts_with("arm64 emulated"), "{}", state());
    assert!(state().contains('F'), "{}", state());
    // Again changes nothing.
    env.gantry(["system", "binfmt", "install", "linux/arm64"])
        .ok();
    env.write("ctx/tool", foreign_program(AARCH64));
    env.write(
        "ctx/Dockerfile",
        "FROM scratch\nCOPY --chmod=755 tool /tool\nRUN [\"/tool\"]\nCMD [\"/tool\"]\n",
    );
    let built = build(&env, &["--platform", "linux/arm64", "-t", "foreign"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let run = [
        "run",
        "--name",
        "far",
        "--platform",
        "linux/arm64",
        "foreign",
    ];
    env.gantry(run).ok();
    env.gantry(["cp", "far:/made", "made"]).ok();
    let made = fs::read_to_string(env.work().join("made")).unwrap();
    assert_eq!(made, "aarch64\n");
    // An ordinary user has the handlers of the machine, and may not change them.
    let user = crate::users_busybox();
    user.write("ctx/tool", foreign_program(AARCH64));
    let dockerfile = fs::read(env.work().join("ctx/Dockerfile")).unwrap();
    user.write("ctx/Dockerfile", dockerfile);
    let built = build(&user, &["--platform", "linux/arm64", "-o", "out"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let made = fs::read_to_string(user.work().join("out/made")).unwrap();
    assert_eq!(made, "aarch64\n");
    let listed = user.gantry(["system", "binfmt", "ls"]).ok();
    assert!(listed.contains("emulated"), "{listed}");
    let refused = user
        .gantry(["system", "binfmt", "uninstall", "arm64"])
        .fails(1);
    assert!(refused.contains("only root"), "{refused}");
    let unknown = env.gantry(["system", "binfmt", "install", "z80"]);
    assert!(unknown.fails(1).contains("riscv64"));
    drop(registered);
    if fresh {
        assert!(!state().contains("emulated"), "{}", state());
    }
}
