//! `gantry build --cache-to` and `--cache-from`: caches that machines share.

use gantry_testkit::{TestEnv, TestRegistry};
use serde_json::Value;

use crate::outputs::elsewhere;

const DOCKERFILE: &str = "FROM busybox AS made\nWORKDIR /src\nCOPY input .\n\
    RUN cat input > output && cat /proc/sys/kernel/random/uuid >> output\n\
    FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /mark\nCOPY --from=made /src/output /\n";

fn build(env: &TestEnv, flags: &[&str]) -> (String, String) {
    let mut args = vec!["build", "--progress=plain", "--iidfile=id"];
    args.extend(flags);
    args.push("ctx");
    let answer = env.gantry(args);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let id = std::fs::read_to_string(env.work().join("id"));
    (id.unwrap(), answer.stderr)
}

/// How many steps were in a cache, and how many steps there are.
fn hits(stderr: &str) -> usize {
    stderr
        .lines()
        .filter(|line| line.ends_with(" CACHED"))
        .count()
}

fn prepared() -> TestEnv {
    let env = crate::busybox();
    env.write("ctx/input", "input\n");
    env.write("ctx/Dockerfile", DOCKERFILE);
    env
}

#[test]
fn root_a_cache_in_a_registry_serves_a_fresh_machine() {
    let env = prepared();
    let registry = TestRegistry::start();
    let at = registry.address();
    let max = format!("type=registry,ref={at}/cache:max,mode=max");
    let min = format!("type=registry,ref={at}/cache:min,image-manifest=false,compression=zstd");
    let (id, stderr) = build(&env, &["--cache-to", &max, "--cache-to", &min]);
    assert_eq!(hits(&stderr), 0);

    // Everything of all stages.
    let fresh = elsewhere(&env);
    let from = format!("{at}/cache:max");
    let (same, stderr) = build(&fresh, &["--cache-from", &from]);
    assert_eq!((same, hits(&stderr)), (id.clone(), 5), "{stderr}");
    // Who does not name the cache knows nothing of it.
    let (other, stderr) = build(&fresh, &[]);
    assert_eq!(hits(&stderr), 0, "{stderr}");
    assert_ne!(other, id);

    // The steps of the image alone: what a stage made is made anew, and then is something else.
    let fresh = elsewhere(&env);
    let from = format!("type=registry,ref={at}/cache:min");
    let (_, stderr) = build(&fresh, &["--cache-from", &from]);
    assert_eq!(hits(&stderr), 1, "{stderr}");

    // A cache that is not there hinders nobody.
    let (_, stderr) = build(&fresh, &["--cache-from", &format!("{at}/none")]);
    assert!(
        stderr.contains("importing cache manifest") && stderr.contains("ERROR"),
        "{stderr}"
    );
}

#[test]
fn root_a_cache_in_a_folder_or_an_image_serves_a_fresh_machine() {
    let env = prepared();
    let registry = TestRegistry::start();
    let name = format!("{}/app:1", registry.address());
    let shared = env.work().join("shared").display().to_string();
    let to = format!("type=local,dest={shared},mode=max");
    let flags = [
        "-t",
        &name,
        "--push",
        "--cache-to=type=inline",
        "--cache-to",
        &to,
    ];
    let (id, _) = build(&env, &flags);
    // A second one changes nothing but what it must, and `reset` leaves nothing else.
    env.write("ctx/more", "");
    let (_, stderr) = build(&env, &["--cache-to", &format!("{to},tag=other,reset=true")]);
    assert!(stderr.contains("CACHED"), "{stderr}");
    let (same, _) = build(&env, &["--cache-to=type=inline", "--cache-to", &to]);
    assert_eq!(same, id);

    let from = format!("type=local,src={shared}");
    let fresh = elsewhere(&env);
    let (same, stderr) = build(&fresh, &["--cache-from", &from, "--cache-to=type=inline"]);
    assert_eq!((same, hits(&stderr)), (id, 5), "{stderr}");

    let fresh = elsewhere(&env);
    let (_, stderr) = build(&fresh, &["--cache-from", &name]);
    assert_eq!(hits(&stderr), 1, "{stderr}");
}

#[test]
fn root_a_cache_that_was_tampered_with_is_of_no_use_and_no_harm() {
    let env = prepared();
    build(&env, &["--cache-to=type=local,dest=shared,mode=max"]);
    let blobs = env.work().join("shared/blobs/sha256");
    let index: Value = read(&env.work().join("shared/index.json"));
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        blobs.join(digest.strip_prefix("sha256:").unwrap())
    };
    let manifest: Value = read(&blob(&index["manifests"][0]));
    let layers = manifest["layers"].as_array().unwrap();
    // A layer that is another one than its digest says.
    std::fs::write(blob(layers.last().unwrap()), "something else").unwrap();
    let shared = env.work().join("shared").display().to_string();
    let from = format!("type=local,src={shared}");
    let fresh = elsewhere(&env);
    let (_, stderr) = build(&fresh, &["--cache-from", &from]);
    assert!(stderr.contains("imported cache is of no use"), "{stderr}");
    // A list that is another one.
    let config = blob(&manifest["config"]);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"records\"", "\"recorded\"")).unwrap();
    let fresh = elsewhere(&env);
    let (_, stderr) = build(&fresh, &["--cache-from", &from]);
    assert_eq!(hits(&stderr), 0, "{stderr}");
    assert!(stderr.contains("digest"), "{stderr}");
}

/// What Docker Engine 28.5 and buildx 0.29 wrote of `buildkit-cache/context` with `mode=max`: as
/// `latest` a manifest, as `index` an index with Docker's media types.
#[test]
fn root_a_cache_that_buildkit_wrote_is_read_and_kept() {
    let recorded = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/buildkit-cache");
    let env = TestEnv::new(crate::GANTRY);
    let shared = env.work().join("shared");
    let (context, shared) = (recorded.join("context"), shared.to_str().unwrap());
    let mut copy = std::process::Command::new("cp");
    copy.arg("-r").arg(recorded.join("cache")).arg(shared);
    assert!(copy.status().unwrap().success());
    let build = |env: &TestEnv, flag: &str| {
        let context = context.to_str().unwrap();
        let answer = env.gantry(["build", "--progress=plain", flag, context]);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        answer.stderr
    };
    let buildkits = |tag: &str| {
        let said = build(
            &env,
            &format!("--cache-from=type=local,src={shared},tag={tag}"),
        );
        let read = said.contains(" 0 steps, 3 that only BuildKit finds");
        assert!(read && !said.contains("ERROR"), "{said}");
        hits(&said)
    };
    assert_eq!(buildkits("latest"), 0);
    // One folder serves both builders.
    build(
        &env,
        &format!("--cache-to=type=local,dest={shared},tag=ours,mode=max"),
    );
    let fresh = TestEnv::new(crate::GANTRY);
    let said = build(
        &fresh,
        &format!("--cache-from=type=local,src={shared},tag=ours"),
    );
    assert_eq!(hits(&said), 4, "{said}");
    assert_eq!(buildkits("index"), 4);
}

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
