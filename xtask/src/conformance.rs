//! What other builders make of the cases of `crates/gantry/tests/conformance`.
//!
//! `record` writes what the tests expect of Gantry: to be run with the newest Docker. `compare`
//! shows where another builder differs from that.

mod dockerfiles;
mod real;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use gantry_testkit::conformance::{self, Case};
use gantry_testkit::environment::answer;
use gantry_testkit::fixture;

use crate::{cargo, say};

/// `record|compare GROUP|all PROGRAM…`: a program with docker's words (`docker -H …`, `podman`).
/// Two groups are no part of `all`: `dockerfiles` (`build --call` of real files, which takes
/// minutes) and `real` (builds of those that can be built here).
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [action, group, program, flags @ ..] = args else {
        bail!("usage: cargo xtask conformance record|compare GROUP|all PROGRAM [FLAGS...]");
    };
    let record = match action.as_str() {
        "record" => true,
        "compare" => false,
        other => bail!("{other} is neither record nor compare"),
    };
    let folder = cargo::root().join("crates/gantry/tests/conformance");
    let peer = Peer::new(program, flags)?;
    match group.as_str() {
        "dockerfiles" => return dockerfiles::run(record, &peer),
        "real" => return real::run(record, &peer),
        _ => {}
    }
    let mut different = 0;
    for name in conformance::groups(&folder.join("cases")) {
        if group != "all" && *group != name {
            continue;
        }
        for case in conformance::cases(&folder.join("cases"), &name) {
            let path = conformance::expected_path(&folder.join("expected"), &case);
            let result = peer.result(&case)?;
            if record {
                fs::create_dir_all(path.parent().context("a result has a folder")?)?;
                fs::write(&path, result)?;
            } else {
                let expected = fs::read_to_string(&path)?;
                if !alike(&expected, &result) {
                    different += 1;
                    say(&format!(
                        "=== {name}/{}\n{}",
                        case.name,
                        difference(&expected, &result)
                    ));
                }
            }
        }
    }
    if !record {
        say(&format!("{different} differ"));
    }
    Ok(())
}

/// Whether both failed or both made the same image.
fn alike(expected: &str, result: &str) -> bool {
    expected == result || expected.starts_with("failed") && result.starts_with("failed")
}

/// The lines that only one of two texts has.
fn difference(expected: &str, result: &str) -> String {
    let only = |sign: &str, these: &str, those: &str| -> String {
        let those: Vec<&str> = those.lines().collect();
        let lines = these.lines().filter(|line| !those.contains(line));
        lines.fold(String::new(), |text, line| format!("{text}{sign} {line}\n"))
    };
    only("-", expected, result) + &only("+", result, expected)
}

struct Peer {
    program: String,
    flags: Vec<String>,
    work: tempfile::TempDir,
    base: Vec<String>,
}

impl Peer {
    fn new(program: &str, flags: &[String]) -> Result<Self> {
        let mut peer = Self {
            program: program.to_owned(),
            flags: flags.to_vec(),
            work: tempfile::tempdir()?,
            base: Vec::new(),
        };
        conformance::lay_out_context(&peer.work.path().join("context"));
        let busybox = fixture::busybox();
        let import = peer
            .command(&["import", "--change", "CMD [\"sh\"]"])
            .arg(busybox)
            .arg("busybox:latest")
            .output()?;
        if !import.status.success() {
            bail!("{}", String::from_utf8_lossy(&import.stderr));
        }
        let archive = peer.save("busybox")?;
        peer.base = conformance::diff_ids(&archive);
        Ok(peer)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.flags).args(words);
        command
    }

    fn save(&self, image: &str) -> Result<PathBuf> {
        let archive = self.work.path().join("saved.tar");
        if archive.exists() {
            fs::remove_file(&archive)?;
        }
        let saved = answer(self.command(&["save", "-o"]).arg(&archive).arg(image));
        if saved.code != 0 {
            bail!("{}", saved.stderr);
        }
        Ok(archive)
    }

    fn result(&self, case: &Case) -> Result<String> {
        let context = self.work.path().join("context");
        self.built(case.dockerfile.as_bytes(), &case.flags, &context)
    }

    fn built(&self, dockerfile: &[u8], flags: &[String], context: &Path) -> Result<String> {
        let path = self.work.path().join("Dockerfile");
        fs::write(&path, dockerfile)?;
        let mut command = self.command(&["build", "-q", "-t", "case", "-f"]);
        command.arg(&path).args(flags);
        let built = answer(command.arg(context));
        if built.code != 0 {
            return Ok(format!(
                "failed\n{}",
                reason(&built.stderr, self.work.path())
            ));
        }
        Ok(conformance::describe(&self.save("case")?, &self.base))
    }
}

/// The line that says why, for readers: no test compares it.
fn reason(said: &str, work: &Path) -> String {
    let line = said.lines().rev().find(|line| line.starts_with("ERROR: "));
    let line = line.or_else(|| said.lines().last()).unwrap_or_default();
    format!("{}\n", line.replace(&work.display().to_string(), ""))
}
