//! Published container escapes and local attacks, each tried for real. `docs/security.md` says
//! which promise each of them holds.

mod copies;
mod descriptors;
mod kernel;
mod mounts;
mod processes;
mod storage;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gantry_testkit::TestEnv;

use crate::GANTRY;

/// The attacker's program, compiled; it says "ESCAPED" where an attack succeeds.
fn attacker(env: &TestEnv) -> PathBuf {
    let source = env.write("attacker.c", include_str!("escapes/attacker.c"));
    let program = env.work().join("attacker");
    let status = Command::new("cc")
        .args(["-static", "-O1", "-o"])
        .args([&program, &source])
        .status()
        .expect("the packages gcc and libc6-dev are installed");
    assert!(status.success());
    program
}

/// An installation whose image `hostile` is busybox with the attacker at `/attacker`. Its
/// program is a copy: an attack that succeeds must not spoil the other tests.
struct Hostile {
    env: TestEnv,
    binary: PathBuf,
    _folder: tempfile::TempDir,
}

impl Hostile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("gantry");
        // By another process: a file this one still has open for writing when another thread
        // forks could not be executed.
        let copied = Command::new("cp")
            .args([GANTRY.as_ref(), &*binary])
            .status();
        assert!(copied.unwrap().success());
        let env = TestEnv::with_busybox(&binary);
        attacker(&env);
        image(&env, "hostile", "");
        Self {
            env,
            binary,
            _folder: folder,
        }
    }
}

impl std::ops::Deref for Hostile {
    type Target = TestEnv;

    fn deref(&self) -> &TestEnv {
        &self.env
    }
}

/// Builds `name` from busybox, the attacker and more lines of a Dockerfile.
fn image(env: &TestEnv, name: &str, lines: &str) {
    let text = format!("FROM busybox\nCOPY attacker /attacker\n{lines}\n");
    env.write("Dockerfile", text);
    env.gantry(["build", "-q", "-t", name, "."]).ok();
}

/// Starts a command that says "ready" when its attack has begun, and goes on until its input ends
/// ([`harmless`]).
fn begun(env: &TestEnv, args: &[&str]) -> Child {
    let mut child = env
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("stdout is a pipe");
    BufReader::with_capacity(1, stdout)
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.trim(), "ready", "{args:?}");
    child
}

/// Ends an attack and gives what it wrote; it must not have escaped.
fn harmless(child: Child) -> String {
    // Which closes its input.
    let output = child.wait_with_output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains("ESCAPED"), "{text}");
    text
}

/// A kernel parameter of the host.
fn host(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The digest of a file, to see that nobody wrote to it.
fn content(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
