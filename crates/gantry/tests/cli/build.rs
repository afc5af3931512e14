//! `gantry build`: images, cache, context, errors.

use gantry_testkit::TestEnv;

in_both_modes! {
    a_dockerfile_becomes_an_image_that_runs,
    a_layer_that_occurs_twice_is_mounted_once,
    a_directory_that_was_replaced_shows_nothing_of_the_old_one,
    an_unchanged_build_runs_nothing_and_a_changed_one_only_what_follows,
    copy_and_add_follow_the_reference,
    errors_show_the_line,
    independent_stages_run_at_once,
    stages_that_nobody_needs_do_not_run,
    steps_get_what_the_client_allows_and_no_more,
    the_context_obeys_its_ignore_file,
    the_layer_of_a_run_holds_what_it_changed_and_nothing_else,
}

fn a_layer_that_occurs_twice_is_mounted_once(env: TestEnv) {
    let dockerfile = "FROM busybox\nRUN true\nRUN echo x > /f\nRUN :\nRUN rm /f\nRUN echo x > /f\n";
    env.write("ctx/Dockerfile", dockerfile);
    build(&env, &["-t", "twice"]).ok();
    let layers = ["image", "inspect", "twice", "-f", "{{json .RootFS.Layers}}"];
    let layers: Vec<String> = serde_json::from_str(&env.gantry(layers).ok()).unwrap();
    let different: std::collections::HashSet<_> = layers.iter().collect();
    assert!(different.len() < layers.len(), "{layers:?}");
    let run = ["run", "--name", "again", "twice", "cat", "/f"];
    assert_eq!(env.gantry(run).ok(), "x");
    env.gantry(["commit", "again", "more"]).ok();
    assert_eq!(env.gantry(["run", "--rm", "more", "cat", "/f"]).ok(), "x");
}

fn steps_get_what_the_client_allows_and_no_more(env: TestEnv) {
    let insecure = "FROM busybox\nRUN --security=insecure mkdir /mnt && mount -t tmpfs t /mnt && \
        grep -q 'Seccomp:.0' /proc/self/status && echo open > /result\n\
        RUN ! mount -t tmpfs t /mnt && ! grep -q 'Seccomp:.0' /proc/self/status\n";
    env.write("ctx/Dockerfile", insecure);
    let refused = build(&env, &[]);
    assert_eq!(refused.code, 1);
    let named = "RUN --security=insecure is not allowed unless the build itself is given --allow security.insecure";
    assert!(refused.stderr.contains(named), "{}", refused.stderr);
    let allowed = build(&env, &["--allow=security.insecure", "-t", "open"]);
    assert_eq!(allowed.code, 0, "{}", allowed.stderr);
    let host = "FROM busybox\nRUN --network=host readlink /proc/self/ns/net > /net\n";
    env.write("ctx/Dockerfile", host);
    let refused = build(&env, &[]);
    assert!(
        refused.stderr.contains("--allow network.host"),
        "{}",
        refused.stderr
    );
    let allowed = build(
        &env,
        &["--allow", "network.host,security.insecure", "-t", "host"],
    );
    assert_eq!(allowed.code, 0, "{}", allowed.stderr);
    let seen = env.gantry(["run", "--rm", "host", "cat", "/net"]).ok();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(seen, own.to_str().unwrap());
    let unknown = build(&env, &["--allow=fs.read=/x"]);
    assert!(
        unknown
            .stderr
            .contains("--allow fs.read=/x is not supported"),
        "{}",
        unknown.stderr
    );
}

fn build(env: &TestEnv, flags: &[&str]) -> gantry_testkit::Answer {
    let context = env.work().join("ctx");
    let mut args = vec!["build", "--progress=plain"];
    args.extend(flags);
    args.push(context.to_str().unwrap());
    env.gantry(args)
}

fn a_directory_that_was_replaced_shows_nothing_of_the_old_one(env: TestEnv) {
    let archive = std::process::Command::new("tar")
        .args(["-cf", "-", "--sort=name", "-C", "/", "etc/passwd"])
        .output()
        .unwrap();
    env.write("ctx/more.tar", archive.stdout);
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS made\n\
        RUN mkdir /d /e && touch /d/old /e/old\n\
        RUN rm -r /d /e && mkdir /d /e && touch /d/new /e/new\n\
        FROM made AS added\nADD more.tar /d/\n\
        FROM busybox\nCOPY --from=made /d /copied\nCOPY --from=made /e/* /matched/\n\
        COPY --from=added /d /added\n\
        RUN --mount=from=made,source=/d,target=/m ls /m > /mounted\n",
    );
    let built = build(&env, &["-t", "replaced"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let list = "ls /copied; ls /matched; ls /added; cat /mounted";
    let listed = env.gantry(["run", "--rm", "replaced", "sh", "-c", list]);
    assert_eq!(listed.ok(), "new\nnew\netc\nnew\nnew");
    // The files of a container that does not run are seen through a view of its own.
    let script = "rm -r /copied && mkdir /copied && touch /copied/newest";
    env.gantry(["run", "--name", "ended", "replaced", "sh", "-c", script])
        .ok();
    env.gantry(["cp", "ended:/copied", "out"]).ok();
    let out: Vec<_> = std::fs::read_dir(env.work().join("out")).unwrap().collect();
    assert_eq!(out.len(), 1, "{out:?}");
    let changed = env.gantry(["diff", "ended"]).ok();
    assert!(
        changed.contains("/copied/new") && changed.contains("/copied/newest"),
        "{changed}"
    );
}

fn a_dockerfile_becomes_an_image_that_runs(env: TestEnv) {
    env.write("ctx/app/hello.sh", "#!/bin/sh\necho \"hello $WHO\"\n");
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS base\n\
        ARG VERSION=1\nENV WHO=world-$VERSION\nWORKDIR /app\nCOPY --chmod=755 app/ ./\n\
        RUN echo made > made && ln -s made link\nUSER 1000:1000\nEXPOSE 80/tcp\nLABEL a=b\n\
        ENTRYPOINT [\"/app/hello.sh\"]\n",
    );
    let built = build(
        &env,
        &[
            "-t",
            "hello",
            "-t",
            "hello:two",
            "--build-arg",
            "VERSION=2",
            "--label",
            "c=d",
        ],
    );
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(
        env.gantry(["run", "--rm", "hello:two"]).ok(),
        "hello world-2"
    );
    let config = env.json(["inspect", "--format", "{{json .Config}}", "hello"]);
    assert_eq!(config["WorkingDir"], "/app");
    assert_eq!(config["User"], "1000:1000");
    assert_eq!(config["Labels"], serde_json::json!({"a": "b", "c": "d"}));
    let inside = env
        .gantry([
            "run",
            "--rm",
            "--entrypoint",
            "sh",
            "hello",
            "-c",
            "cat link; stat -c '%a %u' hello.sh",
        ])
        .ok();
    assert_eq!(inside, "made\n755 0");
}

fn an_unchanged_build_runs_nothing_and_a_changed_one_only_what_follows(env: TestEnv) {
    env.write("ctx/a", "1");
    env.write("ctx/b", "1");
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nCOPY a /a\nRUN echo first-ran\nCOPY b /b\nRUN echo second-ran\n",
    );
    let first = build(&env, &["-t", "x"]);
    assert!(
        first.stderr.contains("first-ran") && first.stderr.contains("second-ran"),
        "{}",
        first.stderr
    );
    let id = env.gantry(["images", "-q", "x"]).ok();
    let again = build(&env, &["-t", "x"]);
    assert_eq!(
        again.stderr.matches("CACHED").count(),
        4,
        "{}",
        again.stderr
    );
    assert_eq!(env.gantry(["images", "-q", "x"]).ok(), id);
    env.write("ctx/b", "2");
    let changed = build(&env, &["-t", "x"]);
    assert_eq!(
        changed.stderr.matches("CACHED").count(),
        2,
        "{}",
        changed.stderr
    );
    // Written again with the same content: only times differ, nothing runs.
    env.write("ctx/b", "2");
    let touched = build(&env, &["-t", "x"]);
    assert_eq!(
        touched.stderr.matches("CACHED").count(),
        4,
        "{}",
        touched.stderr
    );
    let fresh = build(&env, &["--no-cache", "-t", "x"]);
    assert!(fresh.stderr.contains("second-ran"), "{}", fresh.stderr);
}

fn stages_that_nobody_needs_do_not_run(env: TestEnv) {
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS one\nRUN echo 1 > /file\n\
        FROM busybox AS unused\nRUN false\nFROM busybox AS two\nCOPY --from=one /file /from-one\n\
        COPY --from=busybox /etc/passwd /passwd\nFROM two\nRUN test -s /passwd && cat /from-one\n",
    );
    let built = build(&env, &["-t", "x"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(!built.stderr.contains("RUN false"), "{}", built.stderr);
    let target = build(&env, &["--target", "unused"]);
    assert_eq!(target.code, 1);
    assert!(target.stderr.contains("exit code: 1"), "{}", target.stderr);
    let misspelt = build(&env, &["--target", "tow"]).fails(1);
    assert!(
        misspelt.contains("tow") && misspelt.contains("two"),
        "{misspelt}"
    );
}

fn the_context_obeys_its_ignore_file(env: TestEnv) {
    for path in ["keep", "drop", "sub/keep", "sub/drop", ".git/x"] {
        env.write(&format!("ctx/{path}"), path);
    }
    env.write(
        "ctx/.dockerignore",
        "**/drop\n.git\nDockerfile\n.dockerignore\n",
    );
    env.write("ctx/Dockerfile", "FROM busybox\nCOPY . /c\n");
    build(&env, &["-t", "x"]).ok();
    let files = || {
        env.gantry([
            "run",
            "--rm",
            "x",
            "sh",
            "-c",
            "cd /c; find . -type f | sort",
        ])
        .ok()
    };
    assert_eq!(files(), "./keep\n./sub/keep");
    env.write("ctx/Dockerfile.dockerignore", "*\n!sub/drop\n");
    build(&env, &["-t", "x"]).ok();
    assert_eq!(files(), "./sub/drop");
}

fn errors_show_the_line(env: TestEnv) {
    env.write("ctx/Dockerfile", "FROM busybox\nRUNN echo\n");
    let unknown = build(&env, &[]).fails(1);
    assert!(
        unknown.contains("Dockerfile:2")
            && unknown.contains("RUNN echo")
            && unknown.contains("RUN"),
        "{unknown}"
    );
    env.write("ctx/Dockerfile", "FROM busybox\nCOPY nonesuch /x\n");
    let missing = build(&env, &[]).fails(1);
    assert!(
        missing.contains("nonesuch") && missing.contains("Dockerfile:2"),
        "{missing}"
    );
    env.write("ctx/Dockerfile", "FROM busybox\nRUN exit 3\n");
    let failed = build(&env, &[]).fails(1);
    assert!(
        failed.contains("exit code: 3") && failed.contains("RUN exit 3"),
        "{failed}"
    );
    let nowhere = env.gantry(["build", "nonesuch-folder"]).fails(1);
    assert!(nowhere.contains("nonesuch-folder"), "{nowhere}");
    assert_eq!(env.gantry(["images", "-q"]).ok().lines().count(), 1);
}

fn copy_and_add_follow_the_reference(env: TestEnv) {
    env.write("ctx/d/one.txt", "1");
    env.write("ctx/d/two.txt", "2");
    env.write("ctx/d/other", "3");
    let pack = std::process::Command::new("tar")
        .args(["-czf", "ctx/pack.tar.gz", "-C", "ctx", "d"])
        .current_dir(env.work())
        .status()
        .unwrap();
    assert!(pack.success());
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\n\
        COPY d/*.txt /texts/\nCOPY d /all\nCOPY d/other /renamed\nADD pack.tar.gz /unpacked/\n\
        COPY pack.tar.gz /packed/\nCOPY --chown=nobody:1 d/other /owned\n\
        RUN ln -s /all /link\nCOPY d/other /link/through\n\
        COPY <<one.sh <<two.txt /docs/\necho $HOME\none.sh\nplain\ntwo.txt\n\
        RUN <<EOF\nset -e\necho from-heredoc > /heredoc\nEOF\n",
    );
    let built = build(&env, &["-t", "x"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let script = "ls /texts /all /unpacked/d /packed /docs; cat /renamed /all/through /heredoc /docs/two.txt; stat -c '%u:%g %a' /owned";
    let shown = env.gantry(["run", "--rm", "x", "sh", "-c", script]).ok();
    assert_eq!(
        shown,
        "/all:\none.txt\nother\nthrough\ntwo.txt\n\n/docs:\none.sh\ntwo.txt\n\n/packed:\npack.tar.gz\n\n\
        /texts:\none.txt\ntwo.txt\n\n/unpacked/d:\none.txt\nother\ntwo.txt\n33from-heredoc\nplain\n65534:1 644"
    );
}

fn the_layer_of_a_run_holds_what_it_changed_and_nothing_else(env: TestEnv) {
    env.write("ctx/Dockerfile", "FROM busybox\nRUN mkdir /new && echo x > /new/file && rm /etc/group && rm -r /home && mkdir /home && touch /home/again\n");
    build(&env, &["-t", "x"]).ok();
    let archive = env.work().join("x.tar");
    env.gantry(["save", "-o", archive.to_str().unwrap(), "x"])
        .ok();
    let manifest = std::process::Command::new("tar")
        .args(["-xOf"])
        .arg(&archive)
        .arg("manifest.json")
        .output()
        .unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest.stdout).unwrap();
    let layer = manifest[0]["Layers"][1].as_str().unwrap();
    let names = std::process::Command::new("sh")
        .args(["-c", "tar -xOf \"$1\" \"$2\" | tar -t | sort", "sh"])
        .arg(&archive)
        .arg(layer)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&names.stdout),
        "etc/\netc/.wh.group\nhome/\nhome/.wh..wh..opq\nhome/again\nnew/\nnew/file\n"
    );
}

fn independent_stages_run_at_once(env: TestEnv) {
    // Each leaves a mark and waits for the other's: one after the other they would not meet.
    let meet = |own: &str, other: &str| {
        format!(
            "FROM busybox AS {own}\nRUN --mount=type=cache,target=/meet touch /meet/{own}; \
             for i in $(seq 3000); do [ -e /meet/{other} ] && exec touch /{own}; sleep 0.02; done; exit 1\n"
        )
    };
    let stages = meet("a", "b") + &meet("b", "a");
    env.write(
        "ctx/Dockerfile",
        stages + "FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
    );
    build(&env, &["-t", "x"]).ok();
}
