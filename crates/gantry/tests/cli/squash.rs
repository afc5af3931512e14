//! `gantry build --squash` and `gantry image squash`.

use std::fs;

use gantry_testkit::TestEnv;

in_both_modes! {
    a_squashed_image_has_the_same_files_in_one_layer,
}

const SECRET: &[u8] = b"what nobody may read later";

fn a_squashed_image_has_the_same_files_in_one_layer(env: TestEnv) {
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nENV A=b\nCOPY secret /secret\n\
        RUN mkdir -p /data/old && echo 1 > /data/old/one && echo 2 > /data/two \
        && ln /data/two /data/same && ln -s two /data/link && chown -R 5:6 /data && chmod 2750 /data\n\
        RUN rm /secret && rm -r /usr && mkdir /usr && echo only > /usr/only && rmdir /home && echo file > /home \
        && rm -r /data/old && echo file > /data/old && echo 3 > /data/three && rm /bin/vi /etc/group\n",
    );
    env.write("ctx/secret", SECRET);
    let context = env.work().join("ctx");
    let context = context.to_str().unwrap();
    let build = |more: &[&str]| {
        let flags = ["build", "-q", "--network=none"];
        env.gantry(flags.iter().chain(more).chain(&[context])).ok()
    };
    build(&["-t", "whole"]);
    let first = build(&["-t", "built", "--squash"]);
    assert_eq!(build(&["--squash"]), first, "the same image again");
    let base = layers(&env, "busybox");
    assert_eq!(layers(&env, "built").len(), base.len() + 1);
    assert_eq!(layers(&env, "built")[..base.len()], base);

    let squash = |more: &[&str]| env.gantry(["image", "squash"].iter().chain(more));
    squash(&["-t", "onto", "--from=busybox", "whole"]).ok();
    assert_eq!(layers(&env, "onto"), layers(&env, "built"));
    squash(&["-t", "one", "whole"]).ok();
    assert_eq!(layers(&env, "one").len(), 1);
    squash(&["-t", "two", "--from=2", "whole"]).ok();
    assert_eq!(layers(&env, "two")[..2], layers(&env, "whole")[..2]);

    let files = exported(&env, "whole");
    assert!(contains(&files, b"data/three") && !contains(&files, SECRET));
    for image in ["built", "onto", "one", "two"] {
        assert!(exported(&env, image) == files, "the files of {image}");
    }
    for (image, holds) in [
        ("built", false),
        ("one", false),
        ("two", true),
        ("whole", true),
    ] {
        assert_eq!(contains(&saved(&env, image), SECRET), holds, "{image}");
    }

    let document = env.json(["image", "inspect", "built"]);
    assert_eq!(
        document[0]["Config"]["Env"]
            .as_array()
            .unwrap()
            .last()
            .unwrap(),
        "A=b"
    );
    let whole = env.gantry(["images", "-q", "--no-trunc", "whole"]).ok();
    let history = env
        .gantry(["history", "--no-trunc", "--format={{.Comment}}", "built"])
        .ok();
    let told = format!("merge {} to {}", whole.trim(), base.last().unwrap());
    assert_eq!(history.lines().next(), Some(told.as_str()));
    assert_eq!(history.lines().count(), 1 + history_of_whole(&env));

    let refused = squash(&["--from=one", "whole"]).fails(1);
    assert!(
        refused.contains("does not begin with the layers of one"),
        "{refused}"
    );
    let refused = squash(&["--from=99", "whole"]).fails(1);
    assert!(refused.contains("not 99"), "{refused}");
    let inline = ["build", "--squash", "--cache-to=type=inline", context];
    let refused = env.gantry(inline).fails(1);
    assert!(refused.contains("--squash"), "{refused}");
}

fn layers(env: &TestEnv, image: &str) -> Vec<String> {
    let document = env.json(["image", "inspect", image]);
    let layers = document[0]["RootFS"]["Layers"].as_array().unwrap();
    let text = |layer: &serde_json::Value| layer.as_str().unwrap().to_owned();
    layers.iter().map(text).collect()
}

fn history_of_whole(env: &TestEnv) -> usize {
    env.gantry(["history", "-q", "whole"]).ok().lines().count()
}

/// The files of a container of the image, as an archive.
fn exported(env: &TestEnv, image: &str) -> Vec<u8> {
    env.gantry(["create", "--name", image, image, "true"]).ok();
    let archive = env.work().join(format!("{image}.files"));
    env.gantry(["export", "-o", archive.to_str().unwrap(), image])
        .ok();
    env.gantry(["rm", image]).ok();
    fs::read(archive).unwrap()
}

fn saved(env: &TestEnv, image: &str) -> Vec<u8> {
    let archive = env.work().join(format!("{image}.image"));
    env.gantry(["save", "-o", archive.to_str().unwrap(), image])
        .ok();
    fs::read(archive).unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
