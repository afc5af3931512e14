//! Caches that BuildKit wrote, and caches that BuildKit is to find its steps in: held to recorded ones.
//!
//! `buildkit-steps` is what Docker Engine 28.5 (BuildKit 0.25) and buildx 0.29 wrote of
//! `buildkit-steps/context`, on the image in `buildkit-steps/base`, whose only program does nothing:
//! in `cache` as `latest` with `mode=max`, as `min` with `mode=min`, and in `inline` an image with a
//! cache within. All was built with `--secret id=token,env=…`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_testkit::TestEnv;
use serde_json::Value;

use crate::caches::{hits, read};

/// Steps of `buildkit-steps/context`.
const STEPS: usize = 18;
/// An empty folder that a cache mount begins with, by its content. BuildKit knows the step by who
/// made that folder as well.
const CACHE_FOLDER: &str =
    "sha256:f78608486ff3e187162f99bc2fba1f4f8b48d1c9866b16d221378c5cf92a1260";
/// Those of its first stage.
const FIRST_STAGE: usize = 2;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// The recorded context, with the permissions that it had whatever a checkout gives it.
fn context(env: &TestEnv) -> PathBuf {
    let context = env.work().join("context");
    copy(&fixture("buildkit-steps/context"), &context);
    set_modes(&context);
    context
}

fn copy(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    assert!(copy.arg("-r").arg(from).arg(to).status().unwrap().success());
}

fn set_modes(path: &Path) {
    let kind = path.symlink_metadata().unwrap().file_type();
    let mode = match (kind.is_dir(), kind.is_symlink()) {
        (_, true) => return,
        (true, _) => 0o755,
        _ => 0o644,
    };
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    if kind.is_dir() {
        for entry in path.read_dir().unwrap() {
            set_modes(&entry.unwrap().path());
        }
    }
}

fn build(env: &TestEnv, flags: &[&str]) -> String {
    let layout = fixture("buildkit-steps/base").display().to_string();
    let base = format!("--build-context=base=oci-layout://{layout}:latest");
    let mut args = vec![
        "build",
        "--progress=plain",
        "--platform=linux/amd64",
        "-t=made",
        &base,
    ];
    args.extend(["--secret=id=token,env=HOME"]);
    args.extend(flags);
    args.push("context");
    let answer = env.gantry(args);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    answer.stderr
}

fn blob(layout: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().unwrap();
    let name = digest.strip_prefix("sha256:").unwrap();
    read(&layout.join("blobs/sha256").join(name))
}

/// The document that an entry of a layout leads to.
fn document(layout: &Path, tag: &str) -> Value {
    let index: Value = read(&layout.join("index.json"));
    let name = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let mut entries = index["manifests"].as_array().unwrap().iter();
    let manifest = blob(layout, entries.find(name).unwrap());
    blob(layout, &manifest["config"])
}

#[test]
fn root_steps_that_buildkit_cached_are_found() {
    let image = document(&fixture("buildkit-steps/inline"), "latest");
    for (folder, tag, found) in [
        ("cache", "latest", STEPS),
        ("cache", "min", STEPS - FIRST_STAGE),
        ("inline", "latest", STEPS - FIRST_STAGE),
    ] {
        let env = TestEnv::new(crate::GANTRY);
        context(&env);
        let from = fixture("buildkit-steps").join(folder);
        let from = format!("--cache-from=type=local,src={},tag={tag}", from.display());
        let said = build(&env, &[&from]);
        assert_eq!(hits(&said), found, "{tag} of {folder}: {said}");
        if tag == "latest" {
            let made = env.json(["image", "inspect", "made"]);
            assert_eq!(made[0]["RootFS"]["Layers"], image["rootfs"]["diff_ids"]);
        }
    }
}

#[test]
fn root_what_differs_from_what_buildkit_cached_is_not_found() {
    let from = fixture("buildkit-steps/cache").display().to_string();
    let from = format!("--cache-from=type=local,src={from}");
    let changed = |change: &dyn Fn(&Path)| {
        let env = TestEnv::new(crate::GANTRY);
        change(&context(&env));
        hits(&build(&env, &[&from]))
    };
    // Everything on top is run as well.
    let content = changed(&|context| std::fs::write(context.join("c.txt"), "other\n").unwrap());
    assert_eq!(content, 9);
    let mode = changed(&|context| {
        let file = context.join("sub/d");
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
    });
    assert_eq!(mode, 6);
}

/// What is known of a step: what it does, and all that its inputs may be.
fn known(cache: &Value) -> BTreeSet<(String, usize, String, String)> {
    let records = cache["records"].as_array().unwrap();
    let digest = |record: &Value| record["digest"].as_str().unwrap_or_default().to_owned();
    let mut known = BTreeSet::new();
    for record in records {
        let inputs = record["inputs"].as_array().into_iter().flatten();
        for (number, links) in inputs.enumerate() {
            for link in links.as_array().into_iter().flatten() {
                let selector = link["selector"].as_str().unwrap_or_default().to_owned();
                let from = usize::try_from(link["link"].as_u64().unwrap_or(0)).unwrap();
                known.insert((digest(record), number, selector, digest(&records[from])));
            }
        }
    }
    known
}

#[test]
fn root_steps_are_told_by_the_names_that_buildkit_gives_them() {
    let env = TestEnv::new(crate::GANTRY);
    context(&env);
    let said = build(&env, &["--cache-to=type=local,dest=ours,mode=max"]);
    assert_eq!(hits(&said), 0, "{said}");
    let ours = document(&env.work().join("ours"), "latest");
    let told = known(&ours);
    let recorded = known(&document(&fixture("buildkit-steps/cache"), "latest"));
    assert!(recorded.len() > STEPS);
    let mut missing: Vec<_> = recorded.difference(&told).collect();
    missing.retain(|(_, _, _, from)| from != CACHE_FOLDER);
    assert!(missing.is_empty(), "{missing:#?}");
    // What each made is there: once by the key of Gantry, once by that name.
    let records = ours["records"].as_array().unwrap();
    let made = |named: bool| {
        let is =
            |record: &&Value| record["inputs"].is_array() == named && !record["layers"].is_null();
        records.iter().filter(is).count()
    };
    assert_eq!(made(true), STEPS);
    assert!(made(false) >= STEPS);
}

/// What Docker Engine 28.5 and buildx 0.29 wrote of `buildkit-cache/context` with `mode=max`: as
/// `latest` a manifest, as `index` an index with Docker's media types.
#[test]
fn root_a_cache_that_buildkit_wrote_is_read_and_kept() {
    let recorded = fixture("buildkit-cache");
    let env = TestEnv::new(crate::GANTRY);
    let shared = env.work().join("shared");
    let (context, shared) = (recorded.join("context"), shared.to_str().unwrap());
    copy(&recorded.join("cache"), shared.as_ref());
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
        let read = said.contains(" 0 steps, 3 by BuildKit's names");
        assert!(read && !said.contains("ERROR"), "{said}");
        hits(&said)
    };
    // A folder of the first stage is made anew, and with it what was copied on top.
    assert_eq!(buildkits("latest"), 2);
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
