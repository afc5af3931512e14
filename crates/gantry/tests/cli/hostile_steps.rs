//! Steps and images that are made to harm whoever builds with them.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use gantry_testkit::{Answer, TestEnv};

use crate::busybox;

fn build(env: &TestEnv, dockerfile: &str) -> Answer {
    env.write("ctx/Dockerfile", dockerfile);
    env.gantry([
        "build",
        "--progress=plain",
        "--network=none",
        "-t",
        "made",
        "ctx",
    ])
}

fn built(env: &TestEnv, dockerfile: &str) -> String {
    let answer = build(env, dockerfile);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    answer.stderr
}

fn refused(env: &TestEnv, dockerfile: &str) -> String {
    build(env, dockerfile).fails(1)
}

fn in_made(env: &TestEnv, script: &str) -> String {
    env.gantry(["run", "--rm", "made", "sh", "-c", script]).ok()
}

/// Whoever is meant may stand behind millions of others, and is never taken for somebody else.
#[test]
fn root_a_user_list_of_any_length_gives_the_right_owner() {
    let env = busybox();
    built(
        &env,
        "FROM busybox\n\
         RUN yes x:x:77:77::/: | head -n 900000 >>/etc/passwd; echo late:x:1234:1235::/:/bin/sh >>/etc/passwd; \
         yes x:x:77: | head -n 900000 >>/etc/group; echo later:x:4321:late >>/etc/group\n\
         COPY --chown=late:later Dockerfile /owned\nUSER late\nRUN id -u >/tmp/who; id -G >>/tmp/who\n",
    );
    let script = [
        "run",
        "--rm",
        "-u",
        "late",
        "made",
        "sh",
        "-c",
        "stat -c %u:%g /owned; cat /tmp/who; id -u",
    ];
    assert_eq!(env.gantry(script).ok(), "1234:4321\n1234\n1235 4321\n1234");
    let long = "FROM busybox\nRUN head -c 3000000 /dev/zero | tr '\\0' x >>/etc/passwd\n";
    let told = refused(
        &env,
        &format!("{long}COPY --chown=someone Dockerfile /owned\n"),
    );
    assert!(
        told.contains("/etc/passwd") && told.contains("1048576 bytes"),
        "{told}"
    );
    let told = refused(&env, &format!("{long}USER someone\nRUN id\n"));
    assert!(told.contains("/etc/passwd"), "{told}");
    // What is no file is opened by nobody and waited for by nobody.
    let what = "FROM busybox\nRUN rm /etc/passwd /etc/group; mkfifo /etc/passwd; ln -s /proc/self/mem /etc/group\n";
    let told = refused(&env, &format!("{what}USER nobody:nogroup\nRUN id\n"));
    assert!(told.contains("unable to find user nobody"), "{told}");
}

/// A fork bomb ends with its step, and leaves the machine room.
#[test]
fn root_a_step_may_start_so_many_processes_and_is_ended_all_the_same() {
    let env = busybox();
    env.configure("[builder]\npids-limit = 60\n");
    let told = refused(
        &env,
        "FROM busybox\nRUN i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; echo all-$i\n",
    );
    assert!(
        told.contains("can't fork") && !told.contains("all-200"),
        "{told}"
    );
    // A shell that cannot fork ends: the step itself has to be something that needs no other.
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN bomb() { (bomb) & (bomb) & sleep 1000; }; echo begun; (bomb) & exec sleep 1000\n",
    );
    let mut child = env.spawn(["build", "--progress=plain", "--network=none", "ctx"]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().ends_with(" begun")),
        "the step starts"
    );
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{}", rest.join("\n"));
    assert!(
        rest.iter().any(|line| line.contains("canceled")),
        "{}",
        rest.join("\n")
    );
    env.configure("[builder]\npids-limit = 0\n");
    let many = "FROM busybox\nRUN for i in $(seq 100); do sleep 1000 & done; echo all-$i\n";
    let said = built(&env, many);
    assert!(said.contains("all-100"), "{said}");
}

/// Neither output without an end of line nor processes that stay hold up a build.
#[test]
fn root_what_a_step_says_and_leaves_running_holds_up_nothing() {
    let env = busybox();
    let began = Instant::now();
    let said = built(
        &env,
        "FROM busybox\n\
         RUN head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end\n\
         RUN (sleep 1000; echo late >/late) & setsid sleep 1000 & nohup sleep 1000 >/dev/null 2>&1 & echo left\n\
         RUN mount -o remount,rw / 2>/dev/null && touch /is-remounted; mount -t tmpfs x /mnt 2>/dev/null && touch /is-mounted; \
         umount /proc 2>/dev/null && touch /is-unmounted; ls /\n",
    );
    assert!(
        began.elapsed() < Duration::from_secs(300),
        "nothing waits for the sleepers"
    );
    let longest = said.lines().map(str::len).max().unwrap();
    assert!(
        said.len() > 3_000_000 && longest < 200_000,
        "{} {longest}",
        said.len()
    );
    assert!(said.contains(" end\n") && said.contains(" left\n"));
    assert_eq!(in_made(&env, "ls -d /is-* /late 2>/dev/null | wc -l"), "0");
}

/// Trees that are deep, long, wide or linked, and files that are large without any content.
#[test]
fn root_trees_of_any_shape_are_copied_or_refused() {
    let env = busybox();
    let shapes = "FROM busybox AS made\n\
        RUN mkdir -p /t/$(printf 'd/%.0s' $(seq 500)) && n=$(printf '%0255d' 0) && mkdir -p /t/$n/$n/$n && echo x >/t/$n/$n/$n/$n\n\
        RUN mkdir /t/l && echo x >/t/l/0 && for i in $(seq 200); do ln /t/l/0 /t/l/$i; done; cd /t && seq 5000 | xargs touch\n\
        RUN truncate -s 1099511627776 /t/sparse && echo end | dd of=/t/sparse bs=1 seek=549755813888 conv=notrunc 2>/dev/null\n";
    built(
        &env,
        &format!("{shapes}FROM busybox\nCOPY --from=made /t /t\n"),
    );
    let shown = in_made(
        &env,
        "find /t -type d | wc -l; find /t -type f | wc -l; stat -c %h /t/l/7; stat -c %s /t/sparse; du -k /t/sparse | cut -f1; \
         dd if=/t/sparse bs=1 skip=549755813888 count=3 2>/dev/null",
    );
    // 500 deep, three long ones, /t and /t/l; one long name, 201 links, 5000 and the sparse file.
    assert_eq!(shown, "505\n5203\n201\n1099511627776\n4\nend");
    // None of these reads or writes a tebibyte.
    for output in [
        "type=tar,dest=out",
        "type=oci,dest=out",
        "type=local,dest=folder",
    ] {
        env.gantry(["build", "-q", "--network=none", "-o", output, "ctx"])
            .ok();
    }
    let copied = env.work().join("folder/t/sparse").metadata().unwrap();
    assert_eq!(copied.len(), 1 << 40);
    env.gantry([
        "build",
        "-q",
        "--network=none",
        "--squash",
        "-t",
        "made",
        "ctx",
    ])
    .ok();
    assert_eq!(in_made(&env, "stat -c %s /t/sparse"), "1099511627776");
    assert_eq!(env.gantry(["system", "check"]).code, 0);
    let told = refused(
        &env,
        "FROM busybox\nRUN mkdir -p /t/$(printf 'd/%.0s' $(seq 1900))\n",
    );
    assert!(told.contains("600"), "{told}");
    let left = std::fs::read_dir(env.root().join("ingest"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "what is refused is removed, however deep");
}
