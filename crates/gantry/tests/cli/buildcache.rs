//! The build cache on the command line: `builder du`, `builder prune`, `system df`, and cache mounts
//! that several builds use at once.

use gantry_testkit::TestEnv;

in_both_modes! {
    what_the_cache_takes_is_shown_filtered_and_removed,
    the_sharing_of_cache_mounts_holds_among_builds_at_once,
    a_cache_mount_begins_with_the_files_that_it_is_given,
}

fn build(env: &TestEnv, flags: &[&str]) -> String {
    let context = env.work().join("ctx");
    let mut args = vec!["build", "--progress=plain", "--network=none"];
    args.extend(flags);
    args.push(context.to_str().unwrap());
    let built = env.gantry(args);
    assert_eq!(built.code, 0, "{}", built.stderr);
    built.stderr
}

fn what_the_cache_takes_is_shown_filtered_and_removed(env: TestEnv) {
    env.write("ctx/a", vec![b'a'; 50_000]);
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS one\nCOPY a /a\nRUN --mount=type=cache,id=mine,target=/c echo x > /c/f\n\
        FROM busybox\nCOPY --from=one /a /b\n",
    );
    build(&env, &["-t", "cached"]);
    let table = env.gantry(["builder", "du"]).ok();
    for part in ["RECLAIMABLE", "LAST ACCESSED", "Reclaimable:", "Total:"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let rows = |flags: &[&str]| -> Vec<serde_json::Value> {
        let mut args = vec!["buildx", "du", "--format", "json"];
        args.extend(flags);
        let text = env.gantry(args).ok();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    };
    let mounts = rows(&["--filter", "type=exec.cachemount"]);
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert_eq!(mounts[0]["Description"], "cached mount /c with id \"mine\"");
    assert_eq!(rows(&["--filter", "type=regular"]).len(), 3);
    assert_eq!(
        rows(&["--filter", "description~=COPY", "--filter", "shared"]).len(),
        1
    );
    assert_eq!(rows(&["--filter", "until=1h"]).len(), 0);
    let verbose = env.gantry(["builder", "du", "--verbose"]).ok();
    assert!(
        verbose.contains("Description:  [one 2/3] COPY a /a\n"),
        "{verbose}"
    );
    let detailed = env.gantry(["system", "df", "-v"]).ok();
    assert!(detailed.contains("CACHE ID"), "{detailed}");
    let document = env.json(["system", "df", "-v", "--format", "json"]);
    assert_eq!(
        document["BuildCache"].as_array().unwrap().len(),
        rows(&[]).len()
    );
    // What an image has stays unless all is to go; the image's build is still in the cache.
    let pruned = env
        .gantry(["builder", "prune", "-f", "--filter", "type=regular"])
        .ok();
    assert_eq!(pruned.lines().count(), 4, "{pruned}");
    assert_eq!(rows(&["--filter", "type=regular"]).len(), 1);
    let again = build(&env, &["-t", "cached"]);
    assert_eq!(again.matches("CACHED").count(), 1, "{again}");
    let kept = ["builder", "prune", "-af", "--reserved-space", "1g"];
    assert!(env.gantry(kept).ok().contains("Total:\t0B"));
    env.gantry(["buildx", "prune", "-a", "-f"]).ok();
    assert_eq!(rows(&[]).len(), 0);
    let refused = env.gantry(["builder", "prune", "-f", "--filter", "colour=red"]);
    assert!(refused.code != 0 && refused.stderr.contains("the filters are"));
}

/// Builds that differ in an argument, all at once; each must succeed.
fn at_once(env: &TestEnv, dockerfile: &str, builds: usize) {
    env.write(
        "ctx/Dockerfile",
        format!("FROM busybox\nARG I\n{dockerfile}\n"),
    );
    std::thread::scope(|scope| {
        for number in 0..builds {
            scope.spawn(move || build(env, &["--build-arg", &format!("I={number}")]));
        }
    });
}

/// Waits in a step until the other of two builds has come as far.
const MEET: &str = "touch /meet/$I; n=0; \
    until [ -e /meet/0 ] && [ -e /meet/1 ]; do n=$((n+1)); [ $n -lt 600 ] || exit 7; sleep 0.1; done";

fn the_sharing_of_cache_mounts_holds_among_builds_at_once(env: TestEnv) {
    // One at a time: nobody meets anybody, and nothing that was counted is lost.
    at_once(
        &env,
        "RUN --mount=type=cache,id=locked,target=/c,sharing=locked mkdir /c/busy || exit 9; \
        n=$(cat /c/n 2>/dev/null || echo 0); sleep 0.2; echo $((n+1)) > /c/n; rmdir /c/busy; : $I",
        4,
    );
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN --mount=type=cache,id=locked,target=/c,sharing=locked [ $(cat /c/n) = 4 ]\n",
    );
    build(&env, &[]);
    // Together: both are in it at the same time.
    at_once(
        &env,
        &format!("RUN --mount=type=cache,id=meet,target=/meet {MEET}"),
        2,
    );
    // Each its own, while both run.
    at_once(
        &env,
        &format!(
            "RUN --mount=type=cache,id=again,target=/meet \
            --mount=type=cache,id=own,target=/c,sharing=private mkdir /c/mine || exit 9; {MEET}"
        ),
        2,
    );
}

fn a_cache_mount_begins_with_the_files_that_it_is_given(env: TestEnv) {
    let dockerfile = |seed: &str| {
        format!(
            "FROM busybox AS seed\n\
            RUN mkdir -p /seed/sub && echo {seed} > /seed/sub/file && ln /seed/sub/file /seed/same \
            && chown -R 7:8 /seed && chmod 2750 /seed\n\
            FROM busybox AS first\n\
            RUN --mount=type=cache,id=warm,from=seed,source=/seed,target=/c \
            [ $(cat /c/same) = {seed} ] && [ \"$(stat -c '%a %u:%g' /c)\" = '2750 7:8' ] \
            && [ \"$(stat -c '%h %u:%g' /c/sub/file)\" = '2 7:8' ] && echo own > /c/own && rm /c/same\n\
            FROM first\n\
            RUN --mount=type=cache,id=warm,from=seed,source=/seed,target=/d \
            [ $(cat /d/own) = own ] && [ ! -e /d/same ]\n\
            RUN --mount=type=cache,id=warm,target=/c [ -z \"$(ls /c)\" ]\n\
            RUN --mount=type=cache,id=warm,from=seed,source=/seed/sub,target=/c [ $(ls /c) = file ]\n\
            RUN --mount=type=bind,from=seed,source=/seed,target=/s [ ! -e /s/own ] && [ -e /s/same ]\n"
        )
    };
    // Other files begin another cache.
    for seed in ["one", "two"] {
        env.write("ctx/Dockerfile", dockerfile(seed));
        build(&env, &[]);
    }
    let context = env.work().join("ctx");
    for (options, reason) in [
        (
            "from=busybox,mode=0700",
            "with from and mode, uid or gid is not supported",
        ),
        ("source=/etc", "with source but no from is not supported"),
        ("from=busybox,source=/nowhere", "/nowhere"),
        ("from=busybox,source=/etc/passwd", "/etc/passwd"),
    ] {
        let run = format!("FROM busybox\nRUN --mount=type=cache,target=/c,{options} true\n");
        env.write("ctx/Dockerfile", run);
        let failed = env.gantry(["build", "--network=none", context.to_str().unwrap()]);
        assert_eq!(failed.code, 1, "{options}: {}", failed.stderr);
        assert!(
            failed.stderr.contains(reason),
            "{options}: {}",
            failed.stderr
        );
    }
}
