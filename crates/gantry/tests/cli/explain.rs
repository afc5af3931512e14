//! `gantry build --explain`.

use gantry_testkit::TestEnv;

in_both_modes! {
    an_explanation_names_the_file_and_the_step,
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
