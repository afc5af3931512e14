//! Programs at the turns of a container's life.

use std::fs;

use serde_json::{Value, json};

use super::bundles::Bundles;

/// A hook that appends its name, its mount namespace and what it is told to a file.
fn note(turn: &str, file: &str) -> Value {
    let script = format!("(echo {turn} $MARK; readlink /proc/self/ns/mnt; cat; echo) >> {file}");
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["MARK=mark", "PATH=/bin:/usr/bin"], "timeout": 60 }])
}

const TURNS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

#[test]
fn root_hooks_run_in_order_in_their_namespaces() {
    let bundles = Bundles::running("sleep 1000");
    let notes = bundles.env.work().join("notes");
    fs::create_dir(&notes).unwrap();
    let file = notes.join("file");
    bundles.edit(|document| {
        for turn in TURNS {
            // In the container the folder is mounted elsewhere.
            let file = match turn {
                "startContainer" => "/notes/file",
                _ => file.to_str().unwrap(),
            };
            document["hooks"][turn] = note(turn, file);
        }
        document["mounts"].as_array_mut().unwrap().push(
            json!({ "destination": "/notes", "type": "bind", "source": notes, "options": ["rbind"] }),
        );
    });
    let id = &bundles.id("one");
    bundles.runtime(["create", id]).ok();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("mark").count(), 3, "{text}");
    let pid = bundles.told(id)["pid"].clone();
    bundles.runtime(["start", id]).ok();
    bundles.runtime(["delete", "-f", id]).ok();

    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    let statuses = [
        "creating", "creating", "creating", "created", "running", "stopped",
    ];
    assert_eq!(lines.len(), 18, "{text}");
    for (index, (turn, status)) in TURNS.iter().zip(statuses).enumerate() {
        let [name, namespace, state] = [0, 1, 2].map(|line| lines[index * 3 + line]);
        assert_eq!(name, format!("{turn} mark"));
        let inside = matches!(*turn, "createContainer" | "startContainer");
        assert_eq!(own.to_str() == Some(namespace), !inside, "{turn}");
        let state: Value = serde_json::from_str(state).unwrap();
        assert_eq!(state["status"], status, "{turn}");
        assert_eq!(state["id"], json!(id), "{turn}");
        assert_eq!(state["bundle"], json!(bundles.bundle()), "{turn}");
        match *turn {
            "poststop" => assert_eq!(state["pid"], Value::Null),
            _ if inside => assert_eq!(state["pid"], 1, "{turn}"),
            _ => assert_eq!(state["pid"], pid, "{turn}"),
        }
    }
}

#[test]
fn root_a_failing_hook_ends_the_container() {
    let bundles = Bundles::running("sleep 1000");
    let file = bundles.env.work().join("stopped");
    let id = &bundles.id("one");
    for (turn, at_start) in [
        ("prestart", false),
        ("createRuntime", false),
        ("createContainer", false),
        ("startContainer", true),
        ("poststart", true),
    ] {
        drop(fs::remove_file(&file));
        bundles.edit(|document| {
            document["hooks"] = json!({ "poststop": note("poststop", file.to_str().unwrap()) });
            document["hooks"][turn] =
                json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo because >&2; exit 3"] }]);
        });
        let created = bundles.runtime(["create", id]);
        let failed = match at_start {
            true => {
                created.ok();
                bundles.runtime(["start", id])
            }
            false => created,
        };
        let said = failed.fails(1);
        assert!(
            said.contains(&format!(
                "the {turn} hook /bin/sh failed: it exited with code 3: because"
            )),
            "{said}"
        );
        if at_start {
            bundles.wait(id, "stopped");
            bundles.runtime(["delete", id]).ok();
        } else {
            bundles.runtime(["state", id]).fails(1);
        }
        assert!(
            fs::read_to_string(&file).unwrap().starts_with("poststop"),
            "{turn}"
        );
        // The same in one go.
        bundles.run().fails(1);
    }
}

#[test]
fn root_a_hook_that_takes_too_long_is_killed() {
    let bundles = Bundles::running("true");
    bundles.edit(|document| {
        document["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }]);
    });
    let said = bundles.run().fails(1);
    assert!(said.contains("longer than its timeout"), "{said}");
}
