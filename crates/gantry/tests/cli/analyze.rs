//! `gantry image analyze`, and a build told in JSON.

use gantry_testkit::TestEnv;

in_both_modes! {
    an_image_is_analyzed_and_held_to_thresholds,
}

fn an_image_is_analyzed_and_held_to_thresholds(env: TestEnv) {
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN head -c 3000000 /dev/zero > /big && head -c 1000 /dev/zero > /kept\n\
        RUN head -c 2000000 /dev/zero > /big\nRUN rm /big\n",
    );
    let context = env.work().join("ctx");
    let context = context.to_str().unwrap();
    let args = [
        "build",
        "--progress=rawjson",
        "--network=none",
        "-t",
        "wasteful",
        context,
    ];
    let built = env.gantry(args);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let lines: Vec<serde_json::Value> = built
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let completed = lines.iter().any(|line| {
        let vertex = &line["vertexes"][0];
        vertex["name"] == "[4/4] RUN rm /big" && vertex["completed"].is_string()
    });
    assert!(completed, "{}", built.stderr);
    let analyzed = env.gantry(["image", "analyze", "wasteful"]).ok();
    for part in [
        "deleted by 4",
        "/big",
        "RUN /bin/sh -c rm /big",
        "Wasted: 5MB in 2 files",
    ] {
        assert!(analyzed.contains(part), "{part} in {analyzed}");
    }
    let document = env.json([
        "image", "analyze", "--format", "json", "--top", "1", "wasteful",
    ]);
    let image = &document["image"];
    assert_eq!(image["inefficientBytes"], 5_000_000);
    assert_eq!(image["userSizeBytes"], 5_001_000);
    assert_eq!(image["fileReference"][0]["count"], 2);
    assert_eq!(document["layer"][1]["wastedBytes"], 3_000_000);
    assert_eq!(document["layer"][3]["hidesBytes"], 2_000_000);
    assert_eq!(image["largestFiles"].as_array().unwrap().len(), 1);
    let failed = env.gantry(["image", "analyze", "--ci", "wasteful"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(
        failed.stdout.contains("FAIL: highest-user-wasted-percent"),
        "{}",
        failed.stdout
    );
    let loose = [
        "image",
        "analyze",
        "--ci",
        "--lowest-efficiency=0",
        "--highest-user-wasted-percent=disabled",
        "--highest-wasted-bytes=5000000",
        "wasteful",
    ];
    assert!(
        env.gantry(loose)
            .ok()
            .contains("PASS: highest-wasted-bytes")
    );
    let wrong = env.gantry([
        "image",
        "analyze",
        "--ci",
        "--lowest-efficiency=2",
        "wasteful",
    ]);
    assert!(
        wrong.code != 0 && wrong.stderr.contains("from 0 to 1"),
        "{}",
        wrong.stderr
    );
}
