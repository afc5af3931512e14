//! What comes out of a build is what comes out of BuildKit's.
//!
//! `tests/conformance/expected` was written by Docker Engine 28.5 with the cases of
//! `tests/conformance/cases` (`cargo xtask conformance record`). Where Gantry means to differ,
//! `tests/conformance/intended` has another result under the same name; its first line begins
//! with `intended` and says why.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use gantry_testkit::TestEnv;
use gantry_testkit::conformance::{self, Case, Expected, alike};
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
    let cases = conformance::cases(&folder().join("cases"), group);
    let all = Expected::of_cases(&folder(), &cases);
    let mut differences = String::new();
    for case in cases {
        let expected = all.of_gantry(&case.key()).unwrap();
        let (got, said) = result(&env, &case, &base);
        if !alike(&expected, &got) {
            writeln!(
                differences,
                "=== {}\n--- expected\n{expected}--- got\n{got}{said}",
                case.key()
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
/// Of files with the same result one is built. `tests/conformance/real.txt` was written by Docker
/// Engine 28.5 (`cargo xtask conformance record real`). Where Gantry means to differ
/// `real-intended.txt` has another result, with a line that begins with `intended` and says why.
#[test]
fn real_files() {
    let expected = Expected::of_files(&folder(), "real");
    let all = buildable();
    assert_eq!(all.len(), expected.count());
    let (env, base) = with_base();
    let mut known = BTreeSet::new();
    let mut results = BTreeSet::new();
    let mut differences = String::new();
    for real in &all {
        let Buildable { file, context, .. } = real;
        if !results.insert(expected.of_buildkit(&file.sha256)) {
            continue;
        }
        for image in real.images.iter().filter(|image| known.insert(*image)) {
            env.gantry(["tag", "busybox", image]).ok();
        }
        let wanted = expected.of_gantry(&file.sha256).unwrap();
        let (got, said) = built(&env, &file.given(), &[], context, &base);
        if !alike(&wanted, &got) {
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

/// `cargo xtask conformance compare` holds other builders to the lists of `peers`.
#[test]
fn what_differs_from_other_builders_has_a_reason() {
    let cases = folder().join("cases");
    let groups = conformance::groups(&cases).into_iter();
    let mut known: BTreeSet<String> = groups
        .flat_map(|group| conformance::cases(&cases, &group))
        .map(|case| case.key())
        .collect();
    let read = |path: &Path| expectations(&fs::read_to_string(path).unwrap());
    known.extend(read(&folder().join("real.txt")).into_keys());
    let lists = fs::read_dir(folder().join("peers")).unwrap();
    let lists: Vec<PathBuf> = lists.map(|list| list.unwrap().path()).collect();
    assert!(lists.len() >= 2, "{lists:?}");
    for list in lists {
        for (key, entry) in read(&list) {
            let place = format!("{}: {key}", list.display());
            assert!(known.contains(&key), "{place} is no case");
            let (reason, lines) = entry.split_once('\n').unwrap();
            let reason = reason.strip_prefix("because ").unwrap_or_default();
            assert!(reason.len() > 1, "{place} has no reason");
            assert!(!lines.is_empty(), "{place} has no difference");
        }
    }
}
