//! `build --on-failure`: a shell where a step failed.

use std::io::{Read, Write};
use std::process::{Child, Stdio};

use gantry_testkit::TestEnv;

use crate::{busybox, users_busybox};

/// What is said when the shell is there.
const NOTICE: &str = "the build ends when you leave it";

/// A build at a terminal of 33 rows and 101 columns.
fn at_terminal(env: &TestEnv, flags: &str) -> Child {
    env.at_terminal(&format!("build --on-failure=shell {flags} ctx"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Types `text` when the shell is there; gives the exit code and all that was shown.
fn type_into(mut child: Child, text: &str) -> (i32, String) {
    let mut stdin = child.stdin.take();
    let mut stdout = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stdout.read(&mut chunk).unwrap();
        if count == 0 {
            break;
        }
        shown.extend_from_slice(&chunk[..count]);
        if String::from_utf8_lossy(&shown).contains(NOTICE)
            && let Some(mut stdin) = stdin.take()
        {
            // The end of the input comes after it.
            stdin.write_all(text.as_bytes()).unwrap();
        }
    }
    let shown = String::from_utf8(shown).unwrap();
    assert!(stdin.is_none(), "there was no shell: {shown}");
    (child.wait().unwrap().code().unwrap(), shown)
}

fn shows_the_step_as_it_failed(env: &TestEnv) {
    env.write("ctx/file", "shown");
    env.write("secret", "lent");
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS slow\nRUN touch /slow; sleep 600\n\
        FROM busybox\nRUN mkdir -m 777 /kept\nENV WHERE=there\nWORKDIR /work\nUSER 7\n\
        RUN --mount=type=bind,target=/in,rw --mount=type=tmpfs,target=/memory \
            --mount=type=secret,id=s,mode=0444 --network=none \
            echo left > /kept/by-step; exit 3\n\
        COPY --from=slow /slow /\n",
    );
    let child = at_terminal(env, "--secret id=s,src=secret -t never");
    let look = "echo \"<$(cat /kept/by-step) $(id -u) $PWD $WHERE $(cat /in/file) \
        $(cat /run/secrets/s) $(stty size) $(ls /sys/class/net)>\"; \
        grep -c '^tmpfs /memory ' /proc/mounts; touch /kept/by-hand; exit 9\n";
    let (code, shown) = type_into(child, look);
    assert_eq!(code, 1, "{shown}");
    assert!(
        shown.contains("<left 7 /work there shown lent 33 101 lo>\r\n1\r\n"),
        "{shown}"
    );
    let after = shown.split_once("by-hand").unwrap().1;
    assert!(
        after.contains("did not complete successfully: exit code: 3"),
        "the build ends with the error of the step: {shown}"
    );
    let steps = std::fs::read_dir(env.run_root().join("build")).unwrap();
    let folders = steps
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count();
    assert!(folders <= 1, "the locks alone are left");
    assert_eq!(env.gantry(["images", "-q", "never"]).ok(), "");
}

#[test]
fn root_a_shell_shows_the_step_as_it_failed() {
    let env = busybox();
    shows_the_step_as_it_failed(&env);

    // Only the first word of SHELL is a program that talks with a person.
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS tools\nFROM scratch\n\
        COPY --from=tools /bin/busybox /tools/ash\nSHELL [\"/tools/ash\", \"-c\"]\n\
        RUN exit 4\n",
    );
    let (code, shown) = type_into(at_terminal(&env, ""), "echo $((6*7)); exit\n");
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("/tools/ash in the file system"), "{shown}");

    // Without a shell there is a sentence, and the error.
    env.write(
        "ctx/Dockerfile",
        "FROM busybox AS tools\nFROM scratch\n\
        COPY --from=tools /bin/busybox /tools/false\nRUN [\"/tools/false\"]\n",
    );
    let output = at_terminal(&env, "").wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("there is no /bin/sh in"), "{shown}");
    assert!(shown.contains("exit code: 1"), "{shown}");
}

#[test]
fn a_shell_shows_an_ordinary_user_the_step_as_it_failed() {
    shows_the_step_as_it_failed(&users_busybox());
}

#[test]
fn root_a_shell_is_refused_where_nobody_can_type() {
    let env = busybox();
    env.write("ctx/Dockerfile", "FROM busybox\nRUN touch /ran; exit 5\n");
    let build = |flag: &str| env.gantry(["build", "--progress=plain", flag, "ctx"]);
    let said = build("--on-failure=shell").fails(1);
    assert!(said.contains("needs a terminal"), "{said}");
    assert!(!said.contains("exit 5"), "nothing was begun: {said}");
    let said = build("--on-failure=ask").fails(1);
    assert!(said.contains("fail and shell are"), "{said}");
    let said = build("--on-failure=fail").fails(1);
    assert!(said.contains("exit code: 5"), "{said}");
}
