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

/// How many steps were in a cache.
pub(crate) fn hits(stderr: &str) -> usize {
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

    // The steps of the image alone: a stage is made anew, but what was copied out of it is found by
    // what the stage does. Where that is not asked it counts what the stage made.
    let fresh = elsewhere(&env);
    let from = format!("type=registry,ref={at}/cache:min");
    let (same, stderr) = build(&fresh, &["--cache-from", &from]);
    assert_eq!((same, hits(&stderr)), (id.clone(), 2), "{stderr}");
    let (other, stderr) = build(&fresh, &["--cache-from", &from, "--no-cache-filter=made"]);
    assert_eq!(hits(&stderr), 1, "{stderr}");
    assert_ne!(other, id);

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
    assert_eq!(hits(&stderr), 2, "{stderr}");
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

pub(crate) fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
