//! Contexts that change while they are read: what a build records is what it copied, whatever the
//! files were before and after.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_testkit::TestEnv;
use gantry_testkit::environment::answer;

use crate::busybox;
use crate::storm::{Dice, setting};

/// Builds beside somebody who changes everything.
const ROUNDS: u64 = 12;

const DOCKERFILE: &str = "FROM busybox\nCOPY . /c\nADD archive /archive/\nCOPY --link large /l\n";

/// The things of a context that have several states, all of which come again and again.
struct Context {
    folder: PathBuf,
    archives: [Vec<u8>; 3],
}

/// How many states each thing has: a small file, a large one, a directory, an archive.
const STATES: [usize; 4] = [2, 2, 3, 3];

impl Context {
    fn new(env: &TestEnv) -> Self {
        env.write("ctx/Dockerfile", DOCKERFILE);
        for name in ["here/inside", "there/inside", "there/more"] {
            env.write(&format!("ctx/{name}"), name);
        }
        let archive = |name: &str| {
            let file = env.write(&format!("archives/{name}"), name.repeat(4000));
            let folder = file.parent().unwrap();
            let packed = folder.join(format!("{name}.tar"));
            let mut tar = Command::new("tar");
            tar.arg("-C").arg(folder).arg("-cf").arg(&packed).arg(name);
            answer(&mut tar).ok();
            fs::read(packed).unwrap()
        };
        let (one, two) = (archive("one"), archive("two"));
        let none = vec![b'-'; one.len()];
        let context = Self {
            folder: env.work().join("ctx"),
            archives: [one, two, none],
        };
        context.set([0; 4]);
        context
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn set(&self, states: [usize; 4]) {
        for (thing, state) in states.into_iter().enumerate() {
            self.put(thing, state, false);
        }
    }

    /// Brings a thing into a state; `in_place` is over what is there, so that readers see parts of
    /// both. What the other thread has just taken away fails, and is tried again by the next.
    fn put(&self, thing: usize, state: usize, in_place: bool) {
        let letter = [b'a', b'b'][state % 2];
        match thing {
            0 => write(&self.path("small"), &[letter; 900], in_place),
            1 => write(&self.path("large"), &vec![letter; 700_000], in_place),
            2 => {
                let path = self.path("directory");
                drop(fs::remove_file(&path));
                drop(fs::remove_dir_all(&path));
                match state {
                    0 => {
                        fs::create_dir(&path).unwrap();
                        fs::write(path.join("own"), "own").unwrap();
                    }
                    1 => symlink("here", &path).unwrap(),
                    _ => symlink("there", &path).unwrap(),
                }
            }
            _ => write(&self.path("archive"), &self.archives[state], in_place),
        }
    }

    /// Something that is in none of the states: gone, cut off, longer, or no file at all.
    fn spoil(&self, dice: &mut Dice) {
        let path = self.path(["small", "large", "archive"][dice.below(3)]);
        let is_file = path.symlink_metadata().is_ok_and(|status| status.is_file());
        match dice.below(5) {
            0 => drop(fs::remove_file(&path)),
            1 if is_file => drop(fs::File::create(&path)),
            2 if is_file => {
                let longer = fs::File::options().append(true).open(&path);
                drop(longer.map(|mut file| file.write_all(&[b'c'; 50_000])));
            }
            3 => {
                drop(fs::remove_file(&path));
                drop(Command::new("mkfifo").arg(&path).status());
            }
            _ => {
                drop(fs::remove_file(&path));
                drop(symlink("/nowhere", &path));
            }
        }
    }

    /// Changes things until it is over.
    fn mutate(&self, mut dice: Dice, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            if dice.below(40) == 0 {
                self.spoil(&mut dice);
            }
            let thing = dice.below(STATES.len());
            self.put(thing, dice.below(STATES[thing]), dice.below(2) == 0);
            // Some builds are to find a whole context.
            std::thread::sleep(std::time::Duration::from_millis(dice.below(20) as u64));
        }
    }
}

fn write(path: &Path, content: &[u8], in_place: bool) {
    if in_place && path.symlink_metadata().is_ok_and(|status| status.is_file()) {
        // Not cut off first: a reader finds the same size all the time.
        let file = fs::File::options().write(true).open(path);
        let written = file.and_then(|mut file| {
            file.write_all(content)?;
            file.set_len(content.len() as u64)
        });
        written.unwrap();
    } else {
        let aside = path.with_extension("aside");
        fs::write(&aside, content).unwrap();
        fs::rename(&aside, path).unwrap();
    }
}

/// The index of what a build of the context exports.
fn result(env: &TestEnv, more: &[&str]) -> Vec<u8> {
    let place = env.work().join("result");
    drop(fs::remove_dir_all(&place));
    let output = format!(
        "type=oci,tar=false,rewrite-timestamp=true,dest={}",
        place.display()
    );
    let epoch = "SOURCE_DATE_EPOCH=1000000000";
    let words = ["build", "-q", "--build-arg", epoch, "-o", &output, "ctx"];
    env.gantry(words.iter().chain(more)).ok();
    fs::read(place.join("index.json")).unwrap()
}

#[test]
fn root_a_context_that_changes_while_it_is_read_is_recorded_as_what_was_copied() {
    let env = busybox();
    // What is not yet whole is nobody's business.
    env.write("ctx/.dockerignore", "*.aside\n");
    let context = Context::new(&env);
    let mut dice = Dice::new();
    let seed = dice.seed();
    let over = AtomicBool::new(false);
    let mut fine = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| context.mutate(Dice::new(), &over));
        let rounds = setting("GANTRY_TEST_ROUNDS").unwrap_or(ROUNDS);
        // As many as it takes until one goes through, within reason.
        let mut round = 0;
        while round < rounds || (fine == 0 && round < 20 * rounds) {
            round += 1;

            let epoch = "SOURCE_DATE_EPOCH=1000000000";
            let built = env.gantry([
                "build",
                "-q",
                "--build-arg",
                epoch,
                "-o",
                "type=cacheonly",
                "ctx",
            ]);
            // Whatever it met, it names the file that it met it on.
            let things = ["small", "large", "archive", "directory", "here", "there"];
            let told = built.stderr.lines().any(|line| {
                let tells = line.starts_with("error: ") || line.starts_with("gantry: ");
                tells && things.iter().any(|thing| line.contains(thing))
            });
            if built.code != 0 && !(built.code == 1 && told) {
                over.store(true, Ordering::Relaxed);
                panic!("seed {seed}: {}: {}", built.code, built.stderr);
            }
            fine += usize::from(built.code == 0);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(fine > 0, "no build went through");
    for round in 0..5 {
        let states = STATES.map(|count| dice.below(count));
        context.set(states);
        let by_cache = result(&env, &[]);
        let anew = result(&env, &["--no-cache"]);
        assert!(by_cache == anew, "seed {seed}, round {round}: {states:?}");
    }
}

/// A clock that was set back is seen by another one, which a time namespace sets forward.
#[test]
fn root_after_the_clock_was_set_back_all_files_are_read_anew() {
    let env = busybox();
    env.write("ctx/Dockerfile", "FROM busybox\nCOPY file /\n");
    env.write("ctx/file", "x".repeat(5000));
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
    let file = fs::File::options()
        .write(true)
        .open(env.work().join("ctx/file"));
    file.unwrap().set_modified(old).unwrap();
    // A file that was written just now is read anew in any case.
    std::thread::sleep(std::time::Duration::from_millis(40));
    let build = ["build", "--progress=plain", "-t", "x", "ctx"];
    let bytes = |answer: gantry_testkit::Answer| {
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        let read = answer.stderr.split("reading context: ").nth(1);
        read.unwrap().split_whitespace().next().unwrap().to_owned()
    };
    env.gantry(build).ok();
    bytes(env.gantry(build));
    assert_eq!(bytes(env.gantry(build)), "0B");
    let mut elsewhere = Command::new("unshare");
    elsewhere.args(["--time", "--boottime", "100000", "--fork"]);
    let normal = env.command(build);
    elsewhere.arg(normal.get_program()).args(normal.get_args());
    elsewhere.env_clear().current_dir(env.work());
    let variables = normal.get_envs();
    elsewhere.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    let again = answer(&mut elsewhere);
    assert_eq!(bytes(again), "5.00kB");
}
