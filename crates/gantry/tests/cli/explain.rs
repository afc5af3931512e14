//! `gantry build --explain`.

use gantry_testkit::TestEnv;

in_both_modes! {
    an_explanation_names_the_file_and_the_step,
    a_mount_counts_by_what_it_shows,
}

fn an_explanation_names_the_file_and_the_step(env: TestEnv) {
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nCOPY src /src\nRUN ls /src\n",
    );
    env.write("ctx/src/a", "1");
    env.write("ctx/src/b", "1");
    let context = env.work().join("ctx");
    let context = context.to_str().unwrap();
    let build = |flags: &[&str]| {
        let mut args = vec!["build", "--progress=plain", "-t", "explained"];
        args.extend(flags);
        args.push(context);
        let built = env.gantry(args);
        assert_eq!(built.code, 0, "{}", built.stderr);
        built
    };
    let first = build(&["--explain"]);
    assert!(
        first.stderr.contains("no earlier build"),
        "{}",
        first.stderr
    );
    env.write("ctx/src/b", "2");
    let changed = build(&["--explain"]);
    for part in [
        "\n     changed: src/b (content)\n",
        "\n     follows [2/3] COPY src /src\n",
        "\nThe first step that differs: [2/3] COPY src /src\n",
    ] {
        assert!(
            changed.stderr.contains(part),
            "{part} in {}",
            changed.stderr
        );
    }
    assert_eq!(changed.stdout, "");
    let document = build(&["--explain=json"]).stdout;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["steps"][1]["outcome"], "hit");
    assert!(document["firstDivergent"].is_null(), "{document}");
    assert!(!build(&[]).stderr.contains("Compared with"));
    let refused = env.gantry(["build", "--explain=json", "-q", context]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("STDOUT"), "{}", refused.stderr);
}

fn a_mount_counts_by_what_it_shows(env: TestEnv) {
    let id = "cat /proc/sys/kernel/random/uuid > /id";
    env.write(
        "ctx/Dockerfile",
        format!(
            "FROM busybox AS made\nCOPY in /in\nCOPY out /out\n\
             FROM busybox AS stage\nRUN --mount=from=made,source=/in,target=/m ls /m && {id}\n\
             FROM busybox AS own\nRUN --mount=source=in,target=/m ls /m && {id}\n\
             FROM scratch\nCOPY --from=stage /id /stage\nCOPY --from=own /id /context\n"
        ),
    );
    for file in ["in/a", "in/sub/b", "in/no.md", "out/c", "other"] {
        env.write(&format!("ctx/{file}"), "1");
    }
    env.write("ctx/.dockerignore", "**/*.md\n");
    let build = || {
        let built = env.gantry(["build", "--progress=plain", "--explain", "-o", "ids", "ctx"]);
        assert_eq!(built.code, 0, "{}", built.stderr);
        let id = |name: &str| std::fs::read_to_string(env.work().join("ids").join(name)).unwrap();
        ((id("stage"), id("context")), built.stderr)
    };
    let (first, _) = build();
    // What is not mounted, or ignored, is of no matter; in the stage only the rest is made again.
    for file in ["out/c", "other", "in/no.md"] {
        env.write(&format!("ctx/{file}"), "2");
        let (ids, said) = build();
        assert_eq!(ids, first, "{file}: {said}");
    }
    env.write("ctx/in/sub/b", "2");
    let (ids, said) = build();
    assert!(ids.0 != first.0 && ids.1 != first.1, "{said}");
    // The copy in the stage, what is mounted of it, what is mounted of the context.
    let named = said.matches("changed: in/sub/b (content)").count();
    assert_eq!(named, 3, "{said}");
    let (again, said) = build();
    assert_eq!(again, ids, "{said}");
}
