//! What comes out of a build is what comes out of BuildKit's.
//!
//! `tests/conformance/expected` was written by Docker Engine 28.5 with the cases of
//! `tests/conformance/cases` (`cargo xtask conformance record`). Where Gantry means to differ,
//! `tests/conformance/intended` has another result under the same name; its first line says why.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use gantry_testkit::TestEnv;
use gantry_testkit::conformance::{self, Case};

use crate::busybox;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Builds the case and describes the image; a build that fails gives `failed`.
fn result(env: &TestEnv, case: &Case, base: &[String]) -> (String, String) {
    let dockerfile = env.write("Dockerfile", &case.dockerfile);
    let context = env.work().join("context");
    let mut words = vec![
        "build",
        "-q",
        "-t",
        "case",
        "-f",
        dockerfile.to_str().unwrap(),
    ];
    words.extend(case.flags.iter().map(String::as_str));
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

fn check(group: &str) {
    let env = busybox();
    conformance::lay_out_context(&env.work().join("context"));
    let archive = env.work().join("base.tar");
    env.gantry(["save", "-o", archive.to_str().unwrap(), "busybox"])
        .ok();
    let base = conformance::diff_ids(&archive);
    let mut differences = String::new();
    for case in conformance::cases(&folder().join("cases"), group) {
        let expected = expected(&case);
        let (got, said) = result(&env, &case, &base);
        let alike = match expected.strip_prefix("failed") {
            Some(_) => got.starts_with("failed"),
            None => got == expected,
        };
        if !alike {
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
