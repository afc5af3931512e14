//! What the reference implementation prints for the same files.
//!
//! A case is a folder of `tests/reference`: its Bake files, `case.json` with what is asked for
//! (`files`, `targets`, `set`, `environment`), and `expected.json`, which is the output of
//! `docker buildx bake -f FILE … --set … --print TARGET …` of buildx 0.29.1 in that folder.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use gantry_bake::{File, Request, Surroundings, evaluate};
use serde_json::Value;

fn strings(case: &Value, name: &str) -> Vec<String> {
    let items = case[name].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

fn run(folder: &Path) -> Value {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let case: Value = serde_json::from_slice(&read("case.json")).unwrap();
    let environment: BTreeMap<String, String> =
        serde_json::from_value(case["environment"].clone()).unwrap_or_default();
    let files = strings(&case, "files");
    let request = Request {
        files: files
            .iter()
            .map(|name| File {
                name: name.clone(),
                bytes: read(name),
            })
            .collect(),
        targets: strings(&case, "targets"),
        overrides: strings(&case, "set"),
    };
    let surroundings = Surroundings {
        environment,
        command_context: "cwd://".to_owned(),
        local_platform: "linux/amd64".to_owned(),
        ..Surroundings::default()
    };
    match evaluate(&request, &surroundings) {
        Ok(baked) => serde_json::to_value(baked).unwrap(),
        Err(error) => panic!(
            "{}: {}",
            folder.display(),
            error.rendered().unwrap_or_else(|| error.to_string())
        ),
    }
}

#[test]
fn targets_are_those_of_the_reference_implementation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let mut cases: Vec<_> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 12, "{}", cases.len());
    let mut wrong = Vec::new();
    for folder in cases {
        let wanted = std::fs::read(folder.join("expected.json")).unwrap();
        let wanted: Value = serde_json::from_slice(&wanted).unwrap();
        let got = run(&folder);
        let differences: Vec<String> = differences("", &got, &wanted);
        let name = folder.file_name().unwrap().display();
        wrong.extend(differences.into_iter().map(|line| format!("{name} {line}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where two documents differ, a line each.
fn differences(path: &str, got: &Value, wanted: &Value) -> Vec<String> {
    match (got, wanted) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> =
                left.keys().chain(right.keys()).collect();
            names
                .into_iter()
                .flat_map(|name| {
                    let of = |map: &serde_json::Map<String, Value>| {
                        map.get(name).cloned().unwrap_or(Value::Null)
                    };
                    differences(&format!("{path}/{name}"), &of(left), &of(right))
                })
                .collect()
        }
        _ if got == wanted => Vec::new(),
        _ => vec![format!("{path}: {got} instead of {wanted}")],
    }
}
