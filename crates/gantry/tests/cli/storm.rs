//! Rounds of start, SIGKILL of a random process of Gantry, clean up: nothing is left on the
//! machine, and no container is lost from view.
//!
//! `cargo xtask storm` runs a thousand of them; the suite a few.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gantry_testkit::environment::{PATIENCE, answer, wait_for};
use gantry_testkit::leftover::{Belongings, processes};
use gantry_testkit::{Answer, TestEnv};

use crate::busybox;

/// Rounds in the suite; `GANTRY_TEST_ROUNDS` names another count.
const ROUNDS: u32 = 40;

/// Until when a killed process may strike: what a command takes here, and a little more.
const LONGEST: Duration = Duration::from_millis(60);

/// The container that is there in every round.
const STANDING: &str = "standing";

/// What is started and killed in a round.
const COMMANDS: [&[&str]; 14] = [
    &["run", "-d", "busybox", "sleep", "100"],
    &["run", "busybox", "sleep", "0.03"],
    &["run", "--rm", "busybox", "sleep", "0.03"],
    &[
        "run",
        "-d",
        "--rm",
        "-p",
        "127.0.0.1:0:80",
        "busybox",
        "sleep",
        "100",
    ],
    &[
        "run",
        "-d",
        "--restart",
        "always",
        "busybox",
        "sleep",
        "0.02",
    ],
    &[
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "/data",
        "busybox",
        "true",
    ],
    &["create", "--name", "made", "busybox", "true"],
    &["exec", STANDING, "sleep", "0.03"],
    &["stop", "-t", "0", STANDING],
    &["restart", "-t", "0", STANDING],
    &["kill", STANDING],
    &["rm", "-f", STANDING],
    &["logs", STANDING],
    &["build", "-q", "--no-cache", "ctx"],
];

#[test]
fn root_nothing_is_left_and_nobody_lost_when_processes_are_killed() {
    let rounds = setting("GANTRY_TEST_ROUNDS").unwrap_or(ROUNDS.into());
    let mut dice = Dice::new();
    let storm = Storm::new();
    for round in 0..rounds {
        let seed = dice.seed();
        let command = COMMANDS[dice.below(COMMANDS.len())];
        let told = format!(
            "round {round}, GANTRY_TEST_SEED={seed}: {}",
            command.join(" ")
        );
        storm.round(command, &mut dice, &told);
    }
    storm.end();
}

/// A number that the caller of the tests may set.
pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// xorshift64: repeatable from its seed.
pub(crate) struct Dice(u64);

impl Dice {
    /// By `GANTRY_TEST_SEED`, or by the time.
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self(setting("GANTRY_TEST_SEED").unwrap_or(u64::from(now.subsec_nanos())) | 1)
    }

    /// What makes it go on as it does from here.
    pub(crate) fn seed(&self) -> u64 {
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit).unwrap();
        usize::try_from((self.0 >> 11) % limit).unwrap()
    }
}

struct Storm {
    env: TestEnv,
    layers: BTreeSet<String>,
}

impl Storm {
    fn new() -> Self {
        let env = busybox();
        env.write(
            "ctx/Dockerfile",
            "FROM busybox\nRUN sleep 0.02; echo x > /x\n",
        );
        let layers = entries(&env.root().join("layers"));
        Self { env, layers }
    }

    /// What is empty when nothing is under way.
    fn folders(&self) -> Vec<PathBuf> {
        let lasting = ["containers", "names", "trash", "ingest", "volumes"];
        let fleeting = ["containers", "build"];
        let lasting = lasting.map(|name| self.env.root().join(name));
        let fleeting = fleeting.map(|name| self.env.run_root().join(name));
        lasting.into_iter().chain(fleeting).collect()
    }

    fn folder(&self) -> PathBuf {
        self.env.root().parent().unwrap().to_path_buf()
    }

    fn round(&self, command: &[&str], dice: &mut Dice, told: &str) {
        let standing = ["run", "-d", "--name", STANDING, "busybox", "sleep", "1000"];
        let id = self.env.gantry(standing).ok();
        let child = self.env.spawn(command);
        let moment = LONGEST / 100 * u32::try_from(dice.below(100)).unwrap();
        std::thread::sleep(moment);
        let alive = processes(&self.folder());
        let victim = alive.get(dice.below(alive.len().max(1)));
        if let Some(victim) = victim {
            let kill =
                answer(std::process::Command::new("kill").args(["-9", &victim.pid.to_string()]));
            drop(kill);
        }
        let victim = victim.map_or_else(String::new, |victim| victim.command.clone());
        let told = format!("{told}, after {moment:?} killed [{victim}]");
        let ended = ended(child, &told);
        self.in_view(&id, command, &ended, &told);
        self.clean_up(&told);
    }

    /// Every container that was made is listed, and what is said to run does.
    fn in_view(&self, standing: &str, command: &[&str], ended: &Answer, told: &str) {
        let before = self.on_disk();
        let listed: BTreeSet<String> = self.ids(&["ps", "-aq", "--no-trunc"], told);
        if command[0] != "rm" {
            assert!(listed.contains(standing), "{told}: {standing} is lost");
        }
        // One with --rm may go by itself at any time.
        let lasting: BTreeSet<String> = before.intersection(&self.on_disk()).cloned().collect();
        assert!(
            lasting.is_subset(&listed),
            "{told}: {lasting:?} are on disk, {listed:?} in view"
        );
        if ended.code == 0 && command[0] == "create" {
            assert!(listed.contains(ended.stdout.trim()), "{told}");
        }
        for id in self.ids(&["ps", "-q", "--no-trunc"], told) {
            // It may end at this moment: then it is soon said to have.
            let running = ["inspect", "-f", "{{.State.Running}}", &id];
            let restarts = command.contains(&"always");
            wait_for(&format!("{told}: {id} runs as it is said"), || {
                restarts
                    || self.env.gantry(["exec", &id, "true"]).code == 0
                    || self.env.gantry(running).stdout.trim() != "true"
            });
        }
    }

    /// The containers that are complete on disk.
    fn on_disk(&self) -> BTreeSet<String> {
        let folder = self.env.root().join("containers");
        let complete = |id: &String| folder.join(id).join("container.json").exists();
        entries(&folder).into_iter().filter(complete).collect()
    }

    fn ids(&self, list: &[&str], told: &str) -> BTreeSet<String> {
        let listed = self.env.gantry(list);
        assert_eq!(listed.code, 0, "{told}: {}", listed.stderr);
        listed.stdout.lines().map(str::to_owned).collect()
    }

    fn clean_up(&self, told: &str) {
        let ids = self.ids(&["ps", "-aq", "--no-trunc"], told);
        for id in &ids {
            let removed = self.env.gantry(["rm", "-f", "-v", id]);
            // One with --rm may have gone by itself.
            let gone = removed.code == 0 || removed.stderr.contains("No such container");
            assert!(gone, "{told}: rm {id}: {}", removed.stderr);
        }
        let left = Belongings {
            containers: ids,
            ..Belongings::default()
        };
        wait_for(&format!("{told}: no control group is left"), || {
            left.cgroups().is_empty()
        });
        wait_for(&format!("{told}: no container is left"), || {
            self.env.gantry(["ps", "-aq"]).stdout.is_empty()
        });
        let echo = ["run", "--rm", "busybox", "echo", "fine"];
        let next = self.env.gantry(echo);
        assert_eq!(next.stdout, "fine\n", "{told}: {}", next.stderr);
    }

    /// Nothing is left anywhere: on the machine, in the folders, in the database.
    fn end(self) {
        let env = &self.env;
        let folders = self.folders();
        for folder in &folders {
            for entry in entries(folder) {
                grow_old(&folder.join(entry));
            }
        }
        env.gantry(["system", "prune", "-f", "--volumes"]).ok();
        let mut left = env.belongings().settle(PATIENCE);
        for folder in &folders {
            let entries = entries(folder).into_iter();
            left.extend(entries.map(|entry| folder.join(entry).display().to_string()));
        }
        assert!(left.is_empty(), "left:\n{}", left.join("\n"));
        assert_eq!(entries(&env.root().join("layers")), self.layers);
        let check = env.gantry(["system", "check"]);
        assert_eq!(check.code, 0, "{}\n{}", check.stdout, check.stderr);
    }
}

/// What a command answered that may have been killed; it has to end, whoever else was.
pub(crate) fn ended(mut child: Child, told: &str) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{told}: the command does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap().into()
}

pub(crate) fn entries(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Makes a folder look as if nobody had touched it for an hour.
fn grow_old(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(3600);
    match std::fs::File::open(folder) {
        // Whose it was has just taken it away.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        opened => opened.unwrap().set_modified(then).unwrap(),
    }
}
