//! The layers of the house: every crate depends only on crates of lower levels.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cargo, rooms, say};

/// Level of each crate (ARCHITECTURE.md, "Code map"); a crate may use those of lower levels.
const LEVELS: [(&str, u8); 17] = [
    ("gantry-model", 0),
    ("gantry-dockerfile", 1),
    ("gantry-http", 1),
    ("gantry-sys", 1),
    ("gantry-systemd", 1),
    ("gantry-bake", 2),
    ("gantry-store", 2),
    ("gantry-registry", 2),
    ("gantry-runtime", 2),
    ("gantry-network", 2),
    ("gantry-build", 3),
    ("gantry-oci", 3),
    ("gantry-supervisor", 3),
    ("gantry-engine", 4),
    ("gantry", 6),
    ("gantry-testkit", 5),
    ("xtask", 7),
];

/// What a crate must not use although its level would allow it, with the reason.
const FORBIDDEN: [(&str, &str, &str); 4] = [
    ("gantry-store", "ureq", "the store knows no HTTP"),
    (
        "gantry-runtime",
        "gantry-store",
        "the runtime knows no images",
    ),
    (
        "gantry-engine",
        "gantry-build",
        "build and engine stand side by side",
    ),
    (
        "gantry-supervisor",
        "rusqlite",
        "the supervisor stays small",
    ),
];

pub(crate) fn run() -> Result<()> {
    let metadata = cargo::metadata()?;
    let faults = faults(&metadata)?;
    if faults.is_empty() {
        say("layers: every crate depends only downward");
        return rooms::run();
    }
    bail!("{}", faults.join("\n"))
}

fn faults(metadata: &Value) -> Result<Vec<String>> {
    let levels: BTreeMap<&str, u8> = LEVELS.into_iter().collect();
    let members = metadata["workspace_members"]
        .as_array()
        .context("no workspace members")?;
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        if !members.contains(&package["id"]) {
            continue;
        }
        let name = package["name"]
            .as_str()
            .context("a package without a name")?;
        let Some(&level) = levels.get(name) else {
            faults.push(format!(
                "{name} has no level: give it one in xtask/src/layers.rs"
            ));
            continue;
        };
        for dependency in package["dependencies"]
            .as_array()
            .context("no dependencies")?
        {
            let used = dependency["name"]
                .as_str()
                .context("a dependency without a name")?;
            let for_tests = dependency["kind"] == "dev";
            if let Some(&lower) = levels.get(used)
                && lower >= level
                && !(for_tests && used == "gantry-testkit")
            {
                faults.push(format!(
                    "{name} (level {level}) must not depend on {used} (level {lower})"
                ));
            }
            for (user, banned, reason) in FORBIDDEN {
                if user == name && banned == used && !for_tests {
                    faults.push(format!("{name} must not depend on {used}: {reason}"));
                }
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(user: &str, used: &str, kind: Value) -> Value {
        serde_json::json!({
            "workspace_members": ["a"],
            "packages": [{"id": "a", "name": user, "dependencies": [{"name": used, "kind": kind}]}],
        })
    }

    #[test]
    fn a_dependency_upward_or_sideways_is_a_fault() {
        let count = |user, used| faults(&metadata(user, used, Value::Null)).unwrap().len();
        assert_eq!(count("gantry-store", "gantry-model"), 0);
        assert_eq!(count("gantry-store", "serde"), 0);
        assert_eq!(count("gantry-store", "gantry-registry"), 1);
        assert_eq!(count("gantry-model", "gantry-sys"), 1);
        assert_eq!(count("gantry-store", "ureq"), 1);
        assert_eq!(count("gantry-unheard-of", "serde"), 1);
    }

    #[test]
    fn the_testkit_may_be_used_by_anybodys_tests() {
        let dev = Value::from("dev");
        assert!(
            faults(&metadata("gantry-store", "gantry-testkit", dev))
                .unwrap()
                .is_empty()
        );
    }
}
