//! A machine that is short of something, and words that a terminal would obey.

use std::process::Command;

use gantry_testkit::fixture;

use crate::{GANTRY, busybox};

/// What a shell says in which this installation's `gantry` is `$G`.
fn shell(env: &gantry_testkit::TestEnv, script: &str) -> (Option<i32>, String) {
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .env("G", GANTRY)
        .env("GANTRY_ROOT", env.root())
        .env("GANTRY_RUN", env.run_root())
        .env("WORK", env.work())
        .env("IMAGE", fixture::busybox())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn root_too_few_open_files_are_told_with_what_to_do() {
    let env = busybox();
    for limit in [4, 8, 12, 16, 20] {
        let script = format!("ulimit -n {limit}; exec \"$G\" run --rm busybox echo fine");
        let (code, said) = shell(&env, &script);
        let fine = code == Some(0) && said == "fine\n";
        let told = code == Some(125) && said.contains("ulimit -n");
        assert!(fine || told, "{limit}: {code:?} {said}");
        assert_eq!(env.gantry(["ps", "-aq"]).ok(), "", "{limit}");
    }
}

#[test]
fn root_a_full_disk_is_told_with_what_to_do_and_leaves_a_sound_store() {
    let env = busybox();
    let script =
        "mkdir \"$WORK/small\"; mount -t tmpfs -o size=900k small \"$WORK/small\" || exit 9
        \"$G\" --root \"$WORK/small\" import \"$IMAGE\" full; code=$?
        \"$G\" --root \"$WORK/small\" system check >&2 || exit 8
        exit $code";
    let (code, said) = shell(&env, script);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("gantry system prune"), "{said}");
}

#[test]
fn root_a_container_on_a_full_disk_is_told_of_and_can_be_removed() {
    let env = busybox();
    // The image fits, what the container writes does not, and neither does the next container.
    let script = "mkdir \"$WORK/small\"; mount -t tmpfs -o size=6m small \"$WORK/small\" || exit 9
        g() { \"$G\" --root \"$WORK/small\" \"$@\"; }
        g import \"$IMAGE\" bb >/dev/null || exit 7
        g run --name filler bb dd if=/dev/zero of=/big bs=64k 2>/dev/null
        head -c 9m /dev/zero >\"$WORK/small/rest\" 2>/dev/null
        g run --rm bb true; echo \"code $?\"
        g rm filler || exit 6
        rm \"$WORK/small/rest\"
        g run --rm bb echo room || exit 5
        g system check >&2 || exit 8";
    let (code, said) = shell(&env, script);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("code 125") && said.contains("df -h"),
        "{said}"
    );
    assert!(said.contains("room\n"), "{said}");
}

#[test]
fn root_a_container_that_fills_the_disk_at_once_is_seen_to_run() {
    let env = busybox();
    let script = "mkdir \"$WORK/small\" \"$WORK/out\"
        mount -t tmpfs -o size=6m small \"$WORK/small\" || exit 9
        g() { \"$G\" --root \"$WORK/small\" \"$@\"; }
        g import \"$IMAGE\" bb >/dev/null || exit 7
        g run -d --name filler -v \"$WORK/out:/out\" bb sh -c '
            dd if=/dev/zero of=/big bs=4k 2>/dev/null; touch /out/full; exec sleep 1000'
        i=0; until [ -e \"$WORK/out/full\" ] || [ $i = 600 ]; do i=$((i+1)); sleep 0.1; done
        g ps --format '{{.Names}} {{.State}}'
        g rm -f filler || exit 6
        g ps -aq";
    let (code, said) = shell(&env, script);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\nfiller running\n"), "{said}");
}

#[test]
fn root_what_finds_no_room_leaves_nothing_and_says_what_to_do() {
    let env = busybox();
    let script = "mkdir \"$WORK/small\" \"$WORK/ctx\"
        mount -t tmpfs -o size=6m small \"$WORK/small\" || exit 9
        g() { \"$G\" --root \"$WORK/small\" \"$@\"; }
        g import \"$IMAGE\" bb >/dev/null || exit 7
        head -c 9m /dev/zero >\"$WORK/ctx/big\"
        printf 'FROM bb\\nCOPY big /\\n' >\"$WORK/ctx/Dockerfile\"
        g build \"$WORK/ctx\" 2>&1; echo \"build $?\"
        head -c 9m /dev/zero >\"$WORK/small/rest\" 2>/dev/null
        g volume create v; echo \"volume $?\"
        ls \"$WORK/small/volumes\"";
    let (_, said) = shell(&env, script);
    assert!(
        said.contains("build 1\n") && said.contains("volume 1\n"),
        "{said}"
    );
    assert!(said.contains("gantry system prune"), "{said}");
    assert!(!said.contains("\nv\n"), "{said}");
}

#[test]
fn root_a_working_folder_that_is_gone_holds_up_nothing_that_does_not_need_it() {
    let env = busybox();
    let script = "mkdir \"$WORK/gone\" && cd \"$WORK/gone\" && rmdir \"$WORK/gone\" || exit 9
        \"$G\" run --rm busybox echo fine
        \"$G\" run --rm -v ./x:/x busybox true; echo \"relative $?\"";
    let (_, said) = shell(&env, script);
    assert!(
        said.contains("fine\n") && said.contains("relative 125"),
        "{said}"
    );
    assert!(said.contains("working folder"), "{said}");
}

#[test]
fn root_a_created_container_has_room_for_its_state() {
    let env = busybox();
    let id = env.gantry(["create", "busybox", "true"]).ok();
    let state = env.root().join("containers").join(id).join("state.json");
    assert!(state.metadata().unwrap().len() >= 4096);
    assert_eq!(
        env.gantry(["ps", "-a", "--format", "{{.State}}"]).ok(),
        "created"
    );
}

#[test]
fn root_a_terminal_is_shown_nothing_that_it_obeys() {
    let env = busybox();
    let evil = "x=\u{1b}[31mred\u{7}";
    env.gantry([
        "create",
        "--name",
        "cc",
        "--label",
        evil,
        "busybox",
        "echo",
        "\u{1b}[2J",
    ])
    .ok();
    let format = ["ps", "-a", "--format", "{{.Labels}}"];
    assert_eq!(env.gantry(format).ok(), evil, "a pipe gets what is there");
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN printf 'a\\033[31mb\\007\\n'; false\n",
    );
    let script = "touch /evil && mv /evil \"/$(printf 'e\\033[31m\\nA \\007')\"";
    env.gantry(["run", "--name", "ff", "busybox", "sh", "-c", script])
        .ok();
    let raw = env.gantry(["diff", "ff"]).ok();
    assert_eq!(raw, "A /e\u{1b}[31m\nA \u{7}", "a pipe gets what is there");
    let at_terminal = |command: &str| {
        let output = Command::new("script")
            .args(["-qec", &format!("{GANTRY} {command}"), "/dev/null"])
            .env("GANTRY_ROOT", env.root())
            .env("GANTRY_RUN", env.run_root())
            .env("NO_COLOR", "1")
            .env("TERM", "xterm")
            .current_dir(env.work())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for command in [
        "ps -a --format '{{.Labels}}'",
        "ps -a --no-trunc",
        "inspect -f '{{.Config.Labels}}' cc",
        "rm \"$(printf 'a\\033[31mb')\"",
        "pull \"$(printf 'a\\033[31mb')\"",
        "\"$(printf 'a\\033[31mb')\"",
    ] {
        let shown = at_terminal(command);
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{command}: {shown:?}");
        assert!(shown.contains("1b"), "written out: {command}: {shown:?}");
    }
    assert_eq!(at_terminal("diff ff"), "A /e\\x1b[31m\\nA \\x07\r\n");
    // The progress of a build moves about; what a step said does not.
    let built = at_terminal("build ctx");
    assert!(
        built.contains("0.") && built.contains(" ab\r\n"),
        "{built:?}"
    );
    assert!(
        !built.contains("\u{1b}[31m") && !built.contains('\u{7}'),
        "{built:?}"
    );
}
