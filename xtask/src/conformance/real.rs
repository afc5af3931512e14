//! What another builder makes of real Dockerfiles.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};
use gantry_testkit::dockerfiles::{buildable, expectations};
use gantry_testkit::environment::answer;

use super::{Peer, alike, difference};
use crate::{cargo, say};

fn expected_path() -> PathBuf {
    cargo::root().join("crates/gantry/tests/conformance/real.txt")
}

/// Writes what comes out of the builds, or shows where it differs from what was written.
pub(super) fn run(record: bool, peer: &Peer) -> Result<()> {
    let before = match record {
        true => String::new(),
        false => fs::read_to_string(expected_path())?,
    };
    let before = expectations(&before);
    let mut text = String::new();
    let (mut built, mut different) = (0, 0);
    for real in buildable() {
        for image in &real.images {
            let tagged = answer(&mut peer.command(&["tag", "busybox", image]));
            if tagged.code != 0 {
                bail!("{image}: {}", tagged.stderr);
            }
        }
        let result = match peer.built(&real.file.given(), &[], &real.context) {
            // Why is a long story of paths and addresses of the one machine.
            Ok(result) if result.starts_with("failed") => "failed\n".to_owned(),
            Ok(result) => result,
            // Docker cannot save an image without layers.
            Err(error) if error.to_string().contains("empty export") => "empty\n".to_owned(),
            Err(error) => return Err(error),
        };
        built += usize::from(result != "failed\n");
        let (digest, origin) = (&real.file.sha256, &real.file.origin);
        write!(text, "=== {digest} {origin}\n{result}")?;
        let known = before.get(digest).map_or("", String::as_str);
        if !record && !alike(known, &result) {
            different += 1;
            say(&format!("=== {origin}\n{}", difference(known, &result)));
        }
    }
    if record {
        fs::write(expected_path(), text)?;
        say(&format!("{built} were built"));
    } else {
        say(&format!("{different} differ"));
    }
    Ok(())
}
