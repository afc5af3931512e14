//! `RUN --mount`: bind, secret and ssh.

use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;

use gantry_testkit::{Answer, TestEnv};

use crate::busybox;

fn build(env: &TestEnv, flags: &[&str]) -> Answer {
    let mut args = vec!["build", "--progress=plain", "--network=none", "-t", "built"];
    args.extend(flags);
    args.push("ctx");
    env.gantry(args)
}

fn dockerfile(env: &TestEnv, text: &str) {
    env.write("ctx/Dockerfile", text);
}

#[test]
fn root_a_bind_mount_shows_the_context_as_it_would_be_copied() {
    let env = busybox();
    env.write("ctx/src/a.txt", "first");
    env.write("ctx/src/b[1].txt", "brackets");
    env.write("ctx/secret.env", "ignored");
    env.write("ctx/.dockerignore", "*.env\n");
    chown(env.work().join("ctx/src/a.txt"), Some(1234), Some(1234)).unwrap();
    dockerfile(
        &env,
        "FROM busybox\nWORKDIR /w\n\
        RUN --mount=type=bind,target=. ls -A . > /list && stat -c '%u:%g' src/a.txt >> /list\n\
        RUN --mount=source=src,target=/in cat /in/a.txt > /one; touch /in/x 2>/dev/null && echo writable >> /one; true\n\
        RUN --mount=source=src/b[1].txt,target=b.txt cat b.txt > /two\n\
        RUN --mount=source=src,target=/in,rw echo more >> /in/a.txt && cat /in/a.txt > /three\n\
        RUN ls -A /w > /left; ls -d /in >> /left 2>&1; true\n",
    );
    let built = build(&env, &[]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let show = |path: &str| env.gantry(["run", "--rm", "built", "cat", path]).ok();
    assert_eq!(show("/list"), ".dockerignore\nDockerfile\nsrc\n0:0");
    assert_eq!(show("/one"), "first");
    assert_eq!(show("/two"), "brackets");
    assert_eq!(show("/three"), "firstmore");
    assert_eq!(show("/left"), "ls: /in: No such file or directory");
    let host = std::fs::read_to_string(env.work().join("ctx/src/a.txt")).unwrap();
    assert_eq!(host, "first");

    // Only the content decides: a touched file changes nothing, a written one does.
    env.write("ctx/src/a.txt", "first");
    let again = build(&env, &[]);
    assert!(!again.stderr.contains("RUN --mount") || again.stderr.contains("CACHED"));
    assert_eq!(
        again.stderr.matches("CACHED").count(),
        9,
        "{}",
        again.stderr
    );
    env.write("ctx/src/a.txt", "second");
    drop(build(&env, &[]).ok());
    assert_eq!(show("/one"), "second");
}

#[test]
fn root_a_bind_mount_shows_stages_and_images_and_stays_in_them() {
    let env = busybox();
    env.write("outside", "of the host");
    let outside = env.work().join("outside");
    dockerfile(
        &env,
        &format!(
            "FROM busybox AS made\nRUN mkdir /out && echo tool > /out/tool && ln -s {} /out/link && ln -s /out /way\n\
            FROM busybox\n\
            RUN --mount=from=made,source=/way,target=/tools cat /tools/tool > /got\n\
            RUN --mount=from=busybox:latest,target=/image ls /image/bin/busybox >> /got\n\
            RUN --mount=from=scratch,target=/tmp/free,rw echo x > /tmp/free/x && ls /tmp/free >> /got\n",
            outside.display()
        ),
    );
    drop(build(&env, &[]).ok());
    let got = env.gantry(["run", "--rm", "built", "cat", "/got"]).ok();
    assert_eq!(got, "tool\n/image/bin/busybox\nx");
    for (mount, message) in [
        (
            "from=made,source=/nonesuch,target=/x",
            "\"/nonesuch\": not found",
        ),
        (
            "from=made,source=/out/link,target=/x",
            "\"/out/link\": not found",
        ),
        ("source=nonesuch,target=/x", "nonesuch\": not found"),
        (
            "from=made,source=../../../../etc/shadow,target=/x",
            "\"/etc/shadow\": not found",
        ),
    ] {
        dockerfile(
            &env,
            &format!(
                "FROM busybox AS made\nRUN mkdir /out && ln -s {} /out/link\nFROM busybox\nRUN --mount={mount} cat /x\n",
                outside.display()
            ),
        );
        let failed = build(&env, &[]);
        assert_ne!(failed.code, 0);
        assert!(
            failed.stderr.contains(message),
            "{mount}: {}",
            failed.stderr
        );
    }
}

#[test]
fn root_secrets_are_shown_to_their_step_alone() {
    let env = busybox();
    let value = "correct-horse-battery";
    env.write("token", format!("{value}\n"));
    dockerfile(
        &env,
        "FROM busybox\n\
        RUN --mount=type=secret,id=token,uid=7,mode=0440 stat -c '%a %u %n' /run/secrets/token > /seen && wc -c < /run/secrets/token >> /seen\n\
        RUN --mount=type=secret,id=token,target=/here cat /here | wc -c >> /seen\n\
        RUN --mount=type=secret,id=token,env=TOKEN echo ${#TOKEN} >> /seen\n\
        RUN --mount=type=secret,id=other ls -A /run/secrets >> /seen 2>&1; ls -A / >> /seen; true\n",
    );
    drop(build(&env, &["--secret", "id=token,src=token"]).ok());
    let seen = env.gantry(["run", "--rm", "built", "cat", "/seen"]).ok();
    assert!(
        seen.starts_with("440 7 /run/secrets/token\n22\n22\n22\n"),
        "{seen}"
    );
    assert!(
        !seen.contains("run/secrets/other") && !seen.contains("here"),
        "{seen}"
    );
    // Another value is no other step, as with BuildKit.
    let again = env
        .command([
            "build",
            "--progress=plain",
            "--network=none",
            "--secret",
            "id=token",
            "ctx",
        ])
        .env("token", "something else")
        .output()
        .unwrap();
    let again = Answer::from(again);
    assert_eq!(
        again.stderr.matches("CACHED").count(),
        4,
        "{}",
        again.stderr
    );
    let save = env.work().join("saved");
    env.gantry(["save", "-o", save.to_str().unwrap(), "built"])
        .ok();
    let saved = std::fs::read(save).unwrap();
    assert!(
        !saved
            .windows(value.len())
            .any(|part| part == value.as_bytes())
    );
    for root in [env.root(), env.run_root()] {
        let found = std::process::Command::new("grep")
            .args(["-rlF", value])
            .arg(root)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    }
}

#[test]
fn root_a_secret_that_stays_fails_the_build() {
    let env = busybox();
    env.write("token", "hunter2hunter2");
    env.write("ctx/.npmrc", "//registry/:_authToken=hunter2hunter2\n");
    for (step, place) in [
        (
            "RUN --mount=type=secret,id=token true # hunter2hunter2",
            "the history of the image",
        ),
        (
            "RUN --mount=type=secret,id=token cp /run/secrets/token /kept",
            "/kept",
        ),
        (
            "RUN --mount=type=secret,id=token base64 /run/secrets/token > /coded",
            "/coded",
        ),
        (
            "RUN --mount=type=secret,id=token (printf user:; cat /run/secrets/token) | base64 > /basic",
            "/basic",
        ),
        (
            "RUN --mount=type=secret,id=token true\nCOPY .npmrc /root/.npmrc",
            "/root/.npmrc",
        ),
    ] {
        dockerfile(&env, &format!("FROM busybox\n{step}\n"));
        for _ in 0..2 {
            let failed = build(&env, &["--secret", "id=token,src=token"]);
            assert_ne!(failed.code, 0, "{step}");
            let message = format!("the secret token is in {place}");
            assert!(
                failed.stderr.contains(&message),
                "{step}: {}",
                failed.stderr
            );
        }
        assert_ne!(env.gantry(["inspect", "built"]).code, 0);
    }
    dockerfile(
        &env,
        "FROM busybox\nRUN --mount=type=secret,id=absent,required true\n",
    );
    let failed = build(&env, &[]);
    assert!(
        failed.stderr.contains("secret absent: not found"),
        "{}",
        failed.stderr
    );
    assert!(
        failed.stderr.contains("--secret id=absent"),
        "{}",
        failed.stderr
    );
    let failed = build(&env, &["--secret", "id=a,src=nonesuch"]);
    assert!(failed.stderr.contains("nonesuch"), "{}", failed.stderr);
}

#[test]
fn root_an_agent_is_reached_through_a_socket_of_its_own() {
    let env = busybox();
    let path = env.work().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let agent = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut asked = [0; 5];
        client.read_exact(&mut asked).unwrap();
        client.write_all(b"answer").unwrap();
        asked
    });
    dockerfile(&env, "");
    env.write(
        "ask.c",
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/socket.h>\n\
        #include <sys/un.h>\n#include <unistd.h>\n\
        int main(void) {\n  struct sockaddr_un to = {AF_UNIX, \"\"};\n\
        strcpy(to.sun_path, getenv(\"SSH_AUTH_SOCK\"));\n  char answer[20] = {0};\n\
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);\n\
        if (connect(fd, (void *)&to, sizeof to)) return perror(\"connect\"), 1;\n\
        if (write(fd, \"hello\", 5) != 5 || read(fd, answer, 19) < 1) return perror(\"ask\"), 1;\n\
        return puts(answer) < 0;\n}\n",
    );
    let compiled = std::process::Command::new("cc")
        .args(["-static", "-o", "ctx/ask", "ask.c"])
        .current_dir(env.work())
        .status()
        .expect("the packages gcc and libc6-dev are installed");
    assert!(compiled.success());
    dockerfile(
        &env,
        "FROM busybox\nRUN --mount=type=ssh,uid=9 stat -c '%a %u' $SSH_AUTH_SOCK > /seen\n\
        RUN --mount=type=ssh --mount=source=ask,target=/ask echo $SSH_AUTH_SOCK >> /seen; /ask >> /seen\n\
        RUN echo ${SSH_AUTH_SOCK:-none} >> /seen; ls -A /run >> /seen 2>&1; true\n",
    );
    let sock = path.to_str().unwrap();
    let built = build(&env, &["--ssh", &format!("default={sock}")]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let seen = env.gantry(["run", "--rm", "built", "cat", "/seen"]).ok();
    assert_eq!(
        seen,
        "600 9\n/run/buildkit/ssh_agent.0\nanswer\nnone\nls: /run: No such file or directory"
    );
    assert_eq!(&agent.join().unwrap(), b"hello");
}
