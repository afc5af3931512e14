//! What comes out of a build is what comes out of BuildKit's.
//!
//! `tests/conformance/expected` was written by Docker Engine 28.5 with the cases of
//! `tests/conformance/cases` (`cargo xtask conformance record`). Where Gantry means to differ,
//! `tests/conformance/intended` has another result under the same name; its first line says why.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use gantry_testkit::TestEnv;
use gantry_testkit::conformance::{self, Case};
use gantry_testkit::dockerfiles::{Buildable, buildable, expectations};

use crate::busybox;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Builds the case and describes the image; a build that fails gives `failed`.
fn result(env: &TestEnv, case: &Case, base: &[String]) -> (String, String) {
    let context = env.work().join("context");
    built(env, case.dockerfile.as_bytes(), &case.flags, &context, base)
}

fn built(
    env: &TestEnv,
    text: &[u8],
    flags: &[String],
    context: &Path,
    base: &[String],
) -> (String, String) {
    let dockerfile = env.work().join("Dockerfile");
    fs::write(&dockerfile, text).unwrap();
    let mut words = vec![
        "build",
        "-q",
        "-t",
        "case",
        "-f",
        dockerfile.to_str().unwrap(),
    ];
    words.extend(flags.iter().map(String::as_str));
    words.push(context.to_str().unwrap());
    let built = env.gantry(words);
    if built.code != 0 {
        return ("failed\n".into(), built.stderr);
    }
    let archive = env.work().join("case.tar");
    env.gantry(["save", "-o", archive.to_str().unwrap(), "case"])
        .ok();
    (conformance::describe(&archive, base), built.stderr)
}

/// What Gantry has to make of a case.
fn expected(case: &Case) -> String {
    let intended = conformance::expected_path(&folder().join("intended"), case);
    if let Ok(text) = fs::read_to_string(intended) {
        return text.split_once('\n').unwrap().1.to_owned();
    }
    let path = conformance::expected_path(&folder().join("expected"), case);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Whether both failed or both made the same image.
fn alike(expected: &str, got: &str) -> bool {
    expected == got || expected.starts_with("failed") && got.starts_with("failed")
}

/// An installation with a busybox, and the layers of that.
fn with_base() -> (TestEnv, Vec<String>) {
    let env = busybox();
    let archive = env.work().join("base.tar");
    env.gantry(["save", "-o", archive.to_str().unwrap(), "busybox"])
        .ok();
    let base = conformance::diff_ids(&archive);
    (env, base)
}

fn check(group: &str) {
    let (env, base) = with_base();
    conformance::lay_out_context(&env.work().join("context"));
    let mut differences = String::new();
    for case in conformance::cases(&folder().join("cases"), group) {
        let expected = expected(&case);
        let (got, said) = result(&env, &case, &base);
        if !alike(&expected, &got) {
            writeln!(
                differences,
                "=== {group}/{}\n--- expected\n{expected}--- got\n{got}{said}",
                case.name
            )
            .unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

macro_rules! groups {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn no_group_is_forgotten() {
            assert_eq!(conformance::groups(&folder().join("cases")), [$(stringify!($name)),*]);
        }
    };
}

groups! { add arguments copy from metadata run }

/// Dockerfiles that other people wrote, with their contexts; a busybox stands for every image.
///
/// Of files with the same result one is built. `tests/conformance/real.txt` was written by Docker Engine 28.5 (`cargo xtask conformance record
/// real`). Where Gantry means to differ `real-intended.txt` has another result, with a line that
/// begins with `intended` and says why.
#[test]
fn real_files() {
    let read = |name: &str| fs::read_to_string(folder().join(name)).unwrap();
    let expected = expectations(&read("real.txt"));
    let intended = expectations(&read("real-intended.txt"));
    let all = buildable();
    assert_eq!(all.len(), expected.len());
    let (env, base) = with_base();
    let mut known = std::collections::BTreeSet::new();
    let mut results = std::collections::BTreeSet::new();
    let mut differences = String::new();
    for real in &all {
        let Buildable { file, context, .. } = real;
        if !results.insert(&expected[&file.sha256]) {
            continue;
        }
        for image in real.images.iter().filter(|image| known.insert(*image)) {
            env.gantry(["tag", "busybox", image]).ok();
        }
        let wanted = intended.get(&file.sha256);
        let wanted = wanted.unwrap_or_else(|| &expected[&file.sha256]);
        let wanted: String = wanted
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("intended "))
            .collect();
        let (got, said) = built(&env, &file.given(), &[], context, &base);
        // Docker cannot save an image without layers: there is no more to compare.
        let is_empty =
            wanted == "empty\n" && got.starts_with("platform") && !got.contains("\nlayer");
        if !is_empty && !alike(&wanted, &got) {
            let head = format!("=== {} {}", file.sha256, file.origin);
            writeln!(
                differences,
                "{head}\n--- expected\n{wanted}--- got\n{got}{said}"
            )
            .unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}
