//! Builds of the same and of overlapping Dockerfiles at once, whose processes are killed at random
//! moments: the next build gives what it always gives, and nothing else is left.

use std::path::Path;
use std::process::Child;
use std::time::Instant;

use gantry_testkit::TestEnv;
use gantry_testkit::environment::wait_for;
use gantry_testkit::leftover::processes;

use crate::busybox;
use crate::storm::{Dice, ended, entries, setting};

/// Rounds in the suite; `GANTRY_TEST_ROUNDS` names another count.
const ROUNDS: u64 = 4;

/// Two that have the first steps in common.
const FILES: [&str; 2] = [
    "FROM busybox AS one\nCOPY data /c\nRUN cat /c/* >/all && for i in $(seq 20); do echo $i >/x$i; done\n\
     FROM busybox\nCOPY --from=one /all /x1 /\nRUN --mount=type=cache,target=/k echo >>/k/n; cp /all /again\n",
    "FROM busybox AS one\nCOPY data /c\nRUN cat /c/* >/all && for i in $(seq 20); do echo $i >/x$i; done\n\
     RUN seq 20000 >/numbers\nWORKDIR /w\nCOPY data/f1 other\n",
];

/// Which of them are built at once.
const TOGETHER: [usize; 3] = [0, 0, 1];

fn build<'a>(number: usize, output: &'a str, file: &'a mut String) -> [&'a str; 10] {
    *file = format!("ctx/Dockerfile.{number}");
    let (time, network) = ("SOURCE_DATE_EPOCH=1600000000", "none");
    [
        "build",
        "-q",
        "--build-arg",
        time,
        "--network",
        network,
        "-f",
        file,
        "-o",
        output,
    ]
}

/// The result of a build: the index of what it exports.
fn result(env: &TestEnv, number: usize) -> Vec<u8> {
    let place = env.work().join("result");
    drop(std::fs::remove_dir_all(&place));
    let output = format!(
        "type=oci,tar=false,rewrite-timestamp=true,dest={}",
        place.display()
    );
    let mut file = String::new();
    let words = build(number, &output, &mut file);
    env.gantry(words.into_iter().chain(["ctx"])).ok();
    std::fs::read(place.join("index.json")).unwrap()
}

fn start(env: &TestEnv, number: usize) -> Child {
    let mut file = String::new();
    let words = build(number, "type=cacheonly", &mut file);
    env.spawn(words.into_iter().chain(["ctx"]))
}

fn is_empty(folder: &Path) -> bool {
    entries(folder).is_empty()
}

#[test]
fn root_builds_that_are_killed_at_any_moment_change_no_result() {
    let env = busybox();
    for n in 0..30 {
        env.write(&format!("ctx/data/f{n}"), n.to_string().repeat(3000));
    }
    for (number, text) in FILES.iter().enumerate() {
        env.write(&format!("ctx/Dockerfile.{number}"), text);
    }
    let prune = ["builder", "prune", "-af"];
    let began = Instant::now();
    let known = [result(&env, 0), result(&env, 1)];
    let undisturbed = began.elapsed();
    env.gantry(prune).ok();
    let mut dice = Dice::new();
    let home = env.root().parent().unwrap().to_path_buf();
    for round in 0..setting("GANTRY_TEST_ROUNDS").unwrap_or(ROUNDS) {
        let told = format!("round {round}, GANTRY_TEST_SEED={}", dice.seed());
        let children = TOGETHER.map(|number| start(&env, number));
        // Some of them are killed, one after the other; builders and helpers alike.
        for _ in 0..=dice.below(TOGETHER.len()) {
            let moment = undisturbed / 100 * u32::try_from(dice.below(100)).unwrap();
            std::thread::sleep(moment / 3);
            let alive = processes(&home);
            if let Some(victim) = alive.get(dice.below(alive.len().max(1))) {
                let pid = victim.pid.to_string();
                drop(
                    std::process::Command::new("kill")
                        .args(["-9", &pid])
                        .output(),
                );
            }
        }
        for child in children {
            ended(child, &told);
        }
        wait_for(&format!("{told}: every process ends"), || {
            processes(&home).is_empty()
        });
        for (number, known) in known.iter().enumerate() {
            assert!(
                result(&env, number) == *known,
                "{told}: another result of {number}"
            );
        }
        let left = env.run_root().join("build");
        assert!(is_empty(&left), "{told}: {:?}", entries(&left));
        let rows = env.gantry(["builder", "du"]).ok();
        let check = env.gantry(["system", "check"]);
        assert_eq!(check.code, 0, "{told}: {}\n{rows}", check.stdout);
        env.gantry(prune).ok();
        let ingest = env.root().join("ingest");
        assert!(is_empty(&ingest), "{told}: {:?}", entries(&ingest));
    }
}
