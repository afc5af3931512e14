//! What is written down of what happens.

use std::io::{BufRead, BufReader};

use gantry_testkit::{Caller, TestEnv};

use crate::busybox;

in_both_modes! {
    events_arrive_as_they_happen,
    the_life_of_a_container_is_told_as_docker_tells_it,
}

/// The events so far, without times, ids shortened to three digits.
fn told(env: &TestEnv, filters: &[&str]) -> Vec<String> {
    let mut args = vec!["events", "--since", "0", "--until", "0s"];
    for filter in filters {
        args.extend(["--filter", filter]);
    }
    let text = env.gantry(args).ok();
    let line = |line: &str| {
        let words = line.split(' ').skip(1).map(|word| {
            let id = |text: &str| {
                let hex = text.len() >= 64 && text.bytes().take(64).all(|b| b.is_ascii_hexdigit());
                hex.then(|| format!("ID{}", &text[64..]))
            };
            match word.split_once('=') {
                // How long it lived is the machine's affair.
                Some(("(execDuration", _)) => Some("(execDuration=SECONDS,".to_owned()),
                Some((name, value)) => id(value).map(|id| format!("{name}={id}")),
                None => id(word),
            }
            .unwrap_or_else(|| word.to_owned())
        });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect()
}

fn the_life_of_a_container_is_told_as_docker_tells_it(env: TestEnv) {
    let root = env.caller() == Caller::Root;
    env.gantry([
        "run", "-d", "--name", "ev", "--label", "l=1", "-v", "evol:/v", "busybox", "sleep", "1000",
    ])
    .ok();
    env.gantry(["exec", "ev", "true"]).ok();
    if root {
        env.gantry(["pause", "ev"]).ok();
        env.gantry(["unpause", "ev"]).ok();
    }
    env.gantry(["rename", "ev", "ev2"]).ok();
    env.gantry(["top", "ev2"]).ok();
    env.gantry(["restart", "-t", "0", "ev2"]).ok();
    env.gantry(["kill", "ev2"]).ok();
    env.gantry(["rm", "ev2"]).ok();
    env.gantry(["volume", "rm", "evol"]).ok();
    let ev = "(image=busybox, l=1, name=ev)";
    let ev2 = "(image=busybox, l=1, name=ev2)";
    let mut want = vec![
        "volume create evol (driver=local)".to_owned(),
        format!("container create ID {ev}"),
        "volume mount evol (container=ID, destination=/v, driver=local, propagation=, read/write=true)".into(),
        "network connect ID (container=ID, name=bridge, type=bridge)".into(),
        format!("container start ID {ev}"),
        "container exec_create: true  ID (execID=ID, image=busybox, l=1, name=ev)".into(),
        "container exec_start: true  ID (execID=ID, image=busybox, l=1, name=ev)".into(),
        "container exec_die ID (execID=ID, exitCode=0, image=busybox, l=1, name=ev)".into(),
        format!("container pause ID {ev}"),
        format!("container unpause ID {ev}"),
        "container rename ID (image=busybox, l=1, name=ev2, oldName=/ev)".into(),
        format!("container top ID {ev2}"),
        "container kill ID (image=busybox, l=1, name=ev2, signal=15)".into(),
        "container kill ID (image=busybox, l=1, name=ev2, signal=9)".into(),
        "network disconnect ID (container=ID, name=bridge, type=bridge)".into(),
        "volume unmount evol (container=ID, driver=local)".into(),
        format!("container stop ID {ev2}"),
        "container die ID (execDuration=SECONDS, exitCode=137, image=busybox, l=1, name=ev2)".into(),
        "volume mount evol (container=ID, destination=/v, driver=local, propagation=, read/write=true)".into(),
        "network connect ID (container=ID, name=bridge, type=bridge)".into(),
        format!("container start ID {ev2}"),
        format!("container restart ID {ev2}"),
        "container kill ID (image=busybox, l=1, name=ev2, signal=9)".into(),
        "network disconnect ID (container=ID, name=bridge, type=bridge)".into(),
        "volume unmount evol (container=ID, driver=local)".into(),
        "container die ID (execDuration=SECONDS, exitCode=137, image=busybox, l=1, name=ev2)".into(),
        format!("container destroy ID {ev2}"),
        "volume destroy evol (driver=local)".into(),
    ];
    // Without a cgroup of its own nothing can be frozen.
    want.retain(|line| root || !line.contains("pause ID"));
    let got = told(&env, &["type=container", "type=volume", "type=network"]);
    assert_eq!(got, want, "{got:#?}");
    assert_eq!(told(&env, &["container=ev2", "event=restart"]).len(), 1);
    // An image's events tell its labels while it is there.
    env.write("ctx/Dockerfile", "FROM busybox\nLABEL made=here\n");
    let context = env.work().join("ctx");
    env.gantry(["build", "-q", "-t", "own", context.to_str().unwrap()])
        .ok();
    env.gantry(["tag", "own", "own:2"]).ok();
    let labelled = told(&env, &["type=image", "event=tag", "label=made=here"]);
    assert_eq!(labelled.len(), 1, "{labelled:?}");
    assert!(
        labelled[0].ends_with(" (made=here, name=own:2)"),
        "{labelled:?}"
    );
    let images = told(&env, &["type=image"]);
    assert!(images[0].starts_with("image import sha256:"), "{images:?}");
}

fn events_arrive_as_they_happen(env: TestEnv) {
    let mut follower = env.spawn([
        "events",
        "--filter",
        "type=container",
        "--format",
        "{{.Action}} {{.Actor.Attributes.name}}",
    ]);
    // It watches once its folder is there and it holds its inotify descriptor.
    gantry_testkit::environment::wait_for("the follower", || {
        let fds = format!("/proc/{}/fd", follower.id());
        std::fs::read_dir(fds).unwrap().flatten().any(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("inotify"))
        })
    });
    env.gantry(["run", "--rm", "--name", "seen", "busybox", "true"])
        .ok();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let got: Vec<String> = lines.map(Result::unwrap).take(5).collect();
    assert_eq!(
        got,
        [
            "create seen",
            "attach seen",
            "start seen",
            "die seen",
            "destroy seen"
        ]
    );
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn root_the_journal_survives_damage_and_stays_small() {
    let env = busybox();
    env.gantry(["run", "--rm", "busybox", "true"]).ok();
    let journal = env.run_root().join("events/journal");
    let text = std::fs::read(&journal).unwrap();
    std::fs::write(
        &journal,
        [&text[..text.len() - 40], b"\n\x00\xff{}\n{\"Type\":"].concat(),
    )
    .unwrap();
    env.gantry(["volume", "create", "after"]).ok();
    let got = told(&env, &[]);
    assert_eq!(got.last().unwrap(), "volume create after (driver=local)");
    assert!(got.iter().any(|line| line.starts_with("container create")));
    std::fs::write(&journal, vec![b'x'; 600 << 10]).unwrap();
    env.gantry(["volume", "create", "turned"]).ok();
    assert!(!journal.exists() || journal.metadata().unwrap().len() < 1000);
    env.gantry(["volume", "create", "next"]).ok();
    assert_eq!(
        told(&env, &[]).last().unwrap(),
        "volume create next (driver=local)"
    );
}
